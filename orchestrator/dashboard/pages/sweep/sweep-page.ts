/** One sweep: how far it is, what it has found out, its curves, its grid, its runs; all of it live. */

import type { Context as Request } from "hono";
import { LOST_STATES } from "../../../../schema/database/states.ts";
import { MusweepError } from "../../../../schema/wire/errors.ts";
import { archiveSweep, noteOf, noteSweep, removeSweep } from "../../../database/keep-and-remove.ts";
import { progressOf, type SweepProgress } from "../../../database/progress.ts";
import { cancelSweep, requeueRuns } from "../../../database/stop-and-requeue.ts";
import { findSweep } from "../../../database/sweeps.ts";
import { readTags, setTags } from "../../../database/tags.ts";
import { inTurns } from "../../../machine/turns.ts";
import { readWorkers, type Workers } from "../../../queue/read-workers.ts";
import { atOnce } from "../../../redis/in-time.ts";
import { tunedNames } from "../../../report/answer.ts";
import type { CoordinateAnswer } from "../../../report/coordinate-answer.ts";
import { seriesOf } from "../../../report/figures/coordinates-figure.ts";
import { trained } from "../../../report/figures/html.ts";
import type { DrawnPhase } from "../../../report/figures/report-figures.ts";
import { plural } from "../../../terminal/format.ts";
import { removeFilesOf } from "../../../upkeep/leftovers.ts";
import { readForm } from "../../bodies.ts";
import { ago, sweepPath, tagList } from "../../components.ts";
import { embed, type Html, html } from "../../html.ts";
import { page } from "../../layout.ts";
import { type Fragments, fragment, streamFragments } from "../../live.ts";
import type { Context, Page } from "../../page.ts";
import { pager } from "../../paging.ts";
import { narrowedText, nextView, phasesView, specialAnswer, verdictView } from "./answer-view.ts";
import { type Answers, isLarge, keepAnswers, type SweepData } from "./answers.ts";
import { downloadAside } from "./download-aside.ts";
import { checkView, chosenPhase, figuresView, tablesView } from "./figures-view.ts";
import { fileList, readDownload } from "./files.ts";
import { filterBar, phaseTabs } from "./filters.ts";
import { heatMap } from "./heat-map.ts";
import { readRuns, runFilter, runList } from "./run-list.ts";
import { isSearchView, searchView } from "./search-view.ts";
import { statusView } from "./status.ts";
import { tabs } from "./tabs.ts";
import { readView, type View } from "./view.ts";

export const sweepPage: Page = {
  mount(app, context) {
    const { db } = context;
    const answers = keepAnswers(db);
    app.get("/sweeps/:name", async (c) => sweep(c, context, answers, await workersOf(context)));
    app.get("/sweeps/:name/live", (c) => {
      const name = c.req.param("name");
      progressOf(db, name);
      return streamFragments(
        c,
        db,
        async () =>
          (await inTurns(parts(c, context, answers, readView(c, db, name), await workersOf(context))))
            .fragments,
      );
    });
    app.get("/sweeps/:name/files/:file", async (c) => {
      const view = readView(c, db, c.req.param("name"));
      const { sweep } = view.progress;
      const name = c.req.param("file");
      const download =
        name === "sweep.yaml"
          ? { type: "application/yaml; charset=utf-8", content: findSweep(db, sweep)!.file }
          : isLarge(db, view.phases)
            ? await downloadAside(db, sweep, name, c.req.raw)
            : await readDownload(name, answers(view));
      if (download === null) return c.notFound();
      return c.body(download.content, 200, {
        "content-type": download.type,
        // Saved, never shown in place: what it holds is not ours.
        "content-disposition": `attachment; filename="${sweep}-${name}"`,
      });
    });
    app.post("/sweeps/:name/cancel", (c) => {
      const { sweep: name } = progressOf(db, c.req.param("name"));
      return c.redirect(`${sweepPath(name)}?notice=cancelled-${cancelSweep(db, name)}`, 303);
    });
    app.post("/sweeps/:name/note", async (c) => {
      const { sweep: name } = progressOf(db, c.req.param("name"));
      const { note } = await readForm(c);
      noteSweep(db, name, noteOf(typeof note === "string" ? note : undefined));
      return c.redirect(sweepPath(name), 303);
    });
    app.post("/sweeps/:name/tags", async (c) => {
      const { id, sweep: name } = progressOf(db, c.req.param("name"));
      const { tags } = await readForm(c);
      setTags(db, id, readTags(typeof tags === "string" ? tags : ""));
      return c.redirect(sweepPath(name), 303);
    });
    app.post("/sweeps/:name/archive", async (c) => {
      const progress = progressOf(db, c.req.param("name"));
      const { which } = await readForm(c);
      archiveSweep(db, progress, which === "undo" ? null : Date.now());
      return c.redirect(sweepPath(progress.sweep), 303);
    });
    app.post("/sweeps/:name/delete", (c) => {
      const { sweep: name } = progressOf(db, c.req.param("name"));
      const { runs } = removeSweep(db, name);
      removeFilesOf(context.state, runs);
      return c.redirect(`/?notice=deleted-${runs.length}`, 303);
    });
    app.post("/sweeps/:name/requeue", async (c) => {
      const { sweep: name } = progressOf(db, c.req.param("name"));
      const { which } = await readForm(c);
      if (which !== "failed" && which !== "missing")
        throw new MusweepError("bad-option", "say which runs: failed or missing", { kind: "usage" });
      return c.redirect(
        `${sweepPath(name)}?notice=requeued-${requeueRuns(db, name, { states: which === "failed" ? ["failed"] : LOST_STATES })}`,
        303,
      );
    });
  },
};

/** A phase that has not started yet may have as many, once it does. */
const FEW_LINES = [1, 2, 3, 4, 5, 6, 7, 8];

interface Parts {
  fragments: Fragments;
  data: SweepData;
  drawn: DrawnPhase | null;
}

const checksOf = ({ answer }: SweepData, { phase }: View): CoordinateAnswer[] =>
  answer.checks.filter((check) => check.phase === phase.name);

/** The parts that follow the database, in turns. */
function* parts(
  c: Request,
  { db }: Context,
  answers: Answers,
  view: View,
  workers: Workers | null,
): Generator<void, Parts> {
  const data = answers(view);
  yield;
  const drawn = chosenPhase(data, view);
  yield;
  const status = statusView(db, view.progress, data.answer.failures, workers);
  const verdicts = html`${narrowedText(data)}${verdictView(data.answer)}`;
  yield;
  const checks = checksOf(data, view);
  const figures = isSearchView(view)
    ? searchView(db, data, view)
    : checks.length > 0
      ? yield* checkView(checks)
      : yield* figuresView(drawn, view);
  yield;
  const tables = html`${yield* tablesView(drawn, data.answer)}`;
  yield;
  const map = isSearchView(view) ? html`` : heatMap(c, db, view);
  yield;
  const fragments = {
    status,
    verdicts,
    next: html`${nextView(view.progress, data)}`,
    phases: html`${phasesView(view.progress)}`,
    figures: html`${specialAnswer(data.answer, view.phase.name)}${figures}`,
    tables,
    "map-part": map,
    runs: runList(c, readRuns(c, db, view), view),
  };
  return { fragments, data, drawn };
}

/** Nothing is said while Redis does not answer: nobody knows then who is there. */
const workersOf = ({ redis }: Context): Promise<Workers | null> => atOnce(redis, readWorkers(redis));

async function sweep(
  c: Request,
  context: Context,
  answers: Answers,
  workers: Workers | null,
): Promise<Response> {
  const { db } = context;
  const name = c.req.param("name")!;
  const view = readView(c, db, name);
  const { data, drawn, fragments: live } = await inTurns(parts(c, context, answers, view, workers));
  const files = await inTurns(fileList(name, data));
  const runs = readRuns(c, db, view);
  const { search } = new URL(c.req.url);
  const isGrid = !isSearchView(view);
  const choices = (tab: string): Html =>
    html`<div class="choices">${phaseTabs(c, view, tab)}${filterBar(c, db, view, tab)}</div>`;
  return c.html(
    page(c, {
      title: name,
      section: "/",
      live: `${sweepPath(name)}/live${search}`,
      figureSeries: [...FEW_LINES, ...(drawn?.series ?? []), ...checksOf(data, view).map(seriesOf)],
      body: html`<div class="title"><h1>${name}</h1></div>
${notice(c)}
${noteView(view.progress)}
${fragment("status", live.status!)}
${tabs([
  {
    id: "answer",
    title: "Answer",
    body: html`<h2 id="answer">Does the optimal ${tunedNames(data.answer.rows)} transfer?</h2>
${fragment("verdicts", live.verdicts!)}
${fragment("next", live.next!)}
${fragment("phases", live.phases!)}`,
  },
  {
    id: "curves",
    title: isGrid ? "Curves" : "Search",
    body: html`<h2 id="curves">${isGrid ? "Curves" : "Search"}</h2>
${choices("curves")}
${fragment("figures", live.figures!)}`,
  },
  ...(isGrid
    ? [
        {
          id: "grid",
          title: "Grid",
          body: html`<h2 id="grid">Grid</h2>
${choices("grid")}
<a class="skip inline" href="#after-map">Skip the map</a>
${fragment("map-part", live["map-part"]!)}
<span id="after-map" tabindex="-1"></span>`,
        },
        {
          id: "optima",
          title: "Optima, drift, cost",
          body: html`<h2 id="optima">Optima, drift, cost</h2>
${choices("optima")}
${fragment("tables", live.tables!)}`,
        },
      ]
    : []),
  {
    id: "runs-heading",
    title: "Runs",
    body: html`<h2 id="runs-heading">Runs</h2>
${choices("runs-heading")}
${runFilter(c, runs)}
<form action="/compare" class="compared">${fragment("runs", live.runs!)}
${runs.rows.length < 2 ? "" : html`<button>Compare the checked runs</button>`}</form>
${pager(c, runs, "runs", "#runs-heading")}`,
  },
  {
    id: "trained",
    title: "What was trained",
    body: html`${embed(trained(data.trained))}
<h2 id="files">Files</h2>
${files}`,
  },
])}`,
    }),
  );
}

/** Outside of what follows the database: whoever writes one is not interrupted. */
const noteView = ({ sweep: name, note, tags, archived_at }: SweepProgress): Html =>
  html`${archived_at === null ? "" : html`<p class="note">Put away ${ago(archived_at)}: lists show it no longer.</p>`}
<div class="sweep-note">${tagList(tags)}${note === null ? "" : html`<p>${note}</p>`}
<details class="confirm"><summary class="button">${note === null ? "Add a note" : "Change the note"}…</summary><form method="post" action="${sweepPath(name)}/note">
<label for="note">Note, for people</label><textarea id="note" name="note" rows="3" maxlength="2000">${note ?? ""}</textarea><button>Save the note</button></form></details>
<details class="confirm"><summary class="button">${tags.length === 0 ? "Add tags" : "Change the tags"}…</summary><form method="post" action="${sweepPath(name)}/tags">
<label for="tags">Tags: words, with spaces between them</label><input id="tags" name="tags" value="${tags.join(" ")}" maxlength="900"> <button>Save the tags</button></form></details></div>`;

/** What the last action did. Only its kind and its number come from the address. */
function notice(c: Request) {
  const match = /^(cancelled|requeued)-(\d{1,9})$/.exec(c.req.query("notice") ?? "");
  if (match === null) return "";
  const runs = plural(Number(match[2]), "run");
  const text =
    match[1] === "cancelled"
      ? `${runs} cancelled. Requeueing what is missing takes them up where they stopped.`
      : `${runs} will be trained again.`;
  return html`<p class="note" role="status">${text}</p>`;
}
