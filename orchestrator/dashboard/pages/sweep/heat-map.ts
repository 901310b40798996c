/**
 * The grid of a phase as a map: a row per curve, a column per learning rate, a link per run. By loss, the colour says how far a
 * run lies above the best of its row, so that rows of different levels compare: optima that transfer stand in one column. By
 * state, it shows where the sweep is.
 */

import type { Context as Request } from "hono";
import { RULES } from "../../../../schema/sweep/rules.ts";
import { leastOf } from "../../../analysis/extremes.ts";
import { coordinatesOf } from "../../../analysis/groups.ts";
import { lossText } from "../../../analysis/loss-text.ts";
import { TUNED } from "../../../analysis/tuned.ts";
import { type CurveRun, listCurves, runsOfCurves } from "../../../database/cells.ts";
import type { Database } from "../../../database/open.ts";
import { coordinateLabel, decimal, sparsityLabel } from "../../../report/figures/labels.ts";
import { runPath, SIGNS } from "../../components.ts";
import { type Html, html } from "../../html.ts";
import { chosenPoints, nothingText, otherView, type View } from "./view.ts";

const ROWS = 60;
const COLUMNS = 64;
/** Links in one map, whole rows of them: more would make the page slow, and nobody reads them. */
const CELLS = 2400;

export function heatMap(c: Request, db: Database, view: View): Html {
  const { rows, more } = readRows(db, view);
  if (rows.length === 0) return html`<p class="muted">${nothingText(view)}</p>`;
  const rates = [...new Set(rows.flatMap((row) => row.cells.map((cell) => cell.tuned_value)))].sort(
    (a, b) => a - b,
  );
  const columns = rates.slice(0, COLUMNS);
  const labels = labelsOf(rows.map((row) => row.curve));
  const seeds = Math.max(...rows.map((row) => new Set(row.cells.map((cell) => cell.seed)).size));
  const isAdded = rows.some((row) => row.cells.some((cell) => cell.reason !== "grid"));
  return html`<div class="map-head">${toggle(c, view)}${legend(view, isAdded)}</div>
<div class="scroll map-scroll" role="region" aria-labelledby="map-caption" tabindex="0">
<table class="map ${seeds > 1 ? "seeded" : ""}" id="map">
<caption id="map-caption"><span>${
    view.map === "loss"
      ? "Validation loss of each run; the colour is its distance from the best of the row"
      : "What became of each run"
  }. Columns are log₂ of the ${TUNED[view.phase.tuned].long}${seeds > 1 ? "; the runs in a field are its seeds" : ""}. Arrow keys go from run to run.</span></caption>
<thead><tr><th scope="col">curve</th>${columns.map((rate) => html`<th scope="col">${rateLabel(rate)}</th>`)}</tr></thead>
<tbody>${rows.map((row, i) => mapRow(row, labels[i]!, columns, view))}</tbody>
</table></div>
${more > 0 || rates.length > COLUMNS ? html`<p class="muted">Shown are ${rows.length} of ${rows.length + more} curves${rates.length > COLUMNS ? ` and ${COLUMNS} of ${rates.length} ${TUNED[view.phase.tuned].plural}` : ""}: choose a parameterization, width or sparsity above to see the others.</p>` : ""}`;
}

interface MapRow {
  curve: string;
  cells: CurveRun[];
}

function readRows(db: Database, view: View): { rows: MapRow[]; more: number } {
  const curves = listCurves(db, chosenPoints(view));
  const shown: string[] = [];
  let links = 0;
  for (const { curve, points } of curves.slice(0, ROWS)) {
    links += points;
    if (links > CELLS && shown.length > 0) break;
    shown.push(curve);
  }
  const rows = new Map<string, CurveRun[]>(shown.map((curve) => [curve, []]));
  for (const run of runsOfCurves(db, view.phase.id, shown, view.outcome)) rows.get(run.curve)!.push(run);
  return {
    rows: [...rows].map(([curve, own]) => ({ curve, cells: own })),
    more: curves.length - shown.length,
  };
}

/** What tells the rows apart; the sparsity always. */
function labelsOf(curves: string[]): { title: string; sparsity: string; rest: string }[] {
  const places = curves.map(coordinatesOf);
  const names = [...new Set(places.flatMap((place) => Object.keys(place)))].filter(
    (name) =>
      name !== "parameterization" &&
      name !== "sparsity" &&
      new Set(places.map((place) => JSON.stringify(place[name]))).size > 1,
  );
  return places.map((place) => ({
    title: RULES[place.parameterization as keyof typeof RULES].title,
    sparsity: sparsityLabel(Number(place.sparsity)),
    rest: names.map((name) => coordinateLabel(name, place[name])).join(", "),
  }));
}

function mapRow(
  row: MapRow,
  label: { title: string; sparsity: string; rest: string },
  columns: number[],
  view: View,
): Html {
  const losses = row.cells.flatMap(({ loss }) => (loss === null ? [] : [loss]));
  const best = losses.length > 0 ? leastOf(losses) : null;
  return html`<tr><th scope="row"><strong>${label.title}</strong>${label.rest === "" ? "" : ` ${label.rest}`} <span class="muted">s</span> ${label.sparsity}</th>${columns.map(
    (rate) => {
      const cells = row.cells.filter((cell) => cell.tuned_value === rate);
      return html`<td>${cells.map((cell) => mapLink(cell, best, view))}</td>`;
    },
  )}</tr>
`;
}

/** Per cent above the best of the row; a colour for each step. */
const STEPS = [0.25, 0.5, 1, 2, 4, 8, 16];

/** Row and column name its curve and rate; a sign is no name, so that the title is read instead of it. */
function mapLink(cell: CurveRun, best: number | null, view: View): Html {
  const { state, loss, reason } = cell;
  const above = loss === null || best === null ? null : (loss / best - 1) * 100;
  const step = above === null ? -1 : STEPS.filter((limit) => above > limit).length;
  const isByLoss = view.map === "loss" && above !== null;
  const what =
    above === null
      ? `${state}${state === "running" ? `, step ${cell.step} of ${cell.steps}` : ""}`
      : `loss ${lossText(loss!, 4)}, ${above === 0 ? "the best of its row" : `${decimal(above, 2)}% above the best of its row`}`;
  const added = reason === "grid" ? "" : `; added, ${reason}`;
  return html`<a href="${runPath(cell.run)}" class="${isByLoss ? `step-${step}` : state}${reason === "grid" ? "" : " added"}" title="log₂ ${TUNED[view.phase.tuned].short} ${rateLabel(cell.tuned_value)}, seed ${cell.seed}: ${what}${added}">${isByLoss ? lossText(loss!, 2) : html`<span aria-hidden="true">${SIGNS[state]}</span>`}</a>`;
}

/** "−7", "−7.5", "−5.95" */
const rateLabel = (rate: number): string => {
  const log2 = Number(Math.log2(rate).toFixed(2));
  return decimal(log2, Number.isInteger(log2) ? 0 : Number.isInteger(log2 * 10) ? 1 : 2);
};

function toggle(c: Request, view: View): Html {
  const option = (map: View["map"], title: string): Html =>
    html`<a href="${otherView(c, { map: map === "loss" ? null : map })}#grid"${view.map === map ? html` aria-current="true"` : ""}>${title}</a>`;
  return html`<nav class="toggle" aria-label="Colours of the map">${option("loss", "Loss")}${option("state", "State")}</nav>`;
}

const KEY_STATES = ["finished", "diverged", "failed", "cancelled", "running", "pending"] as const;

function legend(view: View, isAdded: boolean): Html {
  const states = view.map === "loss" ? KEY_STATES.filter((state) => state !== "finished") : KEY_STATES;
  const steps = view.map === "loss" ? [...STEPS.map((limit) => `≤ ${limit}%`), `> ${STEPS.at(-1)}%`] : [];
  return html`<ul class="key map-key" aria-label="Key">${steps.map(
    (text, i) => html`<li><span class="swatch step-${i}"></span>${text}</li>`,
  )}${states.map((state) => html`<li><span class="swatch ${state}">${SIGNS[state]}</span>${state === "pending" ? "to train" : state}</li>`)}${
    isAdded ? html`<li><span class="swatch added"></span>added: its title says why</li>` : ""
  }</ul>`;
}
