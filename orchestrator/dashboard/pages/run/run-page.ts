/** One run: how far it is, its curve, what was trained and where, who asks for it, every attempt, the end of the log. */
import { flopsPerToken, sparseFlopsPerToken, trainingFlops } from "../../../../schema/wire/cost.ts";
import { MusweepError } from "../../../../schema/wire/errors.ts";
import { BUILT_IN_TRAINER, isScriptPlan } from "../../../../schema/wire/plan.ts";
import { lossText } from "../../../analysis/loss-text.ts";
import { readMetrics } from "../../../database/measurements.ts";
import {
  type Run,
  type RunAttempt,
  readAsking,
  readAttempts,
  readRelatives,
  readRun,
} from "../../../database/read-run.ts";
import type { TrainingView } from "../../../report/figures/training-figure.ts";
import { duration, quantity } from "../../../terminal/format.ts";
import { ago, badge, comparePath, dataTable, runPath, sweepPath } from "../../components.ts";
import { type Html, html } from "../../html.ts";
import { emptyState, page } from "../../layout.ts";
import { fragment, streamFragments } from "../../live.ts";
import type { Context, Page } from "../../page.ts";
import {
  pointsTable,
  readTrainingView,
  trainingControls,
  trainingCurve,
  trainingFigures,
  trainingSearch,
} from "../../training-view.ts";
import { planContent } from "./plan-view.ts";

export const runPage: Page = {
  mount(app, { db }) {
    app.get("/runs/:id", (c) => {
      const run = find(db, c.req.param("id"));
      const view = readTrainingView(c);
      const live = liveParts(db, run, view);
      return c.html(
        page(c, {
          title: run.title,
          section: "/",
          live: `${runPath(run.id)}/live?${trainingSearch(c)}`,
          figureSeries: [1],
          body: html`${crumbs(db, run)}
<h1>${run.title}</h1>
${fragment("run-state", live["run-state"])}
${
  run.plan === null
    ? html`<p>It was trained elsewhere: <code>musweep import</code> has brought its result.</p>
${compareLinks(db, run)}`
    : html`<h2>Training curve</h2>
${trainingControls(view, readMetrics(db, run.id))}
${fragment("run-curve", live["run-curve"])}
${compareLinks(db, run)}
<h2>What was trained</h2>
${planContent(run.plan, run.coordinates)}
<h2>Attempts</h2>
${fragment("run-attempts", live["run-attempts"])}`
}
<h2>Who asks for it</h2>
${askingTable(db, run)}`,
        }),
      );
    });
    app.get("/runs/:id/live", (c) => {
      const { id } = find(db, c.req.param("id"));
      const view = readTrainingView(c);
      return streamFragments(c, db, () => liveParts(db, find(db, id), view));
    });
  },
};

type Db = Context["db"];

function find(db: Db, id: string): Run {
  const run = readRun(db, id);
  if (run !== null) return run;
  throw new MusweepError("unknown-run", `there is no run "${id}"`, {
    kind: "usage",
    remedy: "A run's id is r and 20 hexadecimal digits; each sweep's page links to its runs.",
  });
}

function liveParts(
  db: Db,
  run: Run,
  view: TrainingView,
): Record<"run-state" | "run-curve" | "run-attempts", Html> {
  const attempts = readAttempts(db, run.id);
  const points = readMetrics(db, run.id);
  const speed = points.findLast((point) => point.tokens_per_second !== null)?.tokens_per_second ?? null;
  return {
    "run-state": html`${stateLine(run, attempts, speed)}${facts(run, attempts)}`,
    "run-curve": html`${
      trainingFigures("training", [trainingCurve(run, attempts, points)], view) ??
      emptyState("Nothing to draw yet", "The curve appears with the first step that a worker reports.")
    }${points.length === 0 ? "" : pointsTable(run.id, points)}`,
    "run-attempts": attemptsContent(attempts),
  };
}

/** The first sweep that asks for the run, as the way back. */
function crumbs(db: Db, run: Run): Html | "" {
  const [first] = readAsking(db, run.id).asking;
  return first === undefined
    ? ""
    : html`<p class="crumbs"><a href="${sweepPath(first.sweep)}">${first.sweep}</a></p>`;
}

function stateLine(run: Run, attempts: readonly RunAttempt[], speed: number | null): Html {
  const { step, steps, state } = run;
  if (run.plan === null) return html`<p class="state">${badge(state)}</p>`;
  const isKnown = run.plan.steps !== null;
  const percent = isKnown ? Math.floor((100 * step) / steps) : state === "finished" ? 100 : 0;
  const parts = [
    isKnown
      ? `step ${step.toLocaleString("en-US")} of ${steps.toLocaleString("en-US")} (${percent}%)`
      : `step ${step.toLocaleString("en-US")}`,
  ];
  if (state === "running" && !isScriptPlan(run.plan) && speed !== null && speed > 0) {
    const tokens = (steps - step) * run.plan.batch_size * run.plan.shape.sequence_length;
    parts.push(`${Math.round(speed).toLocaleString("en-US")} tokens/s`, `${duration(tokens / speed)} left`);
  }
  if (state === "running" && attempts.length > 0) parts.push(`on ${attempts.at(-1)!.host}`);
  return html`<p class="state">${badge(state)} ${parts.join(", ")}</p>
<svg class="bar" viewBox="0 0 1000 8" preserveAspectRatio="none" role="img" aria-label="${percent}% of the steps are done"><rect class="${state}" x="0" y="0" width="${isKnown ? (1000 * step) / steps : 10 * percent}" height="8"/></svg>
${run.error === null ? "" : html`<p class="problem breaks">${run.error}</p>`}`;
}

/** As for a dense model; and of the models that ship, without the weights that the embedded trainer does not multiply. */
function flopsText({ plan, flops }: Run): string | null {
  if (plan === null) return null;
  if (isScriptPlan(plan)) return flops === null || flops === 0 ? null : quantity(flops);
  const share = plan.trainer.name === BUILT_IN_TRAINER ? sparseFlopsPerToken(plan) / flopsPerToken(plan) : 1;
  const count = flops ?? trainingFlops(plan);
  const sparse = share < 1 ? `, sparse ${quantity(share * count)}` : "";
  return `${quantity(count)}${sparse}${flops === null ? " planned" : ""}`;
}

function facts(run: Run, attempts: readonly RunAttempt[]): Html {
  const device = attempts.at(-1)?.device;
  const checkpoint = attempts.findLast((attempt) => attempt.checkpoint !== null)?.checkpoint ?? null;
  const code = (value: string | null): Html | null =>
    value === null ? null : html`<code class="breaks">${value}</code>`;
  const known: [string, Html | string | null][] = [
    [
      "validation loss",
      run.validation_loss === null ? null : html`<strong>${lossText(run.validation_loss, 4)}</strong>`,
    ],
    ["training loss", run.train_loss === null ? null : lossText(run.train_loss, 4)],
    ["diverged", divergenceText(run)],
    ...Object.entries(run.own_metrics ?? {}).map(([name, value]): [string, string] => [
      name,
      String(Number(value.toPrecision(6))),
    ]),
    ["tokens", run.tokens === null || run.tokens === 0 ? null : quantity(run.tokens)],
    ["FLOPs", flopsText(run)],
    ["time", run.seconds === null ? null : duration(run.seconds)],
    ["host", run.host],
    ["engine", run.engine === null ? null : `${run.engine}${device ? `, ${device}` : ""}`],
    ["parameters", parametersText(run)],
    ["submitted", ago(run.created_at)],
    ["last change", ago(run.updated_at)],
    [run.plan === null ? "run id" : "plan hash (run id)", code(run.id)],
    ["data hash", code(run.plan === null || isScriptPlan(run.plan) ? null : run.plan.data.hash)],
    ["checkpoint", code(checkpoint)],
    ["weights", code(run.weights_path)],
  ];
  return html`<dl class="facts">${known.map(([name, value]) =>
    value === null ? "" : html`<div><dt>${name}</dt><dd>${value}</dd></div>`,
  )}</dl>`;
}

function divergenceText({ state, divergence, last_finite_loss, step }: Run): string | null {
  if (state !== "diverged") return null;
  const why =
    divergence === "non-finite"
      ? "the loss was no longer a number"
      : "the loss stayed above that of the first step";
  const last = last_finite_loss === null ? "" : `; last loss ${lossText(last_finite_loss, 3)}`;
  return `at step ${step.toLocaleString("en-US")}: ${why}${last}`;
}

function parametersText({ parameters, nonzero_parameters }: Run): string | null {
  if (parameters === null) return null;
  if (nonzero_parameters === null || nonzero_parameters === parameters) return quantity(parameters);
  return `${quantity(parameters)}, ${quantity(nonzero_parameters)} under the masks`;
}

function compareLinks(db: Db, run: Run): Html | "" {
  const relatives = readRelatives(db, run.id);
  if (relatives.length === 0) return "";
  return html`<p class="actions">Compare with ${relatives.map(
    ({ what, runs }) =>
      html`<a class="button" href="${comparePath(runs)}">${what} (${runs.length} runs)</a> `,
  )}</p>`;
}

function attemptsContent(attempts: readonly RunAttempt[]): Html {
  if (attempts.length === 0)
    return emptyState(
      "No attempt yet",
      html`A worker takes the run from its queue: <a href="/workers">workers</a>.`,
    );
  const logged = attempts.filter(({ log_tail }) => log_tail !== null && log_tail.trim() !== "");
  return html`${dataTable(
    "attempts",
    "Every try at this run. An attempt that its worker gave back, or that was lost, is followed by another.",
    [
      {
        name: "attempt",
        kind: "heading",
        value: (a) => html`<span title="number ${a.attempt}">${a.number}</span>`,
      },
      { name: "outcome", kind: "words", value: (a) => a.outcome ?? "in progress" },
      { name: "host", kind: "words", value: (a) => html`<span title="worker ${a.worker}">${a.host}</span>` },
      { name: "engine", kind: "words", value: (a) => [a.engine, a.device].filter(Boolean).join(", ") },
      { name: "began", kind: "words", value: (a) => ago(a.started_at) },
      {
        name: "took",
        kind: "number",
        value: (a) => (a.ended_at === null ? "" : duration((a.ended_at - a.started_at) / 1000)),
      },
      {
        name: "from step",
        kind: "number",
        value: (a) => (a.resumed_from_step === null ? "" : a.resumed_from_step.toLocaleString("en-US")),
      },
      {
        name: "what happened",
        kind: "words",
        value: (a) =>
          html`${a.code === null ? "" : html`<code>${a.code}</code> `}${a.error ?? ""}${a.notes.map((note) => html`<div class="muted">${note}</div>`)}`,
      },
    ],
    attempts,
  )}
${logged.map(
  (a, i) =>
    html`<details id="log-${a.number}"${i === logged.length - 1 ? html` open` : ""}><summary>End of the log of attempt ${a.number}</summary><pre class="log" tabindex="0">${a.log_tail}</pre></details>`,
)}`;
}

function askingTable(db: Db, run: Run): Html {
  const { asking, total } = readAsking(db, run.id);
  if (total === 0)
    return emptyState(
      "No sweep asks for this run any more",
      "Its result is kept, and used again by any sweep that has this grid point.",
    );
  return dataTable(
    "asking",
    total > asking.length
      ? `The first ${asking.length} of ${total} grid points that mean this training`
      : "Grid points that mean this training; it is done once for all of them.",
    [
      { name: "sweep", kind: "heading", value: (a) => html`<a href="${sweepPath(a.sweep)}">${a.sweep}</a>` },
      { name: "phase", kind: "words", value: (a) => a.phase },
      { name: "grid point", kind: "words", value: (a) => a.title },
      {
        name: "why",
        kind: "words",
        value: (a) => (a.reason === "grid" ? "in the sweep file's grid" : a.reason),
      },
    ],
    asking,
  );
}
