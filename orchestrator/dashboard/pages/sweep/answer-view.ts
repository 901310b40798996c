/** What a sweep has found out: its verdicts in words, and where its phases stand. */
import type { CellVerdict } from "../../../analysis/types.ts";
import type { SweepProgress } from "../../../database/progress.ts";
import { type Answer, sayings } from "../../../report/answer.ts";
import { coordinateLines } from "../../../report/coordinate-text.ts";
import { additionTexts, takenTexts } from "../../../report/phase-states.ts";
import { confirmationLines, searchLines } from "../../../report/phase-text.ts";
import { plural } from "../../../terminal/format.ts";
import { badge } from "../../components.ts";
import { type Html, html } from "../../html.ts";

const SIGNS: Record<CellVerdict, string> = { transfers: "✓", drifts: "↗", costs: "↗", inconclusive: "?" };
const VERDICTS_SHOWN = 40;

export function verdictView(answer: Answer): Html {
  const { verdicts } = answer;
  if (verdicts.length === 0)
    return html`<p class="muted">No verdict: it takes two curves that differ in one thing alone, such as sparsity.</p>`;
  return html`<ul class="verdicts">${sayings(verdicts)
    .slice(0, VERDICTS_SHOWN)
    .map(
      ({
        title,
        place,
        sentence,
        verdict,
      }) => html`<li class="${verdict}"><span class="sign" aria-hidden="true">${SIGNS[verdict]}</span>
<span><strong>${title}</strong>${place}: ${sentence}.</span></li>`,
    )}</ul>
${verdicts.length > VERDICTS_SHOWN ? html`<p class="muted">The first ${VERDICTS_SHOWN} of ${verdicts.length}; transfer.csv has all.</p>` : ""}`;
}

/** Nothing for a sweep of one plain grid. */
export function phasesView({ phases }: SweepProgress): Html | "" {
  const [only] = phases;
  if (phases.length === 1 && only!.added.length === 0 && only!.state !== "stopped") return "";
  return html`<h2 id="phases">Phases</h2>
<ol class="phases">${phases.map(
    (phase) => html`<li><p>${badge(phase.state)} <strong>${phase.name}</strong>
<span class="muted">${phase.state === "waiting" ? "starts when what it waits for is decided" : plural(phase.points, "grid point")}</span></p>
${phase.reason === null ? "" : html`<p class="problem">${phase.reason}</p>`}
${takenTexts(phase.taken).map((text) => html`<p>${text}</p>`)}
${additionTexts(phase).map((text) => html`<p>${text}</p>`)}</li>`,
  )}</ol>`;
}

/** What a phase that is no plain grid has found: the best of a random search, the slopes of a coordinate check, how a taken rate did beside its neighbours. */
export function specialAnswer(answer: Answer, phase: string): Html | "" {
  const lines = [
    ...answer.checks.filter((c) => c.phase === phase).flatMap(coordinateLines),
    ...searchLines(answer.searches.filter((s) => s.phase === phase)),
    ...confirmationLines(answer.confirmations.filter((s) => s.phase === phase)),
  ];
  return lines.length === 0 ? "" : html`<pre class="scroll" tabindex="0">${lines.join("\n").trim()}</pre>`;
}
