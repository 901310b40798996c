/** Runs on their way between the database and the queue: what the dispatcher looks for, and what it does to what it finds. */
import { and, asc, eq, exists, gt, inArray, isNotNull, isNull, not, or, sql } from "drizzle-orm";
import type { RunState } from "../../schema/database/states.ts";
import { attempts, plans, runs, sweepCounts, sweepRuns, sweeps } from "../../schema/database/tables.ts";
import type { Need } from "../../schema/wire/need.ts";
import { loseAttempts } from "./attempts.ts";
import { type Database, given, prepared } from "./connection.ts";
import { refreshRuns } from "./optima.ts";
import { leaveQueue, type QueuedRun, queueRun, setBackRun, UNWANTED_JOBS } from "./run-states.ts";
import type { Shares } from "./shares.ts";

/** A run that is about to be put on the queue. */
export interface Dispatched {
  id: string;
  plan: string;
  /** The number of this time. */
  dispatch: number;
  keep_weights: boolean;
  planned_flops: number;
}

const wanted = given("sweep");
/** By the sweep that is given; null: by any. */
const isWanted = or(
  isNull(wanted),
  exists(
    sql`(SELECT 1 FROM ${sweepRuns} WHERE ${sweepRuns.sweep_id} = ${wanted} AND ${sweepRuns.run_id} = ${runs.id})`,
  ),
);

const pending = prepared(({ orm }) =>
  orm
    .select({
      id: runs.id,
      plan: plans.plan,
      dispatch: sql<number>`${runs.dispatch} + 1`,
      keep_weights: runs.keep_weights,
      planned_flops: runs.planned_flops,
    })
    .from(runs)
    .innerJoin(plans, eq(plans.run_id, runs.id))
    .where(
      and(
        eq(runs.state, "pending"),
        eq(runs.on_queue, false),
        eq(runs.need, given("need")),
        isWanted,
        or(
          eq(runs.step, 0),
          not(
            exists(
              orm
                .select({ one: sql`1` })
                .from(attempts)
                .where(and(eq(attempts.run_id, runs.id), isNotNull(attempts.checkpoint))),
            ),
          ),
        ),
      ),
    )
    .orderBy(asc(runs.ordinal))
    .limit(sql.placeholder("limit"))
    .prepare(),
);

/**
 * Marks the next pending runs as queued, and returns them with their new dispatch numbers: of the sweeps that wait, each its share,
 * and each sweep's in training order. One with a checkpoint, given back since takeBegun looked, waits for its next look.
 * @param shares what each sweep has had so far
 * @param only the sweep that alone is trained; null: all of them
 */
export const takePending = (
  db: Database,
  need: Need,
  limit: number,
  shares: Shares,
  only: number | null = null,
): Dispatched[] =>
  markQueued(db, () => {
    const sweeps = waitingSweeps(db)
      .all()
      .filter(({ id }) => only === null || id === only);
    const rows = (sweep: number | null) => pending(db).all({ need, limit, sweep });
    // Most often there is one, and nothing to share.
    if (sweeps.length <= 1) return rows(only);
    return shares.take(
      sweeps.map(({ id, priority }) => ({ id, priority, runs: rows(id) })),
      limit,
    );
  });

/** Sweeps that have runs to be put on the queue, or that are about to leave it. */
const waitingSweeps = prepared(({ orm }) =>
  orm
    .select({ id: sweeps.id, priority: sweeps.priority })
    .from(sweeps)
    .innerJoin(sweepCounts, eq(sweepCounts.sweep_id, sweeps.id))
    .where(and(eq(sweeps.state, "active"), eq(sweepCounts.state, "pending"), gt(sweepCounts.runs, 0)))
    .orderBy(asc(sweeps.id))
    .prepare(),
);

/**
 * Few runs have begun, but SQLite would look at all that are pending: hence the index by name, which the builder cannot say, and
 * the condition of that index word for word.
 */
const begun = prepared(({ sqlite }) =>
  sqlite.prepare<
    { need: Need; sweep: number | null },
    Omit<Dispatched, "keep_weights"> & { keep_weights: number }
  >(
    `SELECT id, plan, dispatch + 1 AS dispatch, keep_weights, planned_flops
     FROM runs r INDEXED BY runs_under_way CROSS JOIN plans ON run_id = id
     WHERE step > 0 AND state IN ('pending', 'queued', 'running') AND state = 'pending' AND on_queue = 0
       AND need = @need
       AND (@sweep IS NULL OR EXISTS (SELECT 1 FROM sweep_runs w WHERE w.sweep_id = @sweep AND w.run_id = r.id))
       AND EXISTS (SELECT 1 FROM attempts a WHERE a.run_id = r.id AND checkpoint IS NOT NULL)
     ORDER BY ordinal`,
  ),
);

/** As takePending, those that go on from a checkpoint: all of them. */
export const takeBegun = (db: Database, need: Need, only: number | null = null): Dispatched[] =>
  markQueued(db, () =>
    begun(db)
      .all({ need, sweep: only })
      .map((row) => ({ ...row, keep_weights: row.keep_weights === 1 })),
  );

function markQueued(db: Database, select: () => Dispatched[]): Dispatched[] {
  return db.transaction(() => {
    const rows = select();
    const now = Date.now();
    for (const row of rows) queueRun(db, row, now);
    return rows;
  });
}

const isIn = prepared(({ orm }) =>
  orm
    .select({ one: sql`1` })
    .from(sweepRuns)
    .where(and(eq(sweepRuns.sweep_id, given("sweep")), eq(sweepRuns.run_id, given("run"))))
    .prepare(),
);

export const isOfSweep = (db: Database, sweep: number, run: string): boolean =>
  isIn(db).get({ sweep, run }) !== undefined;

/** Of runs in one state; a walk over the index from one need to the next, however many runs there are. */
const needs = prepared(({ sqlite }) =>
  sqlite
    .prepare<{ state: string }, Need>(
      `WITH RECURSIVE found (need) AS (
         SELECT min(need) FROM runs WHERE state = @state
         UNION ALL
         SELECT (SELECT min(need) FROM runs WHERE state = @state AND need > found.need) FROM found WHERE need IS NOT NULL)
       SELECT need FROM found WHERE need IS NOT NULL`,
    )
    .pluck(),
);

/** What the runs in these states need, each need once. */
export const needsOf = (db: Database, states: readonly RunState[]): Need[] => [
  ...new Set(states.flatMap((state) => needs(db).all({ state }))),
];

const waiting = prepared(({ sqlite }) =>
  sqlite.prepare<{ needs: string; sweep: string | null }, WaitingRuns>(
    `SELECT s.name AS sweep, r.need, count(*) AS runs
     FROM sweeps s JOIN sweep_runs w ON w.sweep_id = s.id JOIN runs r ON r.id = w.run_id
     WHERE s.state = 'active' AND r.state IN ('pending', 'queued')
       AND r.need IN (SELECT value FROM json_each(@needs)) AND (@sweep IS NULL OR s.name = @sweep)
     GROUP BY s.id, r.need ORDER BY s.id, r.need`,
  ),
);

/** Runs that no worker has taken yet, by what they need. */
export interface WaitingRuns {
  sweep: string;
  need: Need;
  runs: number;
}

/** @param sweep its name; absent: every active one */
export const waitingRuns = (db: Database, needs: readonly Need[], sweep?: string): WaitingRuns[] =>
  waiting(db).all({ needs: JSON.stringify(needs), sweep: sweep ?? null });

/** A job that may be in Redis. */
export interface RunWithJob {
  id: string;
  dispatch: number;
  need: Need;
}

const cancelled = prepared(({ orm }) =>
  orm
    .select({ id: runs.id, dispatch: runs.dispatch, need: runs.need })
    .from(runs)
    // As its index says it.
    .where(and(sql`${runs.on_queue} = 1`, inArray(runs.state, UNWANTED_JOBS)))
    .limit(sql.placeholder("limit"))
    .prepare(),
);

/** Runs whose job is to go: cancelled ones, those included that are wanted again by now, and those that have their result. */
export const cancelledJobs = (db: Database, limit: number): RunWithJob[] => cancelled(db).all({ limit });

/** Runs whose job is gone, and with it the worker of an attempt that is still open. */
export const leaveQueues = (
  db: Database,
  gone: readonly { id: string; dispatch: number }[],
  now = Date.now(),
): void =>
  db.transaction(() => {
    const error = "its worker was lost while the run was cancelled";
    for (const run of gone) if (leaveQueue(db, run)) loseAttempts(db, { run: run.id, at: now, error });
  });

/** Of a page; as its index says it. */
const hasJobAfter = and(
  sql`${runs.on_queue} = 1`,
  inArray(runs.state, ["queued", "running"]),
  gt(runs.id, given("after")),
);

const queuedPage = prepared(({ orm }) =>
  orm
    .select({ id: runs.id, dispatch: runs.dispatch, need: runs.need, attempt: runs.attempt })
    .from(runs)
    .where(hasJobAfter)
    .orderBy(asc(runs.id))
    .limit(sql.placeholder("limit"))
    .prepare(),
);

/** Every run that should have a job, a page at a time, by id. */
export const queuedRuns = (db: Database, after: string, limit: number): (RunWithJob & QueuedRun)[] =>
  queuedPage(db).all({ after, limit });

const dispatchedPage = prepared(({ orm }) =>
  orm
    .select({ id: runs.id, dispatch: runs.dispatch, plan: plans.plan, keep_weights: runs.keep_weights })
    .from(runs)
    .innerJoin(plans, eq(plans.run_id, runs.id))
    .where(hasJobAfter)
    .orderBy(asc(runs.id))
    .limit(sql.placeholder("limit"))
    .prepare(),
);

/** The same, with what workers need beside their jobs. */
export const dispatchedRuns = (
  db: Database,
  after: string,
  limit: number,
): Omit<Dispatched, "planned_flops">[] => dispatchedPage(db).all({ after, limit });

/**
 * The run's job is gone without its worker's word: its attempt is lost, and heard no more.
 * @param why for people. final: another attempt cannot help
 * @returns what the run is now; undefined where it was not that job's any more
 */
export const loseRun = (
  db: Database,
  run: QueuedRun,
  { error, final }: { error: string; final: boolean },
  now = Date.now(),
): RunState | undefined =>
  db.transaction(() => {
    const state = setBackRun(db, run, { error, final, at: now });
    if (state === undefined) return undefined;
    loseAttempts(db, { run: run.id, at: now, error });
    if (state === "failed") refreshRuns(db, [run.id]);
    return state;
  });

const jobOf = prepared(({ orm }) =>
  orm
    .select({ id: runs.id, dispatch: runs.dispatch, attempt: runs.attempt })
    .from(runs)
    .where(and(eq(runs.id, given("id")), eq(runs.dispatch, given("dispatch"))))
    .prepare(),
);

/** The run of a job; undefined where it has another by now, or is none of this database's. */
export const runOfJob = (db: Database, job: { id: string; dispatch: number }): QueuedRun | undefined =>
  jobOf(db).get(job);
