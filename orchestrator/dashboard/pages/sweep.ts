/** One sweep: how far it is, what it has found out, its curves, its grid, its runs; all of it live. */
import type { Context as Request } from "hono";
import { MusweepError } from "../../../schema/errors.ts";
import { progressOf } from "../../database/progress.ts";
import { cancelSweep, requeueRuns } from "../../database/stop-and-requeue.ts";
import { plural } from "../../terminal/format.ts";
import { sweepPath } from "../components.ts";
import { html } from "../html.ts";
import { page } from "../layout.ts";
import { type Fragments, fragment, streamFragments } from "../live.ts";
import type { Context, Page } from "../page.ts";
import { pager } from "../paging.ts";
import { phasesView, specialAnswer, verdictView } from "../sweep/answer-view.ts";
import { type Answers, keepAnswers } from "../sweep/answers.ts";
import { chosenPhase, figuresView, tablesView } from "../sweep/figures-view.ts";
import { fileList, readDownload } from "../sweep/files.ts";
import { filterBar, phaseTabs } from "../sweep/filters.ts";
import { heatMap } from "../sweep/heat-map.ts";
import { readRuns, runList } from "../sweep/run-list.ts";
import { statusView } from "../sweep/status.ts";
import { readView, type View } from "../sweep/view.ts";

export const sweepPage: Page = {
  mount(app, context) {
    const { db } = context;
    const answers = keepAnswers(db);
    app.get("/sweeps/:name", (c) => sweep(c, context, answers));
    app.get("/sweeps/:name/live", (c) => {
      const name = c.req.param("name");
      progressOf(db, name);
      return streamFragments(c, db, () => parts(c, context, answers, readView(c, db, name)));
    });
    app.get("/sweeps/:name/files/:file", (c) => {
      const progress = progressOf(db, c.req.param("name"));
      const { file } = db.sqlite
        .prepare<[number], { file: string }>("SELECT file FROM sweeps WHERE id = ?")
        .get(progress.id)!;
      const name = c.req.param("file");
      const download = readDownload(name, answers(progress), file);
      if (download === null) return c.notFound();
      return c.body(download.content, 200, {
        "content-type": download.type,
        // Saved, never shown in place: what it holds is not ours.
        "content-disposition": `attachment; filename="${progress.sweep}-${name}"`,
      });
    });
    app.post("/sweeps/:name/cancel", (c) => {
      const { sweep: name } = progressOf(db, c.req.param("name"));
      return c.redirect(`${sweepPath(name)}?notice=cancelled-${cancelSweep(db, name)}`, 303);
    });
    app.post("/sweeps/:name/requeue", async (c) => {
      const { sweep: name } = progressOf(db, c.req.param("name"));
      const { which } = await c.req.parseBody();
      if (which !== "failed" && which !== "missing")
        throw new MusweepError("bad-option", "say which runs: failed or missing", { kind: "usage" });
      return c.redirect(`${sweepPath(name)}?notice=requeued-${requeueRuns(db, name, which)}`, 303);
    });
  },
};

/** A phase that has not started yet may have as many, once it does. */
const FEW_LINES = [1, 2, 3, 4, 5, 6, 7, 8];

/** The parts that follow the database. */
function parts(c: Request, { db }: Context, answers: Answers, view: View): Fragments {
  const data = answers(view.progress);
  const drawn = chosenPhase(data, view);
  return {
    status: statusView(db, view.progress, data.answer.failures),
    verdicts: verdictView(data.answer),
    phases: html`${phasesView(view.progress)}`,
    figures: html`${specialAnswer(data.answer, view.phase.name)}${figuresView(drawn, view)}`,
    tables: html`${tablesView(drawn, data.answer)}`,
    "map-part": heatMap(c, db, view),
    runs: runList(readRuns(c, db, view).rows, view),
  };
}

function sweep(c: Request, context: Context, answers: Answers): Response | Promise<Response> {
  const { db } = context;
  const name = c.req.param("name")!;
  const view = readView(c, db, name);
  const data = answers(view.progress);
  const live = parts(c, context, answers, view);
  const { search } = new URL(c.req.url);
  return c.html(
    page(c, {
      title: name,
      section: "/",
      live: `${sweepPath(name)}/live${search}`,
      figureSeries: [...FEW_LINES, ...(chosenPhase(data, view)?.series ?? [])],
      body: html`<div class="title"><h1>${name}</h1></div>
${notice(c)}
${fragment("status", live.status!)}
<h2 id="answer">Does the optimal learning rate transfer?</h2>
${fragment("verdicts", live.verdicts!)}
${fragment("phases", live.phases!)}
<div class="choices">${phaseTabs(c, view)}${filterBar(c, db, view)}</div>
<section aria-labelledby="curves"><h2 id="curves">Curves</h2>
${fragment("figures", live.figures!)}</section>
<section id="map-section" aria-labelledby="grid"><h2 id="grid">Grid</h2>
<a class="skip inline" href="#optima">Skip the map</a>
${fragment("map-part", live["map-part"]!)}</section>
<section aria-labelledby="optima"><h2 id="optima">Optima, drift, cost</h2>
${fragment("tables", live.tables!)}</section>
<section aria-labelledby="runs-heading"><h2 id="runs-heading">Runs</h2>
${fragment("runs", live.runs!)}
${pager(c, readRuns(c, db, view), "runs")}</section>
<section aria-labelledby="files"><h2 id="files">Files</h2>
${fileList(name, data)}</section>`,
    }),
  );
}

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
