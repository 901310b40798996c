/** The attempts at runs: who makes each, how far its events have been applied, how it ended. */
import { and, desc, eq, exists, gte, isNotNull, isNull, lt, or, sql } from "drizzle-orm";
import type { AttemptOutcome } from "../../schema/database/states.ts";
import { attempts, runs } from "../../schema/database/tables.ts";
import type { WorkerEvent } from "../../schema/wire/events.ts";
import { dispatchOf } from "../../schema/wire/job.ts";
import type { Need } from "../../schema/wire/need.ts";
import { type Database, given, prepared } from "./connection.ts";
import { isHeld } from "./run-states.ts";

const own = and(eq(attempts.run_id, given("run")), eq(attempts.attempt, given("attempt")));

const add = prepared(({ orm }) =>
  orm
    .insert(attempts)
    .values({
      run_id: given("run"),
      attempt: given("attempt"),
      token: given("token"),
      sequence: given("sequence"),
      worker: given("worker"),
      host: given("host"),
      started_at: given("at"),
    })
    .prepare(),
);

export const addAttempt = (db: Database, event: Omit<WorkerEvent, "body">): void => void add(db).run(event);

const takeNext = prepared(({ orm }) =>
  orm
    .update(attempts)
    .set({ sequence: given("sequence") })
    .where(
      and(
        own,
        eq(attempts.token, given("token")),
        lt(attempts.sequence, given("sequence")),
        or(isNotNull(attempts.engine), given("early")),
        exists(
          orm
            .select({ one: sql`1` })
            .from(runs)
            .where(and(isHeld, gte(runs.steps, given("step")), or(eq(runs.state, "running"), given("ends")))),
        ),
      ),
    )
    .prepare(),
);

type Taken = Pick<WorkerEvent, "run" | "attempt" | "token" | "sequence">;

/**
 * Counts an event in, once, and only of the attempt that holds its run.
 * @param event ends: it ends the attempt; of a run that was cancelled under its worker nothing else counts. early: it may come
 *   before the attempt has started. step: the last that it speaks of; a run has no more than its plan says
 */
export const takeEvent = (
  db: Database,
  event: Taken & { ends: boolean; early: boolean; step: number },
): boolean => {
  const { ends, early, ...rest } = event;
  return takeNext(db).run({ ...rest, ends: ends ? 1 : 0, early: early ? 1 : 0 }).changes > 0;
};

const find = prepared(({ orm }) =>
  orm
    .select({
      holder: runs.attempt,
      dispatch: runs.dispatch,
      state: runs.state,
      token: attempts.token,
      sequence: attempts.sequence,
    })
    .from(runs)
    .leftJoin(attempts, and(eq(attempts.run_id, runs.id), eq(attempts.attempt, given("attempt"))))
    .where(eq(runs.id, given("run")))
    .prepare(),
);

/**
 * Why an event did not count: there is no such run, it has counted before, its attempt does not hold the run, or no worker of ours
 * could say it of this run.
 */
export function whyNotTaken(db: Database, event: Taken): "unknown" | "duplicate" | "fenced" | "refused" {
  const known = find(db).get({ run: event.run, attempt: event.attempt });
  if (known === undefined) return "unknown";
  if (dispatchOf(event.attempt) > known.dispatch) return "refused";
  if (known.holder !== event.attempt || known.token !== event.token) return "fenced";
  if (event.sequence <= known.sequence!) return "duplicate";
  return known.state === "running" ? "refused" : "fenced";
}

const start = prepared(({ orm }) =>
  orm
    .update(attempts)
    .set({
      engine: given("engine"),
      device: given("device"),
      resumed_from_step: given("resumed_from_step"),
      notes: given("notes"),
    })
    .where(own)
    .prepare(),
);

export const startAttempt = (
  db: Database,
  attempt: {
    run: string;
    attempt: number;
    engine: string;
    device: string;
    resumed_from_step: number;
    notes: readonly string[];
  },
): void => void start(db).run({ ...attempt, notes: JSON.stringify(attempt.notes) });

const keepCheckpoint = prepared(({ orm }) =>
  orm
    .update(attempts)
    .set({ checkpoint: given("path") })
    .where(own)
    .prepare(),
);

export const setCheckpoint = (
  db: Database,
  checkpoint: { run: string; attempt: number; path: string },
): void => void keepCheckpoint(db).run(checkpoint);

const end = prepared(({ orm }) =>
  orm
    .update(attempts)
    .set({
      outcome: given("outcome"),
      ended_at: given("at"),
      code: given("code"),
      error: given("error"),
      checkpoint: sql`coalesce(${given("checkpoint")}, ${attempts.checkpoint})`,
      log_tail: sql`coalesce(${given("log_tail")}, ${attempts.log_tail})`,
      step: given("step"),
      train_loss: given("train_loss"),
      validation_loss: given("validation_loss"),
      seconds: given("seconds"),
    })
    .where(own)
    .prepare(),
);

export const endAttempt = (
  db: Database,
  attempt: {
    run: string;
    attempt: number;
    at: number;
    outcome: AttemptOutcome;
    code?: string | undefined;
    error?: string | undefined;
    checkpoint?: string | null;
    log_tail?: string | undefined;
    /** What it ended with, where it has a result. */
    result?: { step: number; seconds: number; train_loss?: number; validation_loss?: number };
  },
): void => {
  const { result, ...own } = attempt;
  const { step = null, seconds = null, train_loss = null, validation_loss = null } = result ?? {};
  const { code = null, error = null, checkpoint = null, log_tail = null } = own;
  const ended = { ...own, code, error, checkpoint, log_tail };
  end(db).run({ ...ended, step, seconds, train_loss, validation_loss });
};

const givenBack = prepared(({ orm }) =>
  orm
    .select({ error: attempts.error, need: runs.need })
    .from(attempts)
    .innerJoin(runs, eq(runs.id, attempts.run_id))
    .where(and(eq(attempts.outcome, "released"), isNotNull(attempts.error)))
    .orderBy(desc(attempts.ended_at))
    .limit(1)
    .prepare(),
);

/** Why a worker could not train a run that it has given back, and what the run needs: of the last one. */
export const lastGivenBack = (db: Database): { error: string | null; need: Need } | undefined =>
  givenBack(db).get();

const lose = prepared(({ orm }) =>
  orm
    .update(attempts)
    .set({ outcome: "lost", ended_at: given("at"), error: given("error") })
    .where(
      and(eq(attempts.run_id, given("run")), lt(attempts.attempt, given("before")), isNull(attempts.outcome)),
    )
    .prepare(),
);

/**
 * Ends the attempts at a run that nobody has ended.
 * @param before only those of lower number; all of them by default
 */
export const loseAttempts = (
  db: Database,
  lost: { run: string; at: number; error: string; before?: number },
): void => void lose(db).run({ before: Number.MAX_SAFE_INTEGER, ...lost });
