/** Two or more sweeps side by side: their verdicts, their optima curve by curve, their pictures. */

import { atLeast, atMost } from "../../../analysis/bounds.ts";
import { lossBound, lossText } from "../../../analysis/loss-text.ts";
import type { Database } from "../../../database/open.ts";
import { progressOf } from "../../../database/progress.ts";
import { sweepNames } from "../../../database/sweeps.ts";
import { inTurns } from "../../../machine/turns.ts";
import { type AnswerRow, sayings, tunedNames } from "../../../report/answer.ts";
import { type FigureData, readFigureData } from "../../../report/figures/data.ts";
import { drawTwice } from "../../../report/figures/html.ts";
import type { Markup } from "../../../report/figures/markup.ts";
import { drawnPhases } from "../../../report/figures/report-figures.ts";
import type { Coordinates } from "../../../sweep/expand-sweep.ts";
import { titleOf } from "../../../sweep/title.ts";
import { badge, dataTable, sweepPath } from "../../components.ts";
import { embed, type Html, html } from "../../html.ts";
import { page } from "../../layout.ts";
import type { Page } from "../../page.ts";
import { CURVES_SHOWN } from "../sweep/answers.ts";

/** Side by side on a screen. */
const MOST = 4;
const ROWS_SHOWN = 200;
const VERDICTS_SHOWN = 40;
/** Sweeps to choose from, newest first. */
const OFFERED = 200;

export const sweepsComparedPage: Page = {
  mount(app, { db }) {
    app.get("/compare/sweeps", async (c) => {
      const asked = [...new Set(c.req.queries("sweep") ?? [])].filter((name) => name !== "");
      const names = asked.slice(0, MOST).map((name) => progressOf(db, name).sweep);
      const sweeps = await inTurns(readAll(db, names));
      const drawn = await inTurns(drawAll(sweeps));
      const others = sweepNames(db).filter((name) => !names.includes(name));
      return c.html(
        page(c, {
          title: "Compare sweeps",
          section: "/",
          figureSeries: drawn.flatMap(({ series }) => series),
          body: html`<h1>Compare sweeps</h1>
${asked.length > MOST ? html`<p class="problem">The first ${MOST} of ${asked.length} are shown.</p>` : ""}
${addForm(names, others.slice(0, OFFERED))}
${sweeps.length === 0 ? html`<p class="muted">Choose the first one.</p>` : comparison(sweeps, drawn)}`,
        }),
      );
    });
  },
};

function* readAll(db: Database, names: readonly string[]): Generator<void, FigureData[]> {
  const all: FigureData[] = [];
  for (const name of names) {
    all.push(readFigureData(db, name, { curves: CURVES_SHOWN }));
    yield;
  }
  return all;
}

interface Drawn {
  pictures: Markup[];
  /** How many lines they tell apart. */
  series: number[];
}

/** The first figure of every phase that has one, sweep by sweep. */
function* drawAll(sweeps: readonly FigureData[]): Generator<void, Drawn[]> {
  const all: Drawn[] = [];
  for (const [i, data] of sweeps.entries()) {
    const drawn: Drawn = { pictures: [], series: [] };
    for (const [j, { figures, series }] of drawnPhases(data).entries()) {
      yield;
      drawn.series.push(...series);
      if (figures[0] !== undefined) drawn.pictures.push(...drawTwice(figures[0], `sweep-${i}-${j}`));
    }
    all.push(drawn);
  }
  return all;
}

const addForm = (names: readonly string[], others: readonly string[]): Html | "" =>
  names.length >= MOST || others.length === 0
    ? ""
    : html`<form class="actions" action="/compare/sweeps">
${names.map((name) => html`<input type="hidden" name="sweep" value="${name}">`)}
<label>add a sweep <select name="sweep">${others.map((name) => html`<option value="${name}">${name}</option>`)}</select></label>
<button>Add</button></form>`;

function comparison(sweeps: readonly FigureData[], drawn: readonly Drawn[]): Html {
  return html`<div class="beside">${sweeps.map(
    (data) => html`<section class="card" aria-label="${data.answer.progress.sweep}">${head(data)}</section>`,
  )}</div>
<h2>Optima</h2>
${optimaTable(sweeps)}
<h2>Curves</h2>
${sweeps.map((data, i) => pictures(data, drawn[i]!))}`;
}

function head({ answer }: FigureData): Html {
  const { sweep, state, runs } = answer.progress;
  const said = sayings(answer.verdicts);
  return html`<h2><a href="${sweepPath(sweep)}">${sweep}</a></h2>
<p class="muted">${badge(state)} ${runs} runs</p>
${said.length === 0 ? html`<p class="muted">No verdict.</p>` : html`<ul class="plain">${said.slice(0, VERDICTS_SHOWN).map(({ title, place, sentence }) => html`<li><strong>${title}</strong>${place}: ${sentence}.</li>`)}</ul>`}${said.length > VERDICTS_SHOWN ? html`<p class="muted">The first ${VERDICTS_SHOWN} verdicts of ${said.length}.</p>` : ""}`;
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
  const more = Math.max(
    0,
    ...sweeps.map(({ phases }) => phases.reduce((sum, phase) => sum + phase.left_out, 0)),
  );
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
          value: ([, cells]: (typeof all)[number]) => lossThere(cells[i]),
        },
      ]),
    ],
    all.slice(0, ROWS_SHOWN),
  )}${all.length > ROWS_SHOWN || more > 0 ? html`<p class="muted">The first ${Math.min(ROWS_SHOWN, all.length)} curves, of at least ${all.length + more}; each sweep's page has its files.</p>` : ""}`;
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

function lossThere(row: AnswerRow | undefined): string {
  if (row === undefined) return "";
  const { loss, grid_loss } = row.optimum;
  return loss !== null ? lossText(loss, 3) : grid_loss !== null ? lossBound(grid_loss, 3) : "";
}

const pictures = ({ answer }: FigureData, { pictures }: Drawn): Html =>
  html`<h3>${answer.progress.sweep}</h3>${pictures.length === 0 ? html`<p class="muted">No curves.</p>` : embed(pictures)}`;
