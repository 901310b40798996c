/** The head of a sweep's page: how far it is, and what can be done with it. */
import type { Database } from "../../../database/open.ts";
import { doneText, type SweepProgress, unfinished } from "../../../database/progress.ts";
import { sweepRates } from "../../../database/rates.ts";
import { fleetOf, needsMet, type Workers } from "../../../queue/read-workers.ts";
import type { Answer } from "../../../report/answer.ts";
import { unableText, unmetNeeds, unmetText } from "../../../report/unmet-needs.ts";
import { plural } from "../../../terminal/format.ts";
import { ago, badge, countsText, speedText, stateBar, sweepPath } from "../../components.ts";
import { type Html, html } from "../../html.ts";

const FAILURES_SHOWN = 5;

export function statusView(
  db: Database,
  progress: SweepProgress,
  failures: Answer["failures"],
  workers: Workers | null,
): Html {
  return html`<div class="card status">
<div class="sweep plain">
<div class="name"><p>${badge(progress.state)} <span class="muted">submitted ${ago(progress.submitted_at)}</span></p>
<p class="muted">${plural(progress.points, "grid point")}, ${plural(progress.runs, "run")}</p></div>
<div class="progress">${stateBar(progress.by_state)}<p><strong>${doneText(progress)}</strong>: ${countsText(progress.by_state)}</p></div>
<div class="speed">${speedText(progress, sweepRates(db).get(progress.id))}</div>
</div>
${workers === null || unfinished(progress) === 0 ? "" : whoIsMissing(db, progress, workers)}
${failures.length === 0 ? "" : failureList(failures)}
${actions(progress)}
</div>`;
}

/** What nobody would see otherwise: runs wait for a worker that is not there, or that cannot train them. */
const whoIsMissing = (db: Database, { sweep }: SweepProgress, workers: Workers): Html =>
  html`${unmetNeeds(db, needsMet(workers), sweep).map((need) => html`<p class="note">${unmetText(need)}: <code>${need.command}</code> starts one.</p>`)}
${fleetOf(workers).unable.map((inability) => html`<p class="problem breaks">${unableText(inability)}</p>`)}`;

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
    ...(isOpen || progress.archived_at !== null
      ? []
      : [
          confirmed(
            "Archive",
            "It is listed no longer; everything of it stays, and it can be brought back here.",
            "Archive the sweep",
            `${path}/archive`,
            "archive",
          ),
        ]),
    ...(progress.archived_at === null
      ? []
      : [confirmed("Bring back", "It is listed again.", "Bring it back", `${path}/archive`, "undo")]),
    confirmed(
      "Delete",
      `${plural(progress.runs, "run")} with all results, curves, logs and files are removed for good, but for runs that another sweep wants.`,
      "Delete for good",
      `${path}/delete`,
    ),
  ];
  const change = progress.phases.some((phase) => phase.imported !== undefined)
    ? html`<span class="muted">Trained elsewhere, imported from ${progress.phases.map((phase) => phase.imported)}</span>`
    : html`<a class="button" href="/submit?sweep=${encodeURIComponent(progress.sweep)}">Change and resubmit</a>`;
  const compare = html`<a class="button" href="/compare/sweeps?sweep=${encodeURIComponent(progress.sweep)}">Compare with another</a>`;
  return html`<div class="actions">${list}${change}${compare}</div>`;
}

/** A button that asks once more before it does anything, without a script. */
const confirmed = (name: string, explanation: string, action: string, path: string, which?: string): Html =>
  html`<details class="confirm"><summary class="button">${name}…</summary><form method="post" action="${path}">
<p>${explanation}</p>${which === undefined ? "" : html`<input type="hidden" name="which" value="${which}">`}<button class="danger">${action}</button></form></details>`;
