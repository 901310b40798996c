/**
 * Every way in which a run comes from one state into another, a function each. What the run must be for it, by state and by
 * attempt or dispatch, stands in the statement's WHERE: what comes late, or twice, changes nothing.
 *
 *   pending ─► queued ─► running ─► finished, diverged, failed
 *   back to pending: given back by its worker, its worker or job lost, its attempt failed, cancelled or failed and wanted again
 *   cancelled: whatever is open and nobody wants any more
 */
import { and, eq, exists, gte, inArray, isNull, lt, notExists, or, type SQL, sql } from "drizzle-orm";
import {
  type LOST_STATES,
  OPEN_STATES,
  type RESULT_STATES,
  type RunState,
} from "../../schema/database/states.ts";
import { attempts, cells, phases, plans, runs, sweepRuns, sweeps } from "../../schema/database/tables.ts";
import type { WorkerEvent, WorkerEventBody } from "../../schema/wire/events.ts";
import { dispatchOf } from "../../schema/wire/job.ts";
import { amongGiven, type Database, given, prepared } from "./connection.ts";

type Body<Type extends WorkerEventBody["type"]> = Extract<WorkerEventBody, { type: Type }>;
/** Who says it, and when. */
type Said = Pick<WorkerEvent, "run" | "attempt" | "at">;

const ofAttempt = and(eq(runs.id, given("run")), eq(runs.attempt, given("attempt")));
const isRunning = and(ofAttempt, eq(runs.state, "running"));
export const TAKEN_BACK = "taken back while it was away";
/** It is wanted again without its attempt having been lost: it was away, and the attempt goes on where it is. */
const isAwayStill = and(
  eq(runs.state, "pending"),
  eq(runs.on_queue, false),
  exists(
    sql`(SELECT 1 FROM ${attempts} WHERE ${attempts.run_id} = ${runs.id} AND ${attempts.attempt} = ${runs.attempt}
      AND (${attempts.outcome} IS NULL OR ${attempts.error} = ${sql.raw(`'${TAKEN_BACK}'`)}))`,
  ),
);
/** By the attempt; also one that was cancelled under its worker, and perhaps is wanted again. */
export const isHeld = and(
  ofAttempt,
  or(
    eq(runs.state, "running"),
    and(eq(runs.on_queue, true), inArray(runs.state, ["cancelled", "pending"])),
    isAwayStill,
  ),
);
/** States of runs that have no use for the job that they may still have. */
export const UNWANTED_JOBS: RunState[] = ["cancelled", "pending", "finished", "diverged"];
/** A job of a later dispatch than the attempt's is still there: it is taken off the queue. */
const hasLaterJob = sql`${runs.on_queue} AND ${runs.dispatch} <> CAST(${given("attempt")} / 1000 AS INTEGER)`;
/** Attempts in a row that fail, or whose worker is lost, without progress: then a run is given up, and what else waits goes on. */
export const SETBACKS_ALLOWED = 3;
/** By a job: of this dispatch, which no worker has taken since. */
const isQueued = and(
  eq(runs.id, given("id")),
  eq(runs.dispatch, given("dispatch")),
  eq(runs.attempt, given("attempt")),
  inArray(runs.state, ["queued", "running"]),
);

const claim = prepared(({ orm }) =>
  orm
    .update(runs)
    .set({
      state: "running",
      // Without a job since its worker was silent, and claimed late: it is looked for, and put back when it is not found.
      on_queue: sql`CASE ${runs.state} WHEN 'pending' THEN 1 ELSE ${runs.on_queue} END`,
      attempt: given("attempt"),
      error: null,
      updated_at: given("at"),
    })
    .where(
      and(
        eq(runs.id, given("run")),
        lt(runs.attempt, given("attempt")),
        // Beyond what was put on the queue there is nothing to claim: such an attempt would fence out every true one.
        gte(runs.dispatch, given("dispatch")),
        inArray(runs.state, [...OPEN_STATES]),
      ),
    )
    .prepare(),
);

/** @returns whether the attempt holds the run now: a later one may, or the run may have its result */
export const claimRun = (db: Database, said: Said): boolean =>
  claim(db).run({ ...said, dispatch: dispatchOf(said.attempt) }).changes > 0;

const start = prepared(({ orm }) =>
  orm
    .update(runs)
    .set({
      host: given("host"),
      engine: given("engine"),
      parameters: given("parameters"),
      nonzero_parameters: given("nonzero_parameters"),
      step: given("resumed_from_step"),
      updated_at: given("at"),
    })
    .where(isRunning)
    .prepare(),
);

export const startRun = (
  db: Database,
  said: Said & Pick<WorkerEvent, "host">,
  body: Pick<Body<"started">, "engine" | "parameters" | "nonzero_parameters" | "resumed_from_step">,
): void => void start(db).run({ ...said, ...body });

const reach = prepared(({ orm }) =>
  orm
    .update(runs)
    .set({ step: sql`max(${runs.step}, ${given("step")})`, updated_at: given("at") })
    .where(isRunning)
    .prepare(),
);

const keep = prepared(({ orm }) =>
  orm
    .update(runs)
    .set({ kept_step: given("step"), setbacks: 0 })
    .where(and(ofAttempt, lt(runs.kept_step, given("step"))))
    .prepare(),
);

/** A checkpoint holds this step: where it is further than any before, the run makes progress. */
export const keepStep = (db: Database, said: Said, step: number): void =>
  void keep(db).run({ ...said, step });

/** A resumed attempt says again what came before: what has been reached stays so. */
export const reachStep = (db: Database, said: Said, step: number): void =>
  void reach(db).run({ ...said, step });

const jsonOf = (values: object | undefined): string | null =>
  values === undefined ? null : JSON.stringify(values);

const finish = prepared(({ orm }) =>
  orm
    .update(runs)
    .set({
      state: "finished",
      on_queue: hasLaterJob,
      step: given("step"),
      train_loss: given("train_loss"),
      validation_loss: given("validation_loss"),
      last_finite_loss: null,
      divergence: null,
      tokens: given("tokens"),
      flops: given("flops"),
      seconds: given("seconds"),
      weights_path: given("weights_path"),
      own_metrics: given("own_metrics"),
      error: null,
      updated_at: given("at"),
    })
    .where(isHeld)
    .prepare(),
);

export const finishRun = (db: Database, said: Said, body: Body<"finished">): void =>
  void finish(db).run({ ...said, ...body, own_metrics: jsonOf(body.own_metrics) });

const diverge = prepared(({ orm }) =>
  orm
    .update(runs)
    .set({
      state: "diverged",
      on_queue: hasLaterJob,
      step: given("step"),
      train_loss: null,
      validation_loss: null,
      last_finite_loss: given("last_finite_loss"),
      divergence: given("reason"),
      tokens: given("tokens"),
      flops: given("flops"),
      seconds: given("seconds"),
      own_metrics: given("own_metrics"),
      error: null,
      updated_at: given("at"),
    })
    .where(isHeld)
    .prepare(),
);

export const divergeRun = (db: Database, said: Said, body: Body<"diverged">): void =>
  void diverge(db).run({ ...said, ...body, own_metrics: jsonOf(body.own_metrics) });

/** To be trained again, unless that cannot help (final), or has not helped often enough. */
const setBack = (which: SQL | undefined) =>
  prepared(({ orm }) => {
    const isLast = sql`${runs.setbacks} + 1 >= ${sql.raw(String(SETBACKS_ALLOWED))}`;
    const inARow = sql.raw(`' (given up: ${SETBACKS_ALLOWED} attempts in a row got no further than step '`);
    return orm
      .update(runs)
      .set({
        state: sql`CASE WHEN ${given("final")} OR ${isLast} THEN 'failed' ELSE 'pending' END`,
        on_queue: false,
        setbacks: sql`${runs.setbacks} + 1`,
        error: sql`CASE WHEN NOT ${given("final")} AND ${isLast}
          THEN ${given("error")} || ${inARow} || ${runs.kept_step} || ')' ELSE ${given("error")} END`,
        updated_at: given("at"),
      })
      .where(which)
      .returning({ state: runs.state })
      .prepare();
  });
const setBackAttempt = setBack(isRunning);
const setBackJob = setBack(isQueued);

/** One that was cancelled meanwhile stays so. */
export const failRun = (db: Database, said: Said, { message, final }: Body<"failed">): void =>
  void setBackAttempt(db).get({ ...said, error: message, final: final ? 1 : 0 });

const release = prepared(({ orm }) =>
  orm
    .update(runs)
    .set({
      state: sql`CASE ${runs.state} WHEN 'running' THEN 'pending' ELSE ${runs.state} END`,
      on_queue: false,
      step: given("step"),
      updated_at: given("at"),
    })
    .where(isHeld)
    .prepare(),
);

/**
 * Its worker has let go of it: it is trained on, unless it has been cancelled. Being asked to let go is not enough: a run that is to be
 * trained elsewhere is asked for too.
 */
export const releaseRun = (db: Database, said: Said, { step }: Body<"released">): void =>
  void release(db).run({ ...said, step });

/** A run's job, and the attempt that was last made at it. */
export interface QueuedRun {
  id: string;
  dispatch: number;
  attempt: number;
}

const queue = prepared(({ orm }) =>
  orm
    .update(runs)
    .set({ state: "queued", on_queue: true, dispatch: given("dispatch"), updated_at: given("now") })
    .where(and(eq(runs.id, given("id")), eq(runs.state, "pending"), eq(runs.on_queue, false)))
    .prepare(),
);

/** @param run with the number of the dispatch that it is put on the queue by */
export const queueRun = (db: Database, run: { id: string; dispatch: number }, now: number): void =>
  void queue(db).run({ ...run, now });

const send = prepared(({ orm }) =>
  orm
    .update(runs)
    .set({ state: "queued", dispatch: given("dispatch"), updated_at: given("now") })
    .where(and(eq(runs.id, given("id")), eq(runs.state, "pending"), eq(runs.on_queue, false)))
    .prepare(),
);

/** It is to be trained where no queue is: queued, without a job. */
export const sendAway = (db: Database, run: { id: string; dispatch: number }, now: number): void =>
  void send(db).run({ ...run, now });

const fetchBack = prepared(({ orm }) =>
  orm
    .update(runs)
    .set({ state: "pending", updated_at: given("now") })
    .where(
      and(eq(runs.id, given("run")), eq(runs.on_queue, false), inArray(runs.state, ["queued", "running"])),
    )
    .prepare(),
);

/** Of one that is away. */
export const takeBackRun = (db: Database, run: string, now: number): void =>
  void fetchBack(db).run({ run, now });

const back = prepared(({ orm }) =>
  orm
    .update(runs)
    .set({ state: "pending", on_queue: false, updated_at: given("now") })
    .where(isQueued)
    .prepare(),
);

/** Its job is lost: to be trained again. @returns whether it was still that job's */
export const putBackRun = (db: Database, run: QueuedRun, now = Date.now()): boolean =>
  back(db).run({ ...run, now }).changes > 0;

/** Its job has ended without its worker's word. @returns what it is now; undefined where it was not that job's any more */
export const setBackRun = (
  db: Database,
  run: QueuedRun,
  { error, final, at }: { error: string; final: boolean; at: number },
): RunState | undefined => setBackJob(db).get({ ...run, error, final: final ? 1 : 0, at })?.state;

const leave = prepared(({ orm }) =>
  orm
    .update(runs)
    .set({ on_queue: false })
    .where(
      and(
        eq(runs.id, given("id")),
        eq(runs.dispatch, given("dispatch")),
        eq(runs.on_queue, true),
        inArray(runs.state, UNWANTED_JOBS),
      ),
    )
    .prepare(),
);

/** The job of a cancelled run is gone. @returns whether it still had that job */
export const leaveQueue = (db: Database, run: { id: string; dispatch: number }): boolean =>
  leave(db).run(run).changes > 0;

const cancel = prepared(({ orm }) =>
  orm
    .update(runs)
    .set({ state: "cancelled", updated_at: given("now") })
    .where(
      and(
        inArray(runs.state, [...OPEN_STATES]),
        notExists(
          orm
            .select({ one: sql`1` })
            .from(cells)
            .innerJoin(phases, eq(phases.id, cells.phase_id))
            .innerJoin(sweeps, eq(sweeps.id, phases.sweep_id))
            .where(and(eq(cells.run_id, runs.id), eq(sweeps.state, "active"))),
        ),
      ),
    )
    .prepare(),
);

/** Cancels every open run that no active sweep asks for; the dispatcher takes their jobs off the queue. @returns how many */
export const cancelUnwanted = (db: Database, now: number): number => cancel(db).run({ now }).changes;

const revive = prepared(({ orm }) =>
  orm
    .update(runs)
    .set({ state: "pending", updated_at: given("now") })
    .where(
      and(
        eq(runs.state, "cancelled"),
        inArray(
          runs.id,
          orm
            .select({ id: cells.run_id })
            .from(cells)
            .where(eq(cells.phase_id, given("phase"))),
        ),
      ),
    )
    .prepare(),
);

/** Runs that were cancelled, and that an active sweep's phase asks for again. */
export const reviveCancelled = (db: Database, phase: number, now: number): void =>
  void revive(db).run({ phase, now });

const again = prepared(({ orm }) =>
  orm
    .update(runs)
    .set({
      state: "pending",
      step: 0,
      kept_step: 0,
      setbacks: 0,
      train_loss: null,
      validation_loss: null,
      last_finite_loss: null,
      divergence: null,
      tokens: null,
      flops: null,
      seconds: null,
      weights_path: null,
      own_metrics: null,
      error: null,
      updated_at: given("now"),
    })
    .where(
      and(
        amongGiven(runs.state, "states"),
        // What was trained elsewhere has no plan.
        exists(orm.select({ one: sql`1` }).from(plans).where(eq(plans.run_id, runs.id))),
        inArray(
          runs.id,
          orm
            .select({ id: sweepRuns.run_id })
            .from(sweepRuns)
            .innerJoin(sweeps, eq(sweeps.id, sweepRuns.sweep_id))
            .where(eq(sweeps.name, given("sweep"))),
        ),
        or(isNull(given("run")), eq(runs.id, given("run"))),
        // "musweep-cpu" is every version of it.
        or(
          isNull(given("engine")),
          eq(runs.engine, given("engine")),
          sql`substr(${runs.engine}, 1, length(${given("engine")}) + 1) = ${given("engine")} || ' '`,
        ),
      ),
    )
    .returning({ id: runs.id })
    .prepare(),
);

/** Which runs of a sweep are to be trained again. */
export interface Again {
  states: readonly ((typeof LOST_STATES)[number] | (typeof RESULT_STATES)[number])[];
  /** Only this one. */
  run?: string;
  /** Only what this engine has trained, in whichever version unless it is named with one. */
  engine?: string;
}

/** Runs of a sweep that have ended. What they had is kept with its attempt. @returns those that will be trained again */
export const trainAgain = (db: Database, sweep: string, which: Again, now: number): string[] =>
  again(db)
    .all({
      sweep,
      states: JSON.stringify(which.states),
      run: which.run ?? null,
      engine: which.engine ?? null,
      now,
    })
    .map(({ id }) => id);
