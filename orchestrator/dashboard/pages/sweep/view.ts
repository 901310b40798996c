/** What of a sweep a page shows: one phase of it, and of that the curves that the filters leave. */
import type { Context as Request } from "hono";
import { RUN_STATES, type RunState } from "../../../../schema/database/states.ts";
import type { Chosen } from "../../../database/cells.ts";
import type { Database } from "../../../database/open.ts";
import { readPhases, type StoredPhase } from "../../../database/phases.ts";
import { progressOf, type SweepProgress } from "../../../database/progress.ts";
import type { FigureCurve } from "../../../report/figures/data.ts";

/** By which curves are chosen. */
export const CURVE_FILTERS = ["parameterization", "width", "sparsity"] as const;
export type CurveFilter = (typeof CURVE_FILTERS)[number];

export interface View {
  progress: SweepProgress;
  phases: StoredPhase[];
  phase: StoredPhase;
  /** Chosen values; undefined: all. */
  chosen: Pick<Chosen, CurveFilter>;
  outcome: RunState | undefined;
  map: "loss" | "state";
}

/** @throws MusweepError when there is no such sweep */
export function readView(c: Request, db: Database, sweep: string): View {
  const progress = progressOf(db, sweep);
  const phases = readPhases(db, progress.id);
  const wanted = c.req.query("phase");
  const started = phases.filter((p) => p.state === "active" || p.state === "complete");
  const phase = phases.find((p) => p.name === wanted) ?? started.at(-1) ?? phases[0]!;
  const number = (text: string | undefined): number | undefined =>
    text === undefined || text === "" || Number.isNaN(Number(text)) ? undefined : Number(text);
  const parameterization = c.req.query("parameterization") || undefined;
  const width = number(c.req.query("width"));
  const sparsity = number(c.req.query("sparsity"));
  return {
    progress,
    phases,
    phase,
    chosen: {
      ...(parameterization === undefined ? {} : { parameterization }),
      ...(width === undefined ? {} : { width }),
      ...(sparsity === undefined ? {} : { sparsity }),
    },
    outcome: RUN_STATES.find((state) => state === c.req.query("outcome")),
    map: c.req.query("map") === "state" ? "state" : "loss",
  };
}

export const isShown = (view: View, curve: Pick<FigureCurve, CurveFilter>): boolean =>
  CURVE_FILTERS.every((name) => view.chosen[name] === undefined || view.chosen[name] === curve[name]);

/** Which of the phase's points. */
export const chosenPoints = ({ phase, chosen, outcome }: View): Chosen => ({
  phase: phase.id,
  ...chosen,
  outcome,
});

/** This page's address with some of its choices made otherwise; null takes one out. */
export function otherView(c: Request, changes: Record<string, string | null>): string {
  const url = new URL(c.req.url);
  for (const cursor of ["before", "after", "notice", "have"]) url.searchParams.delete(cursor);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  return `${url.pathname.replace(/\/live$/, "")}${url.search}`;
}

/** Why there is nothing to show. */
export const nothingText = ({ phase }: View, otherwise = "Nothing fits the filters above."): string =>
  phase.state === "waiting" || phase.state === "stopped"
    ? `Phase ${phase.name} has no runs yet: it takes values from another phase, which is not decided.`
    : otherwise;
