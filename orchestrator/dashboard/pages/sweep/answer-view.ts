/** What a sweep has found out: its verdicts in words, and where its phases stand. */
import { hasTooFew } from "../../../analysis/flags.ts";
import type { CellVerdict } from "../../../analysis/types.ts";
import { type SweepProgress, unfinished } from "../../../database/progress.ts";
import { type Answer, sayings } from "../../../report/answer.ts";
import { coordinateLines } from "../../../report/coordinate-text.ts";
import { additionTexts, takenTexts } from "../../../report/phase-states.ts";
import { confirmationLines, searchLines } from "../../../report/phase-text.ts";
import { nothingText, wouldText } from "../../../report/suggest.ts";
import { titleOf } from "../../../sweep/title.ts";
import { plural, short } from "../../../terminal/format.ts";
import { badge } from "../../components.ts";
import { type Html, html } from "../../html.ts";
import type { SweepData } from "./answers.ts";

const SIGNS: Record<CellVerdict, string> = { transfers: "✓", drifts: "↗", costs: "↗", inconclusive: "?" };
const VERDICTS_SHOWN = 40;
const SUGGESTIONS_SHOWN = 5;

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

/** Said where a page has not read every curve of a phase. */
export function narrowedText({ phases }: SweepData): Html | "" {
  const large = phases.filter((phase) => phase.left_out > 0);
  return html`${large.map(
    ({ name, curves, left_out }) =>
      html`<p class="note">The first ${curves.length} curves of phase ${name} are shown, ${left_out} more are not: the filters choose others; the files under “What was trained” and <code>musweep sql</code> have all of them.</p>`,
  )}`;
}

/** What is open, and which runs would decide it. */
export function nextView(progress: SweepProgress, { answer, suggestions }: SweepData): Html | "" {
  const left = unfinished(progress);
  if (left > 0)
    return html`<p><strong>Next:</strong> ${plural(left, "run")} of this sweep, still to be trained. What is open may be decided by them.</p>`;
  if (answer.rows.length === 0) return "";
  if (suggestions === null)
    return html`<p><strong>Next:</strong> <code>musweep suggest ${progress.sweep}</code> says which runs would decide more.</p>`;
  if (suggestions.length === 0)
    return html`<p><strong>Next:</strong> nothing is suggested; ${nothingText(answer.rows.filter(({ optimum }) => hasTooFew(optimum)).length)}.</p>`;
  return html`<p><strong>Next:</strong> ${wouldText(suggestions)} (<code>musweep suggest ${progress.sweep}</code>).</p>
<ul class="next">${suggestions
    .slice(0, SUGGESTIONS_SHOWN)
    .map(
      ({ coordinates, tuned, values, seeds, reason }) =>
        html`<li><strong>${titleOf(coordinates)}</strong>: ${values.map((v) => valueText(tuned, v)).join(", ")}, ${seeds.length === 1 ? "seed" : "seeds"} ${seeds.join(", ")} <span class="muted">${reason}</span></li>`,
    )}</ul>
${suggestions.length > SUGGESTIONS_SHOWN ? html`<p class="muted">And ${suggestions.length - SUGGESTIONS_SHOWN} curves more.</p>` : ""}`;
}

const valueText = (name: string, value: number): string =>
  name === "learning_rate" ? `lr 2^${Number(Math.log2(value).toFixed(2))}` : `${name} ${short(value)}`;

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
