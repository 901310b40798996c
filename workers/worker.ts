/**
 * The queue worker: claims runs from BullMQ, executes each in a trainer process, reports to the collector's stream, and
 * gives unfinished runs back, checkpointed, when it is asked to stop. It never opens the database and may be on any host.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { type Job as BullJob, DelayedError, UnrecoverableError, WaitingError } from "bullmq";
import type { Logger } from "pino";
import {
  attemptNumber,
  CANCEL_CHANNEL,
  DISPATCH_KEY,
  type Job,
  jobId,
  WORK_CHANNEL,
} from "../schema/wire/job.ts";
import { type DeviceKind, meets, needsMet } from "../schema/wire/need.ts";
import { packageVersion } from "../schema/wire/package.ts";
import { isScriptPlan, LIMITS } from "../schema/wire/plan.ts";
import { connectRedis } from "../schema/wire/redis.ts";
import { shapeKeyOf } from "../schema/wire/shape-key.ts";
import type { WorkerConfig } from "../schema/wire/worker.ts";
import {
  HEARTBEAT_MS,
  type Heartbeat,
  type Inability,
  kindOfDevice,
  LEAVING_SECONDS,
  type OfferedTrainer,
  slotsOf,
  workerName,
} from "../schema/wire/worker.ts";
import { executeAttempt, type Progress, type StopReason } from "./attempt.ts";
import { COHORT_MEMORY } from "./cohort.ts";
import { DataSets } from "./data-sets.ts";
import { type Gathering, gatherOrJoin } from "./gather-cohort.ts";
import { beat, type Held, sayGoodbye } from "./heartbeat.ts";
import { Inabilities } from "./inabilities.ts";
import { hasTimeForRun, type Limited } from "./limits.ts";
import { readDispatch, readJob, refused } from "./read-job.ts";
import { redisGone } from "./redis-gone.ts";
import { Reporter } from "./reporter.ts";
import { type Claim, RunQueues } from "./run-queues.ts";
import { Slots } from "./slots.ts";
import { describeTrainer } from "./trainer-commands.ts";
import { TrainerFailure } from "./trainer-failure.ts";
import { TrainerPool } from "./trainer-pool.ts";

/** A run that this worker cannot train is away from the queue for so long before others can take it; and this slot with it. */
const LEAVE_MS = 250;
/** Of one job that was picked up so often, another is made: its attempts are numbered by its pick-ups, up to 999. */
const MAX_PICKUPS = 900;
/** A trainer that has never been ready is tried so often. */
const STARTS_TRIED = 3;
/** From so many failures in a row on, a worker that others may do better than waits before it takes the next run. */
const FAILURES_UNTIL_WAIT = 3;
const MAX_WAIT_MS = 30_000;

export interface RunningWorker extends Limited {
  readonly name: string;
  /** Resolves when it is connected and hears of cancelled runs. */
  readonly ready: Promise<void>;
  /** Resolves when its disk takes no checkpoint: whatever it trained, it could not keep. */
  readonly diskFull: Promise<void>;
  /** Resolves when a trainer does not start and never has, where no other worker may do better. */
  readonly trainerUnfit: Promise<void>;
  /**
   * Stops taking runs, checkpoints and releases the ones in progress, ends the trainers. Without Redis nobody is told:
   * the runs are picked up again once their locks expire, from the same checkpoints.
   */
  close(): Promise<void>;
}

interface Active extends Held {
  progress: Progress;
}

/** In the order of this host's command line. */
const trainersFor = ({ trainers }: WorkerConfig, kind: DeviceKind): OfferedTrainer[] =>
  trainers.filter(({ devices }) => devices.some((device) => kindOfDevice(device) === kind));

/** Takes runs from now on, or from when Redis can be reached. */
export function startWorker(config: WorkerConfig, log: Logger): RunningWorker {
  const name = workerName(hostname(), process.pid, randomUUID().slice(0, 4));
  const startedAt = Date.now();
  const redis = connectRedis(config.redis_url, (reason) =>
    log.warn(`Redis connection lost, waiting: ${reason}`),
  );
  const subscriber = connectRedis(config.redis_url);
  const pool = new TrainerPool(config, (remark) => log.warn(remark));
  /** By BullMQ job id. */
  const active = new Map<string, Active>();
  const attempts = new Set<Promise<unknown>>();
  let closing = false;
  const inabilities = new Inabilities(config.trainers.length);
  let taken = 0;
  /** Whether no more runs are taken, though those in progress go on. */
  const isFull = (): boolean =>
    (config.max_runs !== null && taken >= config.max_runs) || !hasTimeForRun(config);
  let failuresInARow = 0;
  const closes = new AbortController();
  const dataSets = new DataSets(config, log, closes.signal);
  let tellDiskFull: () => void = () => undefined;
  const diskFull = new Promise<void>((resolve) => {
    tellDiskFull = resolve;
  });
  let tellUnfit: () => void = () => undefined;
  const trainerUnfit = new Promise<void>((resolve) => {
    tellUnfit = resolve;
  });
  /** Of trainers that have never been ready. */
  const failedStarts = new Map<OfferedTrainer, number>();
  /** Aborted when the worker leaves without Redis. */
  const redisLost = new AbortController();

  /** A wait that ends when the worker is to stop. */
  const pause = (ms: number): Promise<unknown> =>
    sleep(ms, undefined, { signal: closes.signal }).catch(() => undefined);

  function sayPause(): void {
    const seconds = Math.ceil(inabilities.pause() / 1000);
    if (seconds > 0) log.error(`this worker cannot train anything: it takes no runs for ${seconds} s`);
  }

  /** Puts a run that this worker cannot train back for others, who may wait for it. No attempt is made. */
  async function leave(job: BullJob<Job>, token: string, { what }: Inability): Promise<never> {
    if (inabilities.pause() > 0) {
      await job.moveToWait(token);
      throw new WaitingError();
    }
    log.debug({ run: job.data.run, what }, "left to other workers");
    return postpone(job, token);
  }

  /** For a moment nobody takes it. */
  async function postpone(job: BullJob<Job>, token: string): Promise<never> {
    await pause(LEAVE_MS);
    // By Redis' clock: where this host's is ahead, others would wait for as long.
    const [seconds, microseconds] = await redis.time();
    const now = Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
    await job.moveToDelayed(now + LEAVE_MS, token);
    throw new DelayedError();
  }

  const gathering = (): Gathering => ({
    config,
    pool,
    queues,
    room: () => (closing || isFull() ? 0 : (config.max_runs ?? Number.POSITIVE_INFINITY) - taken),
  });

  const processJob = async (job: BullJob<Job>, claim: Claim): Promise<void> => {
    const { need, device, token, lock } = claim;
    const { run, dispatch } = readJob(job);
    const attempt = attemptNumber(dispatch, job.attemptsStarted);
    const reporter = new Reporter(
      redis,
      { run, attempt, token: randomUUID(), worker: name, host: hostname() },
      redisLost.signal,
    );
    const stored = await redis.hget(DISPATCH_KEY, jobId(run, dispatch));
    // The collector drops a dispatch once its run has ended: nothing is left to do.
    if (stored === null) return;
    const dispatched = readDispatch(run, stored);
    if (typeof dispatched === "string") {
      const other = `the orchestrator is musweep ${dispatched}, this worker ${packageVersion()}: install the same`;
      log.error(other);
      const inability = inabilities.cannotTrainAnything("version", other);
      sayPause();
      return leave(job, token, inability);
    }
    const { plan, keep_weights } = dispatched;
    const kind = kindOfDevice(device);
    const trainer = trainersFor(config, kind).find((offer) => meets(offer, kind, need))!;
    if (plan.trainer.name !== trainer.name)
      throw refused(`the plan of ${run} is for the trainer ${plan.trainer.name}, on the queue of ${need}`);
    if (claim.cohort && claim.cohort.shape !== shapeKeyOf(plan))
      throw refused(`the plan of ${run} is of another shape than its job says`);
    if (isFull()) {
      await job.moveToWait(token);
      throw new WaitingError();
    }
    const known = config.gives_back ? inabilities.of(plan, run) : undefined;
    if (known && job.attemptsStarted < MAX_PICKUPS) return leave(job, token, known);
    if (!isScriptPlan(plan)) {
      const failure = await dataSets.ensure(plan.data.hash).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failure instanceof TrainerFailure) {
        const inability = inabilities.learn(failure, plan, run);
        if (inability && config.gives_back) return leave(job, token, inability);
      } else if (failure !== undefined) throw failure;
    }
    // Its lock ran out, and the attempt that this worker has made at it is still about to stop.
    if (active.has(job.id!)) return postpone(job, token);
    taken++;
    const progress: Progress = { run, step: 0, steps: plan.steps ?? LIMITS.steps, tokens_per_second: 0 };
    let onStop: (reason: StopReason) => void = () => undefined;
    let reason: StopReason | undefined;
    active.set(job.id!, {
      progress,
      lock,
      token,
      stop: (why) => {
        if (reason) return;
        reason = why;
        onStop(why);
      },
    });
    if (closing) active.get(job.id!)!.stop("shutdown");
    log.info({ run, attempt, title: job.name }, "run claimed");
    const execution = executeAttempt({
      run,
      plan,
      keepWeights: keep_weights,
      config,
      device,
      train: gatherOrJoin(claim, plan, trainer, gathering()),
      reporter,
      progress,
      isHeld: async () => (await redis.get(lock)) === token,
      onStop: (callback) => {
        onStop = callback;
        if (reason) callback(reason);
      },
    });
    attempts.add(execution);
    try {
      const failure = await execution;
      failuresInARow = 0;
      log.info({ run, attempt, stopped: reason, failure: failure?.message }, "run ended");
    } catch (error) {
      const failure =
        error instanceof TrainerFailure
          ? error
          : new TrainerFailure("internal", String((error as Error).stack));
      const { code, message, logTail: log_tail } = failure;
      const giveBack = (step: number): Promise<unknown> =>
        reporter.report({
          ...{ type: "released", step, reason: "unable", checkpoint: null },
          inability: { code, message, log_tail },
        });
      const isDisk = code === "disk";
      const inability = config.gives_back || isDisk ? inabilities.learn(failure, plan, run) : undefined;
      if (isDisk) tellDiskFull();
      if (inability) {
        log.warn({ run, attempt, code, what: inability.what }, `given back, untrained: ${message}`);
        await giveBack(progress.step);
        sayPause();
        return;
      }
      if (failure.beforeRun && !pool.hasStarted(trainer)) {
        log.warn({ run, attempt, code }, `given back, untrained: ${message}`);
        await giveBack(0);
        const tried = (failedStarts.get(trainer) ?? 0) + 1;
        failedStarts.set(trainer, tried);
        if (tried >= STARTS_TRIED || !failure.retryable) tellUnfit();
        return;
      }
      if (code === COHORT_MEMORY) {
        // No attempt that counts: halved again and again, there might be more of them than a run is given.
        log.warn({ run, attempt, code }, message);
        await giveBack(0);
        return;
      }
      const final = !failure.retryable;
      log.warn({ run, attempt, code, final }, message);
      await reporter.report({ type: "failed", code, message, final, log_tail });
      active.delete(job.id!);
      await waitAfterFailure();
      throw new UnrecoverableError(message);
    } finally {
      active.delete(job.id!);
      attempts.delete(execution);
    }
  };

  /** A worker on which every run fails must not be the one that takes most of them. */
  async function waitAfterFailure(): Promise<void> {
    failuresInARow++;
    if (config.gives_back && failuresInARow >= FAILURES_UNTIL_WAIT)
      await pause(Math.min(MAX_WAIT_MS, 1000 * 2 ** (failuresInARow - FAILURES_UNTIL_WAIT)));
  }

  const devices = slotsOf(config);
  const needs = new Map(
    [...new Set(devices.map(kindOfDevice))].map((kind) => [
      kind,
      [...new Set(trainersFor(config, kind).flatMap((offer) => needsMet(offer, kind)))],
    ]),
  );
  const queues = new RunQueues([...new Set([...needs.values()].flat())], processJob, {
    connection: redis,
    worker: name,
    lockMs: config.lock_seconds * 1000,
    log,
    onLockLost: (id) => active.get(id)?.stop("lock-lost"),
  });

  const slots = new Slots(devices, {
    next: (device) =>
      queues.next(needs.get(kindOfDevice(device))!, device).catch((error: Error) => {
        log.error(error.message);
        return undefined;
      }),
    isOpen: () => !isFull() && inabilities.pause() === 0,
  });

  subscriber.on("message", (channel, message) => {
    if (channel === WORK_CHANNEL) return slots.wake();
    for (const entry of active.values()) if (entry.progress.run === message) entry.stop("cancelled");
  });

  const sayAlive = (): Promise<void> => {
    const held = [...active.values()];
    const heartbeat: Heartbeat = {
      worker: name,
      host: hostname(),
      pid: process.pid,
      needs: [...queues.needs],
      slots: devices.length,
      engine: config.trainers.map(describeTrainer).join("; ").slice(0, 500),
      version: packageVersion(),
      started_at: startedAt,
      running: held.map(({ progress }) => ({ ...progress })),
      unable: inabilities.all(),
    };
    return beat(redis, heartbeat, held);
  };
  const heartbeat = setInterval(() => void sayAlive().catch(() => undefined), HEARTBEAT_MS);
  const ready = (async () => {
    await subscriber.subscribe(CANCEL_CHANNEL, WORK_CHANNEL);
    await queues.start();
    await sayAlive();
    slots.start();
    log.info({ worker: name, slots: devices.length, needs: queues.needs }, "worker ready");
  })();

  return {
    name,
    ready,
    diskFull,
    trainerUnfit,
    get taken() {
      return taken;
    },
    get running() {
      return active.size;
    },
    waiting: () => queues.waiting(redis),
    unable: () => inabilities.all(),
    async close() {
      closing = true;
      closes.abort();
      for (const entry of active.values()) entry.stop("shutdown");
      const trainersEnded = pool.close();
      const overdue = setTimeout(
        () => {
          log.warn("trainers that do not stop are ended; their runs go on from their last checkpoints");
          void pool.kill();
        },
        (config.grace_seconds - LEAVING_SECONDS) * 1000,
      );
      const closed = new AbortController();
      const inOrder = slots
        .close()
        .then(() => queues.close())
        .then(() => {
          clearInterval(heartbeat);
          return sayGoodbye(redis, name);
        })
        .catch((error: Error) => log.error(error.message));
      const gone = redisGone(redis, closed.signal).then(async () => {
        if (closed.signal.aborted) return;
        log.warn("Redis is away: stopping without it");
        // What waits to be sent fails now, and the attempts end when their trainers have stopped.
        redisLost.abort(new Error("Redis is away"));
        redis.disconnect();
        await Promise.allSettled(attempts);
      });
      await Promise.race([inOrder, gone]);
      closed.abort();
      clearInterval(heartbeat);
      await trainersEnded;
      clearTimeout(overdue);
      redis.disconnect();
      subscriber.disconnect();
    },
  };
}
