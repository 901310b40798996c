/** Runs by their state alone. */
import { count, eq, max, sql } from "drizzle-orm";
import { RUN_STATES, type RunState } from "../../schema/database/states.ts";
import { runs } from "../../schema/database/tables.ts";
import { type Database, given, prepared } from "./connection.ts";

const stateOf = prepared(({ orm }) =>
  orm
    .select({ state: runs.state })
    .from(runs)
    .where(eq(runs.id, given("run")))
    .prepare(),
);

/** @returns undefined when no sweep has asked for it yet */
export const runState = (db: Database, run: string): RunState | undefined => stateOf(db).get({ run })?.state;

/** Those that are in one of these states, whichever sweep asks for them. */
export const inStates = (db: Database, runs: Iterable<string>, states: readonly RunState[]): Set<string> =>
  new Set([...runs].filter((run) => states.includes(runState(db, run)!)));

const resultOf = prepared(({ orm }) =>
  orm
    .select({ state: runs.state, loss: runs.validation_loss })
    .from(runs)
    .where(eq(runs.id, given("run")))
    .prepare(),
);

/** @returns undefined where it has none, or no sweep has asked for it */
export function runResult(db: Database, run: string): { loss: number | null; diverged: boolean } | undefined {
  const row = resultOf(db).get({ run });
  if (row?.state === "diverged") return { loss: null, diverged: true };
  return row?.state === "finished" ? { loss: row.loss, diverged: false } : undefined;
}

const byState = prepared(({ orm }) =>
  orm.select({ state: runs.state, runs: count() }).from(runs).groupBy(runs.state).prepare(),
);

/** Of every state, those of no run included. */
export function countRuns(db: Database): Map<RunState, number> {
  const counts = new Map<RunState, number>(RUN_STATES.map((state) => [state, 0]));
  for (const { state, runs } of byState(db).all()) counts.set(state, runs);
  return counts;
}

const running = prepared(({ orm }) =>
  orm.select({ one: sql`1` }).from(runs).where(eq(runs.state, "running")).limit(1).prepare(),
);

export const isTraining = (db: Database): boolean => running(db).get() !== undefined;

const last = prepared(({ orm }) =>
  orm
    .select({ ordinal: max(runs.ordinal) })
    .from(runs)
    .prepare(),
);

/** Of the run that is the last in training order; 0 when there is none. */
export const lastOrdinal = (db: Database): number => last(db).get()!.ordinal ?? 0;
