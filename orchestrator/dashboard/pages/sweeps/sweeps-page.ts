/** The list of sweeps, newest first: how far each is, how fast it goes, when it will be done. */
import type { Context as Request } from "hono";
import type { Database } from "../../../database/open.ts";
import { doneText, type SweepProgress, sweepProgress } from "../../../database/progress.ts";
import { type Rate, sweepRates } from "../../../database/rates.ts";
import { type ListedSweep, listSweeps } from "../../../database/sweeps.ts";
import { knownTags } from "../../../database/tags.ts";
import { plural } from "../../../terminal/format.ts";
import { ago, badge, countsText, speedText, stateBar, sweepPath, tagList } from "../../components.ts";
import { type Html, html } from "../../html.ts";
import { emptyState, page } from "../../layout.ts";
import { fragment, streamFragments } from "../../live.ts";
import type { Page } from "../../page.ts";
import { pager, readSlice, type Slice } from "../../paging.ts";

const SIZE = 20;

export const sweepsPage: Page = {
  nav: { title: "Sweeps", href: "/" },
  mount(app, { db }) {
    app.get("/", (c) => {
      const slice = readSweeps(c, db);
      const { search } = new URL(c.req.url);
      const isArchive = c.req.query("archived") !== undefined;
      const tag = c.req.query("tag");
      const title = isArchive
        ? "Archived sweeps"
        : tag === undefined
          ? "Sweeps"
          : `Sweeps with the tag ${tag}`;
      const body = html`<div class="title"><h1>${title}</h1><a class="button primary" href="/submit">New sweep</a></div>
${notice(c)}
${tagBar(knownTags(db), tag)}
${fragment("sweeps", list(db, slice.rows, tag))}
${pager(c, slice, "sweeps")}
<p class="muted">${isArchive ? html`<a href="/">Sweeps that are not archived</a>` : html`<a href="/?archived">Archived sweeps</a>`}</p>`;
      return c.html(page(c, { title, section: "/", live: `/live${search}`, body }));
    });
    app.get("/live", (c) =>
      streamFragments(c, db, () => ({ sweeps: list(db, readSweeps(c, db).rows, c.req.query("tag")) })),
    );
  },
};

const readSweeps = (c: Request, db: Database): Slice<ListedSweep> =>
  readSlice(
    c,
    SIZE,
    (row) => [row.submitted_at, row.id],
    (from, backward, limit) =>
      listSweeps(db, from === null ? null : [Number(from[0]), Number(from[1])], backward, limit, {
        tag: c.req.query("tag") ?? null,
        archived: c.req.query("archived") !== undefined,
      }),
  );

/** The sweeps of one tag, or of all. */
function tagBar(tags: readonly string[], chosen: string | undefined): Html | "" {
  if (tags.length === 0) return "";
  const link = (href: string, title: string, isCurrent: boolean): Html =>
    html`<a href="${href}"${isCurrent ? html` aria-current="true"` : ""}>${title}</a> `;
  return html`<nav class="tags" aria-label="Tags">${link("/", "all", chosen === undefined)}${tags.map((tag) =>
    link(`/?tag=${encodeURIComponent(tag)}`, tag, tag === chosen),
  )}</nav>`;
}

function list(db: Database, rows: readonly ListedSweep[], tag: string | undefined): Html {
  if (rows.length === 0 && tag !== undefined)
    return emptyState(`No sweep has the tag ${tag}`, html`<a href="/">All sweeps</a>`);
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

/** What was deleted last. Only its number comes from the address. */
function notice(c: Request): Html | "" {
  const runs = /^deleted-(\d{1,9})$/.exec(c.req.query("notice") ?? "")?.[1];
  return runs === undefined
    ? ""
    : html`<p class="note" role="status">The sweep is deleted, with ${plural(Number(runs), "run")} that no other one wants.</p>`;
}

const item = (sweep: SweepProgress, rate: Rate | undefined): Html =>
  html`<li class="card sweep" id="sweep-${sweep.id}">
<div class="name"><h2><a href="${sweepPath(sweep.sweep)}">${sweep.sweep}</a></h2>
<p class="muted">${badge(sweep.state)} submitted ${ago(sweep.submitted_at)}</p>${sweep.note === null ? "" : html`<p class="words">${sweep.note}</p>`}${tagList(sweep.tags)}</div>
<div class="progress">${stateBar(sweep.by_state)}<p><strong>${doneText(sweep)}</strong> of ${plural(sweep.runs, "run")}: ${countsText(sweep.by_state)}</p></div>
<div class="speed">${speedText(sweep, rate)}</div>
</li>
`;
