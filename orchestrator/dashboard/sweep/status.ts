/** The head of a sweep's page: how far it is, and what can be done with it. */
import type { Database } from "../../database/open.ts";
import { type SweepProgress, unfinished } from "../../database/progress.ts";
import { sweepRates } from "../../database/rates.ts";
import type { Answer } from "../../report/answer.ts";
import { plural } from "../../terminal/format.ts";
import { ago, badge, countsText, speedText, stateBar, sweepPath } from "../components.ts";
import { type Html, html } from "../html.ts";

const FAILURES_SHOWN = 5;

export function statusView(db: Database, progress: SweepProgress, failures: Answer["failures"]): Html {
  return html`<div class="card status">
<div class="sweep plain">
<div class="name"><p>${badge(progress.state)} <span class="muted">submitted ${ago(progress.submitted_at)}</span></p>
<p class="muted">${plural(progress.points, "grid point")}, ${plural(progress.runs, "run")}</p></div>
<div class="progress">${stateBar(progress.by_state)}<p><strong>${Math.floor(progress.fraction * 100)}%</strong>: ${countsText(progress.by_state)}</p></div>
<div class="speed">${speedText(progress, sweepRates(db).get(progress.id))}</div>
</div>
${failures.length === 0 ? "" : failureList(failures)}
${actions(progress)}
</div>`;
}

const failureList = (failures: Answer["failures"]): Html =>
  html`<ul class="failures">${failures
    .slice(0, FAILURES_SHOWN)
    .map(({ error, runs }) => html`<li><strong>${plural(runs, "run")} failed:</strong> ${error}</li>`)}</ul>`;

function actions(progress: SweepProgress): Html {
  const { failed, cancelled } = progress.by_state;
  const path = sweepPath(progress.sweep);
  const isOpen = unfinished(progress) > 0 || progress.phases.some((phase) => phase.state === "waiting");
  const list = [
    ...(failed > 0
      ? [
          confirmed(
            `Requeue ${failed} failed`,
            "Train again what failed.",
            "Requeue",
            `${path}/requeue`,
            "failed",
          ),
        ]
      : []),
    ...(cancelled > 0
      ? [
          confirmed(
            `Requeue ${failed + cancelled} missing`,
            "Train again everything without a result: failed and cancelled runs.",
            "Requeue",
            `${path}/requeue`,
            "missing",
          ),
        ]
      : []),
    ...(progress.state === "active" && isOpen
      ? [
          confirmed(
            "Cancel",
            "Nothing more is trained for this sweep. Results stay, and runs that another sweep wants go on.",
            "Cancel the sweep",
            `${path}/cancel`,
          ),
        ]
      : []),
  ];
  return html`<div class="actions">${list}<a class="button" href="/submit?sweep=${encodeURIComponent(progress.sweep)}">Change and resubmit</a></div>`;
}

/** A button that asks once more before it does anything, without a script. */
const confirmed = (name: string, explanation: string, action: string, path: string, which?: string): Html =>
  html`<details class="confirm"><summary class="button">${name}…</summary><form method="post" action="${path}">
<p>${explanation}</p>${which === undefined ? "" : html`<input type="hidden" name="which" value="${which}">`}<button class="danger">${action}</button></form></details>`;
