/**
 * Starts phases that are due, and moves runs between SQLite and the queue: puts pending runs on it, a bounded number at a time; takes cancelled ones off;
 * and, at start and every so often, finds the runs whose job Redis no longer has and makes them pending again.
 */
import type { Queue } from "bullmq";
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import {
  CANCEL_CHANNEL,
  DISPATCH_KEY,
  dispatchText,
  isRefusal,
  type Job,
  jobId,
  REASON_CHARACTERS,
  WORK_CHANNEL,
} from "../../schema/wire/job.ts";
import type { Need } from "../../schema/wire/need.ts";
import type { RunPlan } from "../../schema/wire/plan.ts";
import { connectRedis } from "../../schema/wire/redis.ts";
import { shapeKeyOf } from "../../schema/wire/shape-key.ts";
import type { Database } from "../database/open.ts";
import { dueSweeps } from "../database/phases.ts";
import {
  cancelledJobs,
  type Dispatched,
  dispatchedRuns,
  leaveQueues,
  loseRun,
  needsOf,
  queuedRuns,
  type RunWithJob,
  takeBegun,
  takePending,
} from "../database/queued-runs.ts";
import { runTitle } from "../database/read-run.ts";
import { putBackRun, type QueuedRun } from "../database/run-states.ts";
import { Shares } from "../database/shares.ts";
import { findSweep } from "../database/sweeps.ts";
import { advancePhases } from "../phases/advance.ts";
import { checkHealth } from "../redis/health.ts";
import { inTime } from "../redis/in-time.ts";
import { readActive } from "./active-jobs.ts";
import type { Collector } from "./collector.ts";
import { Failing } from "./failing.ts";
import { Queues } from "./queues.ts";
import { fleetOf, readWorkers } from "./read-workers.ts";
import { takeBackRuns, Watch, type WhyGone, whyEnded } from "./take-back.ts";

/**
 * Jobs kept waiting in Redis: several for each that is being trained, so that no worker finds the queue empty; no more, so that
 * a sweep that comes later soon gets its share. Where runs are so short that a look finds none left, twice as many the next time.
 */
const WAITING_LEAST = 32;
const WAITING_PER_ACTIVE = 4;
const LOOP_MS = 250;
const RECONCILE_MS = 15_000;
/** How often it is looked whether workers are still there. */
const WATCH_MS = 1000;
const PAGE = 500;
const CANCELLED_AT_ONCE = 1000;
/** Closing waits so long for what is under way. */
const CLOSE_MS = 1000;

export interface Dispatcher {
  /** Resolves with the error when runs can no longer be put on the queue: the same failed again and again, or waiting mends nothing. */
  readonly broken: Promise<Error>;
  /** Runs one pass of everything now, reconciliation included. */
  tick(): Promise<void>;
  close(): Promise<void>;
}

type Shaped = Dispatched & { shape?: string };

/**
 * Runs of one shape side by side, in the order of the first of each: a worker may train several of them together. It is done within what
 * is put on the queue at once, so no sweep's share grows by it.
 */
function byShape(rows: readonly Dispatched[]): Shaped[] {
  const groups = new Map<string, Shaped[]>();
  for (const row of rows) {
    const shape = shapeKeyOf(JSON.parse(row.plan) as RunPlan);
    const key = shape ?? row.id;
    const group = groups.get(key) ?? [];
    groups.set(key, group);
    group.push({ ...row, ...(shape === undefined ? {} : { shape }) });
  }
  return [...groups.values()].flat();
}

/** By job: what its worker needs beside it. */
const dispatchesOf = (rows: readonly Omit<Dispatched, "planned_flops">[]): Record<string, string> =>
  Object.fromEntries(
    rows.map((row) => [jobId(row.id, row.dispatch), dispatchText(row.plan, row.keep_weights)]),
  );

export function startDispatcher(
  db: Database,
  redisUrl: string,
  log: Logger,
  collector: Pick<Collector, "caughtUp">,
  options: {
    /** The name of the sweep that alone is trained; all are otherwise. */
    only?: string | undefined;
    /** Only processes of this machine can reach the Redis. */
    onThisMachine?: boolean;
  } = {},
): Dispatcher {
  const redis: Redis = connectRedis(redisUrl, (reason) =>
    log.warn(`Redis connection lost, waiting: ${reason}`),
  );
  const queues = new Queues(db, redis);
  const shares = new Map<Need, Shares>();
  /** How many were to wait at the last look. */
  const filled = new Map<Need, number>();
  let lastReconcile = Number.NEGATIVE_INFINITY;
  let isRenewed = false;

  /** Runs with a checkpoint go before all that waits, however much that is: they are few, and half done. */
  async function enqueue(need: Need): Promise<void> {
    const only = options.only === undefined ? null : findSweep(db, options.only)?.id;
    // Not stored yet.
    if (only === undefined) return;
    const queue = queues.for(need);
    // What is added last is taken first.
    await put(need, takeBegun(db, need, only).reverse(), { lifo: true });
    const [waiting, active] = await Promise.all([queue.getWaitingCount(), queue.getActiveCount()]);
    const before = filled.get(need) ?? 0;
    const follows = waiting === 0 ? 2 * before : waiting > before / 2 ? before / 2 : before;
    const enough = Math.max(WAITING_LEAST, WAITING_PER_ACTIVE * active, Math.min(follows, PAGE));
    filled.set(need, enough);
    // Many at a time, since to choose them takes a look at all that are pending.
    if (waiting > enough / 2) return;
    const room = Math.min(enough - waiting, PAGE);
    const share = shares.get(need) ?? new Shares();
    shares.set(need, share);
    await put(need, takePending(db, need, room, share, only), { lifo: false });
  }

  async function put(need: Need, rows: Dispatched[], { lifo }: { lifo: boolean }): Promise<void> {
    if (rows.length === 0) return;
    await removeNamesakes(need, rows);
    await redis.hset(DISPATCH_KEY, dispatchesOf(rows));
    await queues.for(need).addBulk(
      byShape(rows).map((row) => ({
        name: runTitle(db, row.id),
        data: {
          run: row.id,
          dispatch: row.dispatch,
          ...(row.shape === undefined ? {} : { shape: row.shape }),
        },
        opts: { jobId: jobId(row.id, row.dispatch), lifo },
      })),
    );
    await redis.publish(WORK_CHANNEL, need);
    log.debug({ need, runs: rows.length }, "runs put on the queue");
  }

  /**
   * Ended jobs are kept for a while. One of a run that was removed and submitted again, or of another state directory, has the name of
   * the job that is to come: that would not be added, and how the old one ended be taken for its end.
   */
  async function removeNamesakes(need: Need, rows: readonly Dispatched[]): Promise<void> {
    const queue = queues.for(need);
    const ids = rows.map((row) => jobId(row.id, row.dispatch));
    const looks = redis.pipeline();
    for (const id of ids) looks.exists(queue.toKey(id));
    const there = (await looks.exec())!.map(([, found]) => found === 1);
    for (const [i, id] of ids.entries()) if (there[i]) await queue.remove(id);
  }

  /** The queue that has the job of a run, which may need something else by now than when its job was put there. */
  async function queueOf(job: string): Promise<Queue<Job> | undefined> {
    const all = queues.all();
    const looks = redis.pipeline();
    for (const queue of all) looks.exists(queue.toKey(job));
    const there = (await looks.exec())!.map(([, found]) => found === 1);
    return all.find((_, i) => there[i]);
  }

  /**
   * Takes off the queue the jobs of cancelled runs, those included that are wanted again by now: they get a new job once the
   * old one is gone; and of runs whose result an earlier attempt has brought. One that a worker holds is asked for until the
   * worker lets go.
   */
  async function removeCancelledJobs(): Promise<void> {
    const gone: RunWithJob[] = [];
    for (const row of cancelledJobs(db, CANCELLED_AT_ONCE)) {
      const { id, dispatch } = row;
      const job = jobId(id, dispatch);
      const queue = await queueOf(job);
      if ((await queue?.getJobState(job)) === "active") {
        await redis.publish(CANCEL_CHANNEL, id);
        continue;
      }
      // A worker took it this moment: the next pass asks the worker.
      if ((await queue?.remove(job)) === 0) continue;
      await redis.hdel(DISPATCH_KEY, job);
      gone.push(row);
    }
    if (gone.length === 0) return;
    // Workers report before their jobs end: an attempt that is still open then has no worker.
    await collector.caughtUp();
    leaveQueues(db, gone);
  }

  /** A worker takes only what its own version has written: what another one has put on the queue is written anew. */
  async function renewDispatches(): Promise<void> {
    for (let after = ""; ; ) {
      const rows = dispatchedRuns(db, after, PAGE);
      if (rows.length === 0) return;
      after = rows.at(-1)!.id;
      await redis.hset(DISPATCH_KEY, dispatchesOf(rows));
    }
  }

  /** Holds every run that should have a job against Redis, a page at a time. */
  async function reconcile(): Promise<void> {
    // A claim that is still in the stream would make it another attempt's job below, and leave it to the next pass.
    await collector.caughtUp();
    let after = "";
    while (true) {
      const rows = queuedRuns(db, after, PAGE);
      if (rows.length === 0) return;
      after = rows.at(-1)!.id;
      const broken: (RunWithJob & QueuedRun)[] = [];
      const lost: QueuedRun[] = [];
      for (const row of rows) {
        const id = jobId(row.id, row.dispatch);
        const here = await queues.for(row.need).getJobState(id);
        const state = here === "unknown" ? await (await queueOf(id))?.getJobState(id) : here;
        if (state === "failed") broken.push(row);
        else if (state === undefined || state === "unknown" || state === "completed") lost.push(row);
      }
      if (broken.length + lost.length === 0) continue;
      // A worker reports before its job ends, so what it said is in the stream: apply it before judging.
      await collector.caughtUp();
      for (const row of broken) await loseBroken(row);
      // Of such a job nobody needs the plan any more.
      await redis.hdel(DISPATCH_KEY, ...[...broken, ...lost].map(({ id, dispatch }) => jobId(id, dispatch)));
      // Gone, or done without a result having arrived.
      for (const row of lost)
        if (putBackRun(db, row)) log.warn({ run: row.id }, "its job was lost from the queue: queued again");
    }
  }

  /** BullMQ calls the job failed, and no worker has said so: none could read it, or it was picked up too often. */
  async function loseBroken(row: RunWithJob & QueuedRun): Promise<void> {
    const job = jobId(row.id, row.dispatch);
    const key = (await queueOf(job))?.toKey(job);
    const reason = key === undefined ? null : await redis.hget(key, "failedReason");
    const error = reason?.slice(0, REASON_CHARACTERS) ?? "its job failed";
    if (loseRun(db, row, { error, final: isRefusal(error) })) log.warn({ run: row.id }, error);
  }

  const watch = new Watch();
  let lastWatch = Number.NEGATIVE_INFINITY;
  async function watchWorkers(): Promise<void> {
    const all = queues.all();
    const holders = (await Promise.all(all.map((queue) => readActive(redis, queue, log))))
      .flat()
      .flatMap(({ worker }) => worker ?? []);
    const whySilent = await watch.look(redis, new Set(holders));
    const whyGone: WhyGone = (worker) =>
      (options.onThisMachine ? whyEnded(worker) : undefined) ?? whySilent(worker);
    if (holders.some(whyGone)) await takeBackRuns(db, redis, all, whyGone, collector.caughtUp, log);
  }

  async function tick(): Promise<void> {
    // Phases start here; their runs go on the queue with the others below.
    const advanced =
      dueSweeps(db).length === 0
        ? []
        : advancePhases(db, { slots: fleetOf(await readWorkers(redis)).slots || undefined });
    if (advanced.length > 0) log.debug({ sweeps: advanced }, "phases looked at");
    await removeCancelledJobs();
    if (performance.now() - lastWatch >= WATCH_MS) {
      await watchWorkers();
      lastWatch = performance.now();
    }
    if (performance.now() - lastReconcile >= RECONCILE_MS) {
      await checkHealth(redis);
      if (!isRenewed) await renewDispatches();
      isRenewed = true;
      await reconcile();
      lastReconcile = performance.now();
    }
    for (const need of needsOf(db, ["pending"])) await enqueue(need);
  }

  /** One pass at a time: between SQLite and Redis a pass leaves runs in states that another would take for lost. */
  let turn: Promise<void> = Promise.resolve();
  const inTurn = (): Promise<void> => (turn = turn.catch(() => undefined).then(tick));

  let closed = false;
  const failing = new Failing(db.path);
  let wake: () => void = () => undefined;
  const loop = (async () => {
    while (!closed) {
      try {
        await inTurn();
        failing.stopped();
      } catch (error) {
        if (!closed) {
          log.error(error, "dispatcher");
          failing.again(error);
        }
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
        setTimeout(resolve, LOOP_MS);
      });
    }
  })();

  return {
    broken: failing.tooOften,
    tick: async () => {
      lastReconcile = Number.NEGATIVE_INFINITY;
      lastWatch = Number.NEGATIVE_INFINITY;
      await inTurn();
    },
    async close() {
      closed = true;
      wake();
      // Calls to a Redis that is away never settle. What was on its way to the queue, the next dispatcher puts there.
      await inTime(
        loop.then(() => queues.close()),
        CLOSE_MS,
      );
      redis.disconnect();
    },
  };
}
