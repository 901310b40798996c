/** Two or more sweeps side by side: their verdicts, their optima curve by curve, their pictures. */

import { atLeast, atMost } from "../../../analysis/bounds.ts";
import { progressOf } from "../../../database/progress.ts";
import { sweepNames } from "../../../database/sweeps.ts";
import { type AnswerRow, sayings, tunedNames } from "../../../report/answer.ts";
import { type FigureData, readFigureData } from "../../../report/figures/data.ts";
import { drawTwice } from "../../../report/figures/html.ts";
import { drawnPhases } from "../../../report/figures/report-figures.ts";
import type { Coordinates } from "../../../sweep/expand-sweep.ts";
import { titleOf } from "../../../sweep/title.ts";
import { badge, dataTable, sweepPath } from "../../components.ts";
import { embed, type Html, html } from "../../html.ts";
import { page } from "../../layout.ts";
import type { Page } from "../../page.ts";

/** Side by side on a screen. */
const MOST = 4;
const ROWS_SHOWN = 200;
/** Sweeps to choose from, newest first. */
const OFFERED = 200;

export const sweepsComparedPage: Page = {
  mount(app, { db }) {
    app.get("/compare/sweeps", (c) => {
      const asked = [...new Set(c.req.queries("sweep") ?? [])].filter((name) => name !== "");
      const names = asked.slice(0, MOST).map((name) => progressOf(db, name).sweep);
      const sweeps = names.map((name) => readFigureData(db, name));
      const others = sweepNames(db).filter((name) => !names.includes(name));
      return c.html(
        page(c, {
          title: "Compare sweeps",
          section: "/",
          figureSeries: sweeps.flatMap((data) => drawnPhases(data).flatMap((phase) => phase.series)),
          body: html`<h1>Compare sweeps</h1>
${asked.length > MOST ? html`<p class="problem">The first ${MOST} of ${asked.length} are shown.</p>` : ""}
${addForm(names, others.slice(0, OFFERED))}
${sweeps.length === 0 ? html`<p class="muted">Choose the first one.</p>` : comparison(sweeps)}`,
        }),
      );
    });
  },
};

const addForm = (names: readonly string[], others: readonly string[]): Html | "" =>
  names.length >= MOST || others.length === 0
    ? ""
    : html`<form class="actions" action="/compare/sweeps">
${names.map((name) => html`<input type="hidden" name="sweep" value="${name}">`)}
<label>add a sweep <select name="sweep">${others.map((name) => html`<option value="${name}">${name}</option>`)}</select></label>
<button>Add</button></form>`;

function comparison(sweeps: readonly FigureData[]): Html {
  return html`<div class="beside">${sweeps.map(
    (data) => html`<section class="card" aria-label="${data.answer.progress.sweep}">${head(data)}</section>`,
  )}</div>
<h2>Optima</h2>
${optimaTable(sweeps)}
<h2>Curves</h2>
${sweeps.map((data, i) => pictures(data, i))}`;
}

function head({ answer }: FigureData): Html {
  const { sweep, state, runs } = answer.progress;
  const said = sayings(answer.verdicts);
  return html`<h2><a href="${sweepPath(sweep)}">${sweep}</a></h2>
<p class="muted">${badge(state)} ${runs} runs</p>
${said.length === 0 ? html`<p class="muted">No verdict.</p>` : html`<ul class="plain">${said.map(({ title, place, sentence }) => html`<li><strong>${title}</strong>${place}: ${sentence}.</li>`)}</ul>`}`;
}

/** Curves that are alike in everything stand in one row, whichever phase they are of. */
function optimaTable(sweeps: readonly FigureData[]): Html {
  const rows = new Map<string, (AnswerRow | undefined)[]>();
  for (const [i, { answer }] of sweeps.entries())
    for (const row of answer.rows) {
      const title = titleOf(JSON.parse(row.curve) as Partial<Coordinates>);
      const cells = rows.get(title) ?? sweeps.map(() => undefined);
      cells[i] ??= row;
      rows.set(title, cells);
    }
  const all = [...rows];
  return html`${dataTable(
    "sweeps-optima",
    `log₂ of the optimal ${tunedNames(sweeps.flatMap(({ answer }) => answer.rows))} with its 95% interval, and the loss there. A curve that a sweep does not have is left empty.`,
    [
      { name: "curve", kind: "heading" as const, value: ([title]: (typeof all)[number]) => title },
      ...sweeps.flatMap(({ answer }, i) => [
        {
          name: answer.progress.sweep,
          kind: "number" as const,
          value: ([, cells]: (typeof all)[number]) => optimumText(cells[i]),
        },
        {
          name: "loss",
          kind: "number" as const,
          value: ([, cells]: (typeof all)[number]) => lossText(cells[i]),
        },
      ]),
    ],
    all.slice(0, ROWS_SHOWN),
  )}${all.length > ROWS_SHOWN ? html`<p class="muted">The first ${ROWS_SHOWN} of ${all.length} curves.</p>` : ""}`;
}

/** A bound is never shown as an estimate. */
function optimumText(row: AnswerRow | undefined): string {
  if (row === undefined) return "";
  const { log2_tuned: at, log2_tuned_low: low, log2_tuned_high: high } = row.optimum;
  if (at !== null && low !== null && high !== null)
    return `${at.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
  if (low !== null && high === null) return `≥ ${atLeast(low, 2)}`;
  if (high !== null && low === null) return `≤ ${atMost(high, 2)}`;
  return "?";
}

function lossText(row: AnswerRow | undefined): string {
  if (row === undefined) return "";
  const { loss, grid_loss } = row.optimum;
  return loss !== null ? loss.toFixed(3) : grid_loss !== null ? `≤ ${atMost(grid_loss, 3)}` : "";
}

/** The first figure of every phase that has one. */
function pictures(data: FigureData, i: number): Html {
  const drawn = drawnPhases(data).flatMap(({ figures }, j) => {
    const [first] = figures;
    return first === undefined ? [] : drawTwice(first, `sweep-${i}-${j}`);
  });
  return html`<h3>${data.answer.progress.sweep}</h3>${drawn.length === 0 ? html`<p class="muted">No curves.</p>` : embed(drawn)}`;
}
