/** Everything that is known of one run: what it is, who asks for it, and every attempt at it. */
import { and, asc, count, desc, eq, getTableColumns, sql } from "drizzle-orm";
import { attempts, cells, phases, plans, runs, sweeps } from "../../schema/database/tables.ts";
import { type RunPlan, runPlanSchema } from "../../schema/wire/plan.ts";
import type { Coordinates } from "../sweep/expand-sweep.ts";
import { titleOf } from "../sweep/title.ts";
import { type Database, given, prepared } from "./connection.ts";

type RunRow = typeof runs.$inferSelect;

export interface Run extends Omit<RunRow, "own_metrics"> {
  /** That of the first grid point that asked for it; its id where none does any more. */
  title: string;
  /** Null: it was trained elsewhere, and its result imported. */
  plan: RunPlan | null;
  /** Of the same grid point. */
  coordinates: Coordinates | null;
  /** What its script reported beside its losses: the last value of each. */
  own_metrics: Record<string, number> | null;
}

/** A grid point that the run stands for. */
export interface Asking {
  sweep: string;
  phase: string;
  title: string;
  /** Why the point is there: "grid", or what added it. */
  reason: string;
}

export interface RunAttempt extends Omit<typeof attempts.$inferSelect, "notes"> {
  /** From 1, in the order they were made. */
  number: number;
  notes: string[];
}

/** More grid points than any page shows may mean the same training. */
const ASKING_SHOWN = 20;
/** A run that is put back on the queue for ever makes no page endless. */
const ATTEMPTS_SHOWN = 50;

/** Curves in one picture that can still be told apart. */
export const COMPARED_AT_MOST = 12;

const find = prepared(({ orm }) =>
  orm
    .select({ ...getTableColumns(runs), plan: plans.plan })
    .from(runs)
    .leftJoin(plans, eq(plans.run_id, runs.id))
    .where(eq(runs.id, given("run")))
    .prepare(),
);

/** @returns null when there is no such run */
export function readRun(db: Database, id: string): Run | null {
  const row = find(db).get({ run: id });
  if (row === undefined) return null;
  const coordinates = firstPoint(db, id)?.coordinates ?? null;
  return {
    ...row,
    title: coordinates === null ? id : titleOf(coordinates),
    plan: row.plan === null ? null : runPlanSchema.parse(JSON.parse(row.plan)),
    coordinates,
    own_metrics: row.own_metrics === null ? null : (JSON.parse(row.own_metrics) as Record<string, number>),
  };
}

const first = prepared(({ orm }) =>
  orm
    .select({
      phase: cells.phase_id,
      curve: cells.curve,
      learning_rate: cells.learning_rate,
      seed: cells.seed,
      coordinates: cells.coordinates,
    })
    .from(cells)
    .where(eq(cells.run_id, given("run")))
    .orderBy(asc(cells.id))
    .limit(1)
    .prepare(),
);

/** The first grid point that asked for a run. */
function firstPoint(db: Database, run: string) {
  const cell = first(db).get({ run });
  return cell && { ...cell, coordinates: JSON.parse(cell.coordinates) as Coordinates };
}

/** A run as people know it: the title of the first grid point that asked for it; its id where none does any more. */
export function runTitle(db: Database, run: string): string {
  const point = firstPoint(db, run);
  return point === undefined ? run : titleOf(point.coordinates);
}

const asking = prepared(({ orm }) =>
  orm
    .select({ sweep: sweeps.name, phase: phases.name, coordinates: cells.coordinates, reason: cells.reason })
    .from(cells)
    .innerJoin(phases, eq(phases.id, cells.phase_id))
    .innerJoin(sweeps, eq(sweeps.id, phases.sweep_id))
    .where(eq(cells.run_id, given("run")))
    .orderBy(asc(cells.id))
    .limit(ASKING_SHOWN)
    .prepare(),
);

const askingInAll = prepared(({ orm }) =>
  orm
    .select({ n: count() })
    .from(cells)
    .where(eq(cells.run_id, given("run")))
    .prepare(),
);

/** @returns the first of them, and how many there are */
export const readAsking = (db: Database, run: string): { asking: Asking[]; total: number } => ({
  asking: asking(db)
    .all({ run })
    .map(({ coordinates, ...rest }) => ({ ...rest, title: titleOf(JSON.parse(coordinates) as Coordinates) })),
  total: askingInAll(db).get({ run })!.n,
});

const latest = prepared(({ orm }) =>
  orm
    .select({
      ...getTableColumns(attempts),
      number: sql<number>`row_number() OVER (ORDER BY ${attempts.attempt})`,
    })
    .from(attempts)
    .where(eq(attempts.run_id, given("run")))
    .orderBy(desc(attempts.attempt))
    .limit(ATTEMPTS_SHOWN)
    .prepare(),
);

/** The last ones, oldest first. */
export const readAttempts = (db: Database, run: string): RunAttempt[] =>
  latest(db)
    .all({ run })
    .reverse()
    .map((row) => ({ ...row, notes: row.notes === null ? [] : (JSON.parse(row.notes) as string[]) }));

export interface Relatives {
  /** What they are to it. */
  what: string;
  /** The run itself among them, in order of what they differ in. */
  runs: string[];
}

const alike = (same: typeof cells.seed | typeof cells.learning_rate, order: typeof same) =>
  prepared(({ orm }) =>
    orm
      .select({ run: cells.run_id })
      .from(cells)
      .where(
        and(eq(cells.phase_id, given("phase")), eq(cells.curve, given("curve")), eq(same, given(same.name))),
      )
      .orderBy(asc(order))
      .prepare(),
  );
const ofOtherRates = alike(cells.seed, cells.learning_rate);
const ofOtherSeeds = alike(cells.learning_rate, cells.seed);

/** Runs that differ from this one in its learning rate or its seed alone, where there are others. */
export function readRelatives(db: Database, run: string): Relatives[] {
  const point = firstPoint(db, run);
  if (point === undefined) return [];
  const near = (statement: typeof ofOtherRates): string[] =>
    around(
      statement(db)
        .all(point)
        .map((row) => row.run),
      run,
    );
  return [
    { what: "other learning rates", runs: near(ofOtherRates) },
    { what: "other seeds", runs: near(ofOtherSeeds) },
  ].filter(({ runs }) => runs.length > 1);
}

/** As many as can be compared, those nearest to it. */
function around(runs: readonly string[], run: string): string[] {
  const first = Math.min(
    Math.max(0, runs.indexOf(run) - Math.floor(COMPARED_AT_MOST / 2)),
    Math.max(0, runs.length - COMPARED_AT_MOST),
  );
  return runs.slice(first, first + COMPARED_AT_MOST);
}
