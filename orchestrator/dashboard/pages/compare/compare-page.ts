/** Several runs side by side: their curves in one picture, their results, and what differs between their plans. */

import { lossText } from "../../../analysis/loss-text.ts";
import { readMetrics } from "../../../database/measurements.ts";
import { COMPARED_AT_MOST, type Run, readAttempts, readRun } from "../../../database/read-run.ts";
import { comparePlans, groupNames, type PlanDifference } from "../../../parameterization/compare-plans.ts";
import type { TrainingView } from "../../../report/figures/training-figure.ts";
import { splitTitles } from "../../../sweep/title.ts";
import { duration, short } from "../../../terminal/format.ts";
import { badge, comparePath, dataTable, runPath } from "../../components.ts";
import { type Html, html } from "../../html.ts";
import { emptyState, page } from "../../layout.ts";
import { fragment, streamFragments } from "../../live.ts";
import type { Context, Page } from "../../page.ts";
import {
  comparedTable,
  readTrainingView,
  trainingControls,
  trainingCurve,
  trainingFigures,
  trainingSearch,
} from "../../training-view.ts";

export const comparePage: Page = {
  mount(app, { db }) {
    app.get("/compare", (c) => {
      const asked = c.req.queries("run") ?? [];
      const { runs, common, unknown, left } = read(db, asked);
      const view = readTrainingView(c);
      const body = html`<h1>Compare runs</h1>
${common === "" ? "" : html`<p class="lead">All of them: ${common}</p>`}
${unknown.map((id) => html`<p class="problem breaks">There is no run “${id}”.</p>`)}
${left === 0 ? "" : html`<p class="problem">At most ${COMPARED_AT_MOST} curves can be told apart: the last ${left} are left out.</p>`}
${
  runs.length === 0
    ? emptyState(
        "No runs to compare yet",
        "A run's page offers the runs that differ from it in learning rate or seed; or add runs here by their ids.",
      )
    : html`${trainingControls(
        view,
        runs.flatMap((run) => readMetrics(db, run.id)),
        runs.map((run) => run.id),
      )}
${fragment("compare-curves", curves(db, runs, view))}
${fragment("compare-results", results(runs))}
${differences(runs)}`
}
${addForm(runs)}`;
      return c.html(
        page(c, {
          title: "Compare runs",
          section: "/",
          figureSeries: runs.length > 0 ? [runs.length] : [],
          ...(runs.length > 0 ? { live: `/compare/live${search(runs)}&${trainingSearch(c)}` } : {}),
          body,
        }),
      );
    });
    app.get("/compare/live", (c) => {
      const asked = c.req.queries("run") ?? [];
      const view = readTrainingView(c);
      return streamFragments(c, db, () => {
        const { runs } = read(db, asked);
        return { "compare-curves": curves(db, runs, view), "compare-results": results(runs) };
      });
    });
  },
};

type Db = Context["db"];

const search = (runs: readonly Run[]): string =>
  comparePath(runs.map((run) => run.id)).replace("/compare", "");

interface Compared {
  /** Their titles are what they have not in common. */
  runs: Run[];
  common: string;
  unknown: string[];
  left: number;
}

function read(db: Db, asked: readonly string[]): Compared {
  const ids = [...new Set(asked.map((id) => id.trim()).filter((id) => id !== ""))];
  const runs: Run[] = [];
  const unknown: string[] = [];
  for (const id of ids.slice(0, COMPARED_AT_MOST)) {
    const run = readRun(db, id);
    if (run === null) unknown.push(id);
    else runs.push(run);
  }
  return { ...shorten(runs), unknown, left: Math.max(0, ids.length - COMPARED_AT_MOST) };
}

function shorten(runs: Run[]): { runs: Run[]; common: string } {
  const { common, own } = splitTitles(runs.flatMap((run) => run.coordinates ?? []));
  // Some that no sweep asks for any more, or some alike in everything that a title says.
  if (own.length < runs.length || own.includes("") || runs.length < 2) return { runs, common: "" };
  return { common, runs: runs.map((run, i) => ({ ...run, title: own[i]! })) };
}

function curves(db: Db, runs: readonly Run[], view: TrainingView): Html {
  const drawn = runs.map((run) => trainingCurve(run, readAttempts(db, run.id), readMetrics(db, run.id)));
  const figures = trainingFigures("compared", drawn, view);
  return figures === null
    ? emptyState("Nothing to draw yet", "Curves appear with the first steps that workers report.")
    : html`${figures}${comparedTable(drawn, view)}`;
}

function results(runs: readonly Run[]): Html {
  const without = (run: Run): string => comparePath(runs.filter((r) => r !== run).map((r) => r.id));
  const loss = (value: number | null): string => (value === null ? "" : lossText(value, 4));
  return dataTable(
    "results",
    "In the order of the colours, from dark to light",
    [
      { name: "run", kind: "heading", value: (r: Run) => html`<a href="${runPath(r.id)}">${r.title}</a>` },
      { name: "outcome", kind: "words", value: (r) => badge(r.state) },
      { name: "step", kind: "number", value: (r) => r.step.toLocaleString("en-US") },
      { name: "validation loss", kind: "number", value: (r) => loss(r.validation_loss) },
      { name: "training loss", kind: "number", value: (r) => loss(r.train_loss) },
      { name: "time", kind: "number", value: (r) => (r.seconds === null ? "" : duration(r.seconds)) },
      { name: "host", kind: "words", value: (r) => r.host ?? "" },
      { name: "engine", kind: "words", value: (r) => r.engine ?? "" },
      {
        name: "remove",
        kind: "tick",
        value: (r) =>
          html`<a href="${without(r)}" aria-label="Remove ${r.title} from the comparison">Remove</a>`,
      },
    ],
    runs,
  );
}

function differences(runs: readonly Run[]): Html {
  // What was trained elsewhere has no plan.
  const plans = runs.flatMap((run) => run.plan ?? []);
  if (plans.length < 2 || plans.length < runs.length) return html``;
  const rows = comparePlans(plans);
  const every = new Set(plans.flatMap(groupNames)).size;
  const value = (v: PlanDifference["values"][number]): string =>
    v === undefined ? "–" : typeof v === "number" ? short(v) : String(v);
  return html`<h2>What differs</h2>
${
  rows.length === 0
    ? html`<p>Nothing: their plans are the same.</p>`
    : dataTable(
        "differences",
        "Numbers of the plans that are not the same in all; tensor groups with the same numbers stand together.",
        [
          {
            name: "number",
            kind: "heading" as const,
            value: (d: PlanDifference) => html`<code>${d.name}</code>`,
          },
          {
            name: "tensor groups",
            kind: "words" as const,
            value: (d: PlanDifference) => (d.groups.length === every ? "all" : d.groups.join(", ")),
          },
          ...runs.map((run, i) => ({
            name: run.title,
            kind: "number" as const,
            value: (d: PlanDifference) => value(d.values[i]),
          })),
        ],
        rows,
      )
}`;
}

const addForm = (runs: readonly Run[]): Html =>
  html`<form class="actions" action="/compare">
${runs.map((run) => html`<input type="hidden" name="run" value="${run.id}">`)}
<label for="add">Add a run by its id</label> <input id="add" name="run" required pattern=" *r[0-9a-f]{20} *" title="r and 20 hexadecimal digits" placeholder="r0123456789abcdef0123" size="24">
<button>Add</button></form>`;
