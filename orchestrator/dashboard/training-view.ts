/** Training curves in a page: the figure for wide and for narrow screens, and the numbers beside it. */
import type { Context as Request } from "hono";
import type { MetricPoint } from "../../schema/wire/events.ts";
import { ownMetricName } from "../../schema/wire/outcomes.ts";
import { isScriptPlan } from "../../schema/wire/plan.ts";
import { lossText } from "../analysis/loss-text.ts";
import { ownNames } from "../database/measurements.ts";
import type { Run, RunAttempt } from "../database/read-run.ts";
import { lossUnit } from "../report/figures/labels.ts";
import { type TrainingCurve, type TrainingView, trainingFigure } from "../report/figures/training-figure.ts";
import { metricsQuery } from "../sql/examples.ts";
import { plural } from "../terminal/format.ts";
import { dataTable } from "./components.ts";
import { embed, type Html, html } from "./html.ts";

/** As those of the report: a browser window of 1200 px, and a phone. */
const WIDE = 1120;
const NARROW = 352;
/** Rows of the table; a curve has a few hundred points. */
const ROWS_SHOWN = 50;
const ROWS_COMPARED = 25;

/** What the training figure draws of a run. */
export const trainingCurve = (
  run: Run,
  attempts: readonly RunAttempt[],
  points: TrainingCurve["points"],
): TrainingCurve => ({
  run: run.id,
  title: run.title,
  unit: lossUnit({ isKnown: run.plan !== null && !isScriptPlan(run.plan) }),
  steps: run.steps,
  points,
  resumed: attempts
    .slice(1)
    .flatMap(({ number, resumed_from_step }) =>
      resumed_from_step === null ? [] : [{ attempt: number, step: resumed_from_step }],
    ),
  diverged_at: run.state === "diverged" ? run.step : null,
});

const SMOOTHINGS = [1, 5, 21, 51];

/** As the address says it: ?metric=accuracy&scale=log&start=all&smooth=21&from=100&to=500 */
export function readTrainingView(c: Request): TrainingView {
  const step = (name: string): number | null => {
    const text = c.req.query(name)?.trim() ?? "";
    return /^\d{1,9}$/.test(text) ? Number(text) : null;
  };
  const smooth = Number(c.req.query("smooth"));
  const metric = ownMetricName.safeParse(c.req.query("metric"));
  return {
    metric: metric.success ? metric.data : null,
    isLog: c.req.query("scale") === "log",
    withStart: c.req.query("start") === "all",
    smooth: SMOOTHINGS.includes(smooth) ? smooth : 1,
    from: step("from") ?? 0,
    to: step("to"),
  };
}

/** The part of an address that says how curves are looked at. */
export function trainingSearch(c: Request): string {
  const kept = new URLSearchParams();
  for (const name of ["metric", "scale", "start", "smooth", "from", "to"]) {
    const value = c.req.query(name);
    if (value !== undefined && value !== "") kept.set(name, value);
  }
  return kept.toString();
}

/** @param points of all runs; @param runs those of a comparison, which the form hands on */
export function trainingControls(
  view: TrainingView,
  points: readonly MetricPoint[],
  runs: readonly string[] = [],
): Html {
  const own = ownNames(points);
  const metrics = view.metric === null || own.includes(view.metric) ? own : [...own, view.metric];
  const option = (value: string | number, title: string, isChosen: boolean): Html =>
    html`<option value="${value}"${isChosen ? html` selected` : ""}>${title}</option>`;
  return html`<form method="get" class="filters" aria-label="How the curves are shown" data-auto>
${runs.map((run) => html`<input type="hidden" name="run" value="${run}">`)}
${metrics.length === 0 ? "" : html`<label>curve of <select name="metric">${option("", "loss", view.metric === null)}${metrics.map((name) => option(name, name, name === view.metric))}</select></label>`}
<label>${view.metric === null ? "loss" : "vertical"} axis <select name="scale">${option("", "linear", !view.isLog)}${option("log", "logarithmic", view.isLog)}</select></label>
<label>start <select name="start">${option("", "cut off", !view.withStart)}${option("all", "shown", view.withStart)}</select></label>
<label>mean over <select name="smooth">${SMOOTHINGS.map((n) => option(n === 1 ? "" : n, n === 1 ? "1 point" : `${n} points`, n === view.smooth))}</select></label>
<label>steps from <input name="from" size="7" inputmode="numeric" pattern="[0-9]*" value="${view.from === 0 ? "" : view.from}"></label>
<label>to <input name="to" size="7" inputmode="numeric" pattern="[0-9]*" value="${view.to ?? ""}"></label>
<button>Show</button></form>`;
}

/** Null before the first step of any of them. */
export function trainingFigures(
  id: string,
  curves: readonly TrainingCurve[],
  view: TrainingView,
): Html | null {
  const wide = trainingFigure(curves, { id, width: WIDE, view });
  const narrow = trainingFigure(curves, { id: `${id}-narrow`, width: NARROW, view });
  if (wide === null || narrow === null) return null;
  return html`<figure><div class="scroll wide">${embed(wide.svg)}</div><div class="scroll narrow">${embed(narrow.svg)}</div></figure>`;
}

const ownText = ({ own_metrics }: Pick<MetricPoint, "own_metrics">, name: string): string => {
  const value = own_metrics?.[name];
  return value === undefined ? "" : String(Number(value.toPrecision(6)));
};

const loss = (value: number | null): string => (value === null ? "" : lossText(value, 4));

/** The first point, the last, every evaluation, and of the others as many as fit a table. */
export function pointsTable(run: string, points: readonly MetricPoint[]): Html {
  const every = Math.ceil(points.length / ROWS_SHOWN);
  const rows = points.filter(
    (point, i) => i % every === 0 || i === points.length - 1 || point.validation_loss !== null,
  );
  const query = metricsQuery(run);
  return html`<details><summary>The curve in numbers</summary>
${dataTable(
  "points",
  rows.length === points.length
    ? `All ${plural(points.length, "stored point")}`
    : `${rows.length} of ${plural(points.length, "stored point")}: every evaluation, and each ${every}th of the others`,
  [
    { name: "step", kind: "heading", value: (p) => p.step.toLocaleString("en-US") },
    { name: "training loss", kind: "number", value: (p) => loss(p.train_loss) },
    { name: "validation loss", kind: "number", value: (p) => loss(p.validation_loss) },
    {
      name: "gradient norm",
      kind: "number",
      value: (p) => (p.gradient_norm === null ? "" : p.gradient_norm.toPrecision(4)),
    },
    {
      name: "tokens/s",
      kind: "number",
      value: (p) =>
        p.tokens_per_second === null ? "" : Math.round(p.tokens_per_second).toLocaleString("en-US"),
    },
    ...ownNames(points).map((name) => ({
      name,
      kind: "number" as const,
      value: (p: MetricPoint) => ownText(p, name),
    })),
  ],
  rows,
)}
<p><a href="/sql?query=${encodeURIComponent(query)}">All of them in SQL</a></p></details>`;
}

/** Training losses, or what else is chosen, side by side, at steps that are spread over all of them; validation losses in brackets. */
export function comparedTable(curves: readonly TrainingCurve[], { metric }: TrainingView): Html {
  const losses = curves.map(({ points }) => new Map(points.map((point) => [point.step, point])));
  const steps = [...new Set(losses.flatMap((points) => [...points.keys()]))].sort((a, b) => a - b);
  const every = Math.ceil(steps.length / ROWS_COMPARED);
  const rows = steps.filter(
    (step, i) =>
      i % every === 0 ||
      i === steps.length - 1 ||
      losses.some((points) => typeof points.get(step)?.validation_loss === "number"),
  );
  const cell = (point: TrainingCurve["points"][number] | undefined): string =>
    point === undefined
      ? ""
      : metric !== null
        ? ownText(point, metric)
        : `${loss(point.train_loss)}${point.validation_loss === null ? "" : ` (${loss(point.validation_loss)})`}`;
  return html`<details><summary>The curves in numbers</summary>
${dataTable(
  "compared-points",
  metric === null
    ? "Training loss by step; in brackets the validation loss, where it was measured"
    : `${metric} by step`,
  [
    { name: "step", kind: "heading" as const, value: (step: number) => step.toLocaleString("en-US") },
    ...curves.map(({ title }, i) => ({
      name: title,
      kind: "number" as const,
      value: (step: number) => cell(losses[i]!.get(step)),
    })),
  ],
  rows,
)}</details>`;
}
