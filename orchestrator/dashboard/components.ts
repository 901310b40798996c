/** What several pages show: states, bars, tables, addresses, numbers. */
import type { PhaseState, RunState } from "../../schema/database/states.ts";
import { type SweepProgress, unfinished } from "../database/progress.ts";
import type { Rate } from "../database/rates.ts";
import { duration, plural, quantity } from "../terminal/format.ts";
import { type Html, html } from "./html.ts";

export const sweepPath = (sweep: string): string => `/sweeps/${encodeURIComponent(sweep)}`;
export const runPath = (run: string): string => `/runs/${encodeURIComponent(run)}`;
export const comparePath = (runs: readonly string[]): string =>
  `/compare?${runs.map((run) => `run=${encodeURIComponent(run)}`).join("&")}`;

/** Each leads to the sweeps that have it. */
export const tagList = (tags: readonly string[]): Html | "" =>
  tags.length === 0
    ? ""
    : html`<p class="tags">${tags.map((tag) => html`<a href="/?tag=${encodeURIComponent(tag)}">${tag}</a> `)}</p>`;

type State = RunState | PhaseState | SweepProgress["state"];

/** A sign for each state, so that none is told by its colour alone. */
export const SIGNS: Record<State, string> = {
  pending: "·",
  queued: "·",
  waiting: "·",
  running: "▸",
  active: "▸",
  finished: "✓",
  complete: "✓",
  diverged: "×",
  failed: "!",
  stopped: "!",
  cancelled: "–",
};

export const badge = (state: State): Html =>
  html`<span class="badge ${state}"><span aria-hidden="true">${SIGNS[state]}</span> ${state}</span>`;

/** In the order in which bars show them. */
const BAR_STATES = ["finished", "diverged", "failed", "cancelled", "running", "queued", "pending"] as const;

/** "12 finished, 3 diverged", nothing that is none. */
export const countsText = (counts: Record<RunState, number>): string =>
  BAR_STATES.filter((state) => counts[state] > 0)
    .map((state) => `${counts[state]} ${state}`)
    .join(", ") || "no runs";

/** Runs by state as one bar; the numbers are its name. */
export function stateBar(counts: Record<RunState, number>): Html {
  const total = BAR_STATES.reduce((sum, state) => sum + counts[state], 0);
  let x = 0;
  const parts = BAR_STATES.filter((state) => counts[state] > 0).map((state) => {
    const width = (counts[state] / total) * 1000;
    const part = html`<rect class="${state}" x="${x.toFixed(2)}" y="0" width="${width.toFixed(2)}" height="8"/>`;
    x += width;
    return part;
  });
  return html`<svg class="bar" viewBox="0 0 1000 8" preserveAspectRatio="none" role="img" aria-label="Runs: ${countsText(counts)}">${parts}</svg>`;
}

/** Rate and time left, while there is something left. */
export function speedText(sweep: SweepProgress, rate: Rate | undefined): Html | string {
  if (unfinished(sweep) === 0) return "";
  if (rate === undefined)
    return html`<p class="muted">nothing is training it now: <code>musweep worker</code> starts a worker</p>`;
  const left = (sweep.planned_flops - sweep.done_flops) / rate.flops_per_second;
  return html`<p><strong>${duration(left)}</strong> left</p>
<p class="muted">${rate.runs_per_minute.toFixed(rate.runs_per_minute < 10 ? 1 : 0)} runs/min, ${quantity(rate.tokens_per_second)} tokens/s</p>`;
}

export interface Column<Row> {
  name: string;
  /** Numbers stand to the right; a heading names its row; a tick is something to press, whose name is not shown. */
  kind: "heading" | "number" | "words" | "tick";
  value: (row: Row) => Html | string | number;
  /** The address that orders the table by it, and how it is ordered by it now. */
  sort?: { href: string; now: "ascending" | "descending" | undefined };
}

const ARROWS = { ascending: " ▲", descending: " ▼" } as const;

const columnHead = <Row>({ name, kind, sort }: Column<Row>): Html =>
  sort === undefined
    ? html`<th scope="col" class="${kind}">${kind === "tick" ? html`<span class="visually-hidden">${name}</span>` : name}</th>`
    : html`<th scope="col" class="${kind}"${sort.now === undefined ? "" : html` aria-sort="${sort.now}"`}><a href="${sort.href}">${name}${sort.now === undefined ? "" : html`<span aria-hidden="true">${ARROWS[sort.now]}</span>`}</a></th>`;

/** A table that scrolls by itself where the screen is narrower, and can be reached by keyboard then. */
export function dataTable<Row>(
  id: string,
  caption: string,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
): Html {
  return html`<div class="scroll" role="region" aria-labelledby="${id}-caption" tabindex="0"><table id="${id}">
<caption id="${id}-caption"><span>${caption}</span></caption>
<thead><tr>${columns.map(columnHead)}</tr></thead>
<tbody>${rows.map(
    (row) =>
      html`<tr>${columns.map((c) =>
        c.kind === "heading"
          ? html`<th scope="row" class="heading">${c.value(row)}</th>`
          : html`<td class="${c.kind}">${c.value(row)}</td>`,
      )}</tr>
`,
  )}</tbody></table></div>`;
}

/** "2 min ago"; the exact time under the pointer, and for machines. */
export function ago(at: number, now = Date.now()): Html {
  const seconds = Math.max(0, Math.round((now - at) / 1000));
  const text =
    seconds < 60
      ? "just now"
      : seconds < 3600
        ? `${Math.floor(seconds / 60)} min ago`
        : seconds < 172_800
          ? `${plural(Math.floor(seconds / 3600), "hour")} ago`
          : `${plural(Math.floor(seconds / 86_400), "day")} ago`;
  const iso = new Date(at).toISOString();
  return html`<time datetime="${iso}" title="${iso.replace("T", " ").slice(0, 19)} UTC">${text}</time>`;
}
