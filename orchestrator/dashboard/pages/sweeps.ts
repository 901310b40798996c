/** The list of sweeps, newest first: how far each is, how fast it goes, when it will be done. */
import type { Context as Request } from "hono";
import type { Database } from "../../database/open.ts";
import { type SweepProgress, sweepProgress } from "../../database/progress.ts";
import { type Rate, sweepRates } from "../../database/rates.ts";
import { plural } from "../../terminal/format.ts";
import { ago, badge, countsText, speedText, stateBar, sweepPath } from "../components.ts";
import { type Html, html } from "../html.ts";
import { emptyState, page } from "../layout.ts";
import { fragment, streamFragments } from "../live.ts";
import type { Page } from "../page.ts";
import { type Key, pager, readSlice, type Slice } from "../paging.ts";

const SIZE = 20;

export const sweepsPage: Page = {
  nav: { title: "Sweeps", href: "/" },
  mount(app, { db }) {
    app.get("/", (c) => {
      const slice = readSweeps(c, db);
      const { search } = new URL(c.req.url);
      const body = html`<div class="title"><h1>Sweeps</h1><a class="button primary" href="/submit">New sweep</a></div>
${fragment("sweeps", list(db, slice.rows))}
${pager(c, slice, "sweeps")}`;
      return c.html(page(c, { title: "Sweeps", section: "/", live: `/live${search}`, body }));
    });
    app.get("/live", (c) => streamFragments(c, db, () => ({ sweeps: list(db, readSweeps(c, db).rows) })));
  },
};

interface Row {
  id: number;
  name: string;
  submitted_at: number;
}

function readSweeps(c: Request, { sqlite }: Database): Slice<Row> {
  const fetch = (from: Key | null, backward: boolean, limit: number): Row[] => {
    const [comparison, order] = backward ? [">", "ASC"] : ["<", "DESC"];
    return sqlite
      .prepare<unknown[], Row>(
        `SELECT id, name, submitted_at FROM sweeps
         ${from === null ? "" : `WHERE (submitted_at, id) ${comparison} (?, ?)`}
         ORDER BY submitted_at ${order}, id ${order} LIMIT ?`,
      )
      .all(...(from === null ? [] : [from[0], from[1]]), limit);
  };
  return readSlice(c, SIZE, (row) => [row.submitted_at, row.id], fetch);
}

function list(db: Database, rows: readonly Row[]): Html {
  if (rows.length === 0)
    return emptyState(
      "No sweeps yet",
      html`<a href="/submit">Submit a sweep file</a>; <code>musweep init</code> writes one to start from.`,
    );
  const rates = sweepRates(db);
  const sweeps = sweepProgress(
    db,
    rows.map((row) => row.name),
  );
  return html`<ol class="sweeps">${sweeps.map((sweep) => item(sweep, rates.get(sweep.id)))}</ol>`;
}

const item = (sweep: SweepProgress, rate: Rate | undefined): Html =>
  html`<li class="card sweep" id="sweep-${sweep.id}">
<div class="name"><h2><a href="${sweepPath(sweep.sweep)}">${sweep.sweep}</a></h2>
<p class="muted">${badge(sweep.state)} submitted ${ago(sweep.submitted_at)}</p></div>
<div class="progress">${stateBar(sweep.by_state)}<p><strong>${Math.floor(sweep.fraction * 100)}%</strong> of ${plural(sweep.runs, "run")}: ${countsText(sweep.by_state)}</p></div>
<div class="speed">${speedText(sweep, rate)}</div>
</li>
`;
