/**
 * When a worker stops of itself, as jobs of a cluster do: after so many runs, when nothing waits any more, or before its time ends. What it
 * still trains then is checkpointed and given back.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { EXIT_CODES } from "../schema/wire/errors.ts";
import { EXIT_WITHOUT_REDIS, type Inability, type WorkerConfig } from "../schema/wire/worker.ts";

/** The queue has to be empty for so long: the next phase of a sweep may start when the last run of this one has ended. */
const EMPTY_MS = 10_000;
/** For so long it has trained nothing, though runs wait: by then it has looked at a hundred of them, and can train none. */
const UNABLE_MS = 60_000;
const LOOK_MS = 500;
/** While it trains. */
const LOOK_AGAIN_MS = 5000;
/** Calls to a Redis that is away wait until it is back. */
const ANSWER_MS = 2000;
/** A Redis that has not answered for so long is not waited for any more: a cluster's job would take its whole time for nothing. */
const AWAY_MS = 600_000;
/** Before the end of its time a worker takes no run that would hardly begin: a trainer starts, loads data, makes a step. */
const LAST_RUN_MS = 30_000;

export interface Limited {
  /** Runs taken so far, and those that are trained now. */
  readonly taken: number;
  readonly running: number;
  /** Jobs that wait on the queues that it reads. */
  waiting(): Promise<number>;
  /** What it has found that it cannot train. */
  unable(): readonly Inability[];
}

/** Milliseconds until a worker has to stop, so that it is gone when its time ends. */
const timeLeft = ({ ends_at, grace_seconds }: WorkerConfig): number =>
  ends_at === null ? Number.POSITIVE_INFINITY : ends_at - Date.now() - grace_seconds * 1000;

/** Whether a run that is taken now would get anywhere before the worker's time ends. */
export const hasTimeForRun = (config: WorkerConfig): boolean => timeLeft(config) > LAST_RUN_MS;

export interface Limit {
  /** For people. */
  why: string;
  /** Of the worker's process. */
  code: number;
}

const reached = (why: string): Limit => ({ why, code: EXIT_CODES.ok });

/** @returns why the worker is to stop; never where it has no limits */
export async function untilLimit(
  worker: Limited,
  config: WorkerConfig,
  { awayMs = AWAY_MS }: { awayMs?: number } = {},
): Promise<Limit> {
  const { max_runs, until_empty } = config;
  let answeredAt = performance.now();
  let askedAt = Number.NEGATIVE_INFINITY;
  let emptySince = Number.POSITIVE_INFINITY;
  let trained = { taken: worker.taken, at: performance.now() };
  for (;;) {
    await sleep(LOOK_MS);
    const { taken } = worker;
    if (worker.running > 0 || taken > trained.taken) trained = { taken, at: performance.now() };
    if (timeLeft(config) <= 0 || (!hasTimeForRun(config) && worker.running === 0))
      return reached("its time ends");
    if (max_runs !== null && worker.taken >= max_runs && worker.running === 0)
      return reached(`it has trained ${max_runs} run${max_runs === 1 ? "" : "s"}`);
    if (!until_empty) continue;
    const now = performance.now();
    if (worker.running > 0 && now - askedAt < LOOK_AGAIN_MS) {
      emptySince = Number.POSITIVE_INFINITY;
      continue;
    }
    askedAt = now;
    const counted = await Promise.race([worker.waiting().catch(() => null), sleep(ANSWER_MS, null)]);
    if (counted !== null) answeredAt = performance.now();
    else if (performance.now() - answeredAt >= awayMs)
      return { why: "Redis is away", code: EXIT_WITHOUT_REDIS };
    // While Redis is away nobody knows what waits.
    const waiting = worker.running > 0 ? 1 : (counted ?? 1);
    if (waiting > 0) emptySince = Number.POSITIVE_INFINITY;
    else emptySince = Math.min(emptySince, performance.now());
    if (performance.now() - emptySince >= EMPTY_MS) return reached("nothing waits to be trained");
    const [unable] = worker.unable();
    if (unable && waiting > 0 && performance.now() - trained.at >= UNABLE_MS)
      return reached(`it cannot train what waits: ${unable.why}`);
  }
}
