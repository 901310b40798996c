/** The report's figures and tables of the chosen phase and curves. */
import { type Answer, axesBesideDensity } from "../../../report/answer.ts";
import type { CoordinateAnswer } from "../../../report/coordinate-answer.ts";
import { checkFigures } from "../../../report/figures/coordinates-figure.ts";
import type { LinkOf } from "../../../report/figures/curve-marks.ts";
import type { FigureData } from "../../../report/figures/data.ts";
import { drawTwice } from "../../../report/figures/html.ts";
import type { Markup } from "../../../report/figures/markup.ts";
import { type DrawnPhase, drawnPhases, leftOut } from "../../../report/figures/report-figures.ts";
import {
  axisExponentsTable,
  exponentsTable,
  levelTable,
  optimumTable,
  pointsTable,
  regretTable,
  transferTable,
} from "../../../report/figures/tables.ts";
import { sweepPath } from "../../components.ts";
import { embed, type Html, html } from "../../html.ts";
import { isShown, nothingText, type View } from "./view.ts";

/** More points than this are for the CSV file. */
const POINTS_SHOWN = 2000;

/** The chosen phase, of the chosen curves; null while it has none. */
export function chosenPhase(data: FigureData, view: View): DrawnPhase | null {
  const phase = data.phases.find(({ name }) => name === view.phase.name);
  const curves = phase?.curves.filter((curve) => isShown(view, curve)) ?? [];
  if (curves.length === 0) return null;
  return drawnPhases({ ...data, phases: [{ ...phase!, curves }] })[0]!;
}

/** The list of runs, at a point of a curve. */
const runsOf =
  ({ progress, phase }: View): LinkOf =>
  ({ parameterization, width, sparsity, tuned }, { log2_tuned }) => {
    const choice = new URLSearchParams({
      phase: phase.name,
      parameterization,
      width: String(width),
      sparsity: String(sparsity),
      where: tuned,
      compared: "is",
      to: `2^${Number(log2_tuned.toFixed(4))}`,
    });
    return `${sweepPath(progress.sweep)}?${choice}#runs-heading`;
  };

/** Of a coordinate check, which has no curves. */
export function* checkView(checks: readonly CoordinateAnswer[]): Generator<void, Html> {
  const figures: Markup[] = [];
  for (const figure of checkFigures(checks)) {
    figures.push(...drawTwice(figure, figure.name));
    yield;
  }
  return html`${embed(figures)}`;
}

export function* figuresView(drawn: DrawnPhase | null, view: View): Generator<void, Html> {
  if (drawn === null) return html`<p class="muted">${nothingText(view)}</p>`;
  const figures: Markup[] = [];
  for (const figure of drawn.figures) {
    figures.push(...drawTwice(figure, figure.name, runsOf(view)));
    yield;
  }
  const missed = leftOut(drawn);
  return html`${figures.length === 0 ? html`<p class="muted">No curves yet: a curve takes two learning rates.</p>` : embed(figures)}
${missed === "" ? "" : html`<p class="muted">${missed}</p>`}`;
}

export function* tablesView(drawn: DrawnPhase | null, answer: Answer): Generator<void, Html | ""> {
  if (drawn === null) return "";
  const { facets, phase } = drawn;
  const points = phase.curves.reduce((n, curve) => n + curve.points.length, 0);
  const shown = new Set(phase.curves.map((curve) => curve.curve));
  const titles = new Set<string>(phase.curves.map((curve) => curve.parameterization));
  const tables = [optimumTable("optima-table", facets, phase.curves), regretTable("regret-table", facets)];
  yield;
  for (const [i, axis] of axesBesideDensity(answer.transfer, phase.name).entries()) {
    const rows = answer.transfer.filter(
      (t) => t.phase === phase.name && t.axis === axis && shown.has(t.curve),
    );
    tables.push(
      transferTable(`axis-${i}-table`, axis, rows, facets),
      axisExponentsTable(`axis-${i}-exponents-table`, axis, rows, facets),
    );
    yield;
  }
  tables.push(
    exponentsTable(
      "exponents-table",
      answer.exponents.filter((e) => e.phase === phase.name && titles.has(e.parameterization)),
      facets,
    ),
    levelTable("level-table", facets),
  );
  yield;
  return html`${embed(tables.filter((table) => table !== null))}
<details><summary>Every point of the curves</summary>${
    points > POINTS_SHOWN
      ? html`<p>${points} points: see curves.csv below.</p>`
      : embed(pointsTable("points-table", facets, phase.curves))
  }</details>`;
}
