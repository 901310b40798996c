/**
 * Submitting a sweep: paste or drop a file, see its mistakes at their lines or what it would train, confirm. The text travels
 * in the forms themselves, so that no answer ever loses it.
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Context as Request } from "hono";
import { MusweepError } from "../../../../schema/wire/errors.ts";
import { packageRoot } from "../../../../schema/wire/package.ts";
import type { Plan } from "../../../../schema/wire/plan.ts";
import { isTraining } from "../../../database/runs.ts";
import { findSweep } from "../../../database/sweeps.ts";
import { estimateSpeeds } from "../../../submission/estimate-speed.ts";
import { H100_TFLOPS, USUAL_UTILIZATION } from "../../../submission/gpu-time.ts";
import { type LoadedSweep, loadRemoteSweep, submitSweep } from "../../../submission/load-sweep.ts";
import { type PlanSummary, summarizePlan } from "../../../submission/plan-summary.ts";
import { knownSpeeds, type Speed } from "../../../submission/speed.ts";
import { SweepFileError } from "../../../sweep/problems.ts";
import { SWEEP_TEMPLATE } from "../../../sweep/template.ts";
import { plural } from "../../../terminal/format.ts";
import { readForm } from "../../bodies.ts";
import { sweepPath } from "../../components.ts";
import { type Html, html } from "../../html.ts";
import { page } from "../../layout.ts";
import type { Context, Page } from "../../page.ts";
import { planView } from "./plan-view.ts";
import { problemView } from "./problem-view.ts";

/** A sweep file on its way. */
interface Draft {
  text: string;
  /** Its name, for messages. */
  file: string;
}

export const submitPage: Page = {
  mount(app, context) {
    const { db } = context;
    app.get("/submit", (c) => c.html(formPage(c, startingPoint(c, context))));
    app.post("/submit", async (c) => {
      const draft = await readDraft(c);
      return guarded(c, draft, async () => {
        const loaded = await load(c, draft, context);
        const summary = await summarize(loaded, context, c.req.raw.signal);
        return c.html(planPage(c, draft, summary, loaded, isKnown(context, loaded)));
      });
    });
    app.post("/submit/edit", async (c) => c.html(formPage(c, await readDraft(c))));
    app.post("/sweeps", async (c) => {
      const draft = await readDraft(c);
      return guarded(c, draft, async () => {
        const { sweep } = await submitSweep(db, await load(c, draft, context));
        return c.redirect(sweepPath(sweep), 303);
      });
    });
  },
};

const load = (c: Request, { text, file }: Draft, { state, dataRoot }: Context): Promise<LoadedSweep> =>
  loadRemoteSweep(text, file, state, { dataRoot, signal: c.req.raw.signal });

const isKnown = ({ db }: Context, { sweep }: LoadedSweep): boolean => findSweep(db, sweep.name) !== undefined;

/** What is wrong with the draft is shown beside it; anything else is an error as everywhere. */
async function guarded(c: Request, draft: Draft, work: () => Promise<Response>): Promise<Response> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof MusweepError)) throw error;
    return c.html(formPage(c, draft, error), error.kind === "usage" ? 422 : 503);
  }
}

/** A chosen file goes before what the text field holds. Browsers send line ends as CR LF. */
async function readDraft(c: Request): Promise<Draft> {
  const form = await readForm(c);
  const { upload } = form;
  if (upload instanceof File && upload.size > 0)
    return { text: plainLines(await upload.text()), file: upload.name || "sweep.yaml" };
  const text = typeof form.text === "string" ? plainLines(form.text) : "";
  return { text, file: typeof form.file === "string" && form.file !== "" ? form.file : "sweep.yaml" };
}

const plainLines = (text: string): string => text.replaceAll("\r\n", "\n");

const SHIPPED = ["quickstart", "proxy-to-target", "proxy-40m"];

/** ?from=NAME: a file that ships; ?sweep=NAME: the file of a sweep that was submitted before. */
function startingPoint(c: Request, { db }: Context): Draft {
  const from = c.req.query("from");
  if (from === "template") return { text: SWEEP_TEMPLATE, file: "sweep.yaml" };
  if (from !== undefined && SHIPPED.includes(from))
    return {
      text: readFileSync(join(packageRoot(), "sweeps", `${from}.yaml`), "utf8"),
      file: `${from}.yaml`,
    };
  const sweep = c.req.query("sweep");
  const stored = findSweep(db, sweep ?? "");
  return stored === undefined
    ? { text: "", file: "sweep.yaml" }
    : { text: stored.file, file: stored.file_name ?? `${sweep}.yaml` };
}

/** A model may be made to take minutes a step. */
const MEASURE_MS = 60_000;

/**
 * Estimates this machine's speed where it was not measured, unless it trains: then it is busy, and would seem slow.
 * @param asked aborted when the browser is gone
 */
function summarize(loaded: LoadedSweep, { db, state }: Context, asked: AbortSignal): Promise<PlanSummary> {
  const place = { dataDirectory: state.data, slots: availableParallelism(), threads: 1, trainer: null };
  const speedsOf = async (plans: Map<string, Plan>): Promise<Map<string, Speed>> => {
    const known = knownSpeeds(db, plans.keys(), place);
    if (isTraining(db)) return known;
    // A plan without the time is better than none.
    const signal = AbortSignal.any([asked, AbortSignal.timeout(MEASURE_MS)]);
    return estimateSpeeds(db, plans, { ...place, signal }).catch(() => known);
  };
  return summarizePlan(db, loaded, place.slots, USUAL_UTILIZATION * H100_TFLOPS, speedsOf);
}

function formPage(c: Request, draft: Draft, error?: MusweepError): Html {
  const { problems, more } = error instanceof SweepFileError ? error : { problems: [], more: 0 };
  const title =
    error === undefined
      ? "New sweep"
      : problems.length > 0
        ? plural(problems.length + more, "mistake")
        : "Not yet";
  return page(c, {
    title,
    section: "/",
    body: html`<h1>${title}</h1>
${error === undefined ? "" : problems.length > 0 ? problemView(draft, problems, more) : html`<div role="alert"><p class="problem breaks">${error.message}</p>${error.remedy === undefined ? "" : html`<p>${error.remedy}</p>`}</div>`}
<form method="post" action="/submit" enctype="multipart/form-data" class="submit" data-busy="Checking, and measuring this machine’s speed…">
<input type="hidden" name="file" value="${draft.file}">
<label for="text">Sweep file</label>
<p class="muted" id="text-help">Paste it, or drop a <code>.yaml</code> file here. Nothing is queued before you have seen the plan.${
      draft.text === ""
        ? html` Or start from
<a href="/submit?from=template">a commented template</a>, <a href="/submit?from=quickstart">the quickstart</a> or
<a href="/submit?from=proxy-to-target">proxy to target</a>.`
        : ""
    }</p>
<textarea id="text" name="text" rows="${Math.min(40, Math.max(16, draft.text.split("\n").length + 1))}" spellcheck="false"
  autocapitalize="off" autocomplete="off" aria-describedby="text-help" data-drop>
${draft.text}</textarea>
<div class="actions"><button class="primary">Check and plan</button>
<label class="file">or a file: <input type="file" name="upload" accept=".yaml,.yml,text/yaml,application/yaml" data-fills="text"></label></div>
</form>`,
  });
}

const planPage = (
  c: Request,
  draft: Draft,
  summary: PlanSummary,
  { warnings }: LoadedSweep,
  known: boolean,
): Html =>
  page(c, {
    title: `Plan of ${summary.sweep}`,
    section: "/",
    body: html`<h1>Plan of ${summary.sweep}</h1>
${planView(summary, known)}
${warnings.map((w) => html`<p class="note">${draft.file}:${w.line}:${w.column}: <strong>${w.path}</strong>: ${w.message}</p>`)}
<form method="post" action="/sweeps" data-busy="Queueing…">
<input type="hidden" name="file" value="${draft.file}">
<textarea name="text" hidden aria-label="Sweep file">
${draft.text}</textarea>
<div class="actions"><button class="primary">${queueLabel(summary)}</button>
<button formaction="/submit/edit">Back to the file</button></div>
</form>`,
  });

function queueLabel({ to_train, searches }: PlanSummary): string {
  if (to_train > 0)
    return `Queue ${plural(to_train, "run")}${searches.length > 0 ? " and start the search" : ""}`;
  return searches.length > 0 ? "Start the search" : "Store it";
}
