/**
 * The queue worker: claims runs from BullMQ, executes each in a trainer process, reports to the collector's stream, and
 * gives unfinished runs back, checkpointed, when it is asked to stop. It never opens the database and may be on any host.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { type Job as BullJob, UnrecoverableError, Worker } from "bullmq";
import type { Logger } from "pino";
import { packageVersion } from "../schema/package.ts";
import { planSchema } from "../schema/plan.ts";
import {
  attemptNumber,
  CANCEL_CHANNEL,
  DISPATCH_KEY,
  dispatchSchema,
  HEARTBEAT_KEPT_MS,
  type Heartbeat,
  type Job,
  jobId,
  jobSchema,
  queueName,
  WORKERS_KEY,
  workerKey,
  workerName,
} from "../schema/queue.ts";
import { connectRedis } from "../schema/redis.ts";
import type { WorkerConfig } from "../schema/worker.ts";
import { executeAttempt, type Interrupt, type Progress } from "./attempt.ts";
import { Reporter } from "./reporter.ts";
import { TrainerPool } from "./trainer-pool.ts";
import { TrainerFailure } from "./trainer-process.ts";

const HEARTBEAT_MS = 5000;
/** A worker that is asked to stop while Redis is away for so long leaves without telling it. */
const REDIS_PATIENCE_MS = 5000;

export interface RunningWorker {
  readonly name: string;
  /** Resolves when it is connected and hears of cancelled runs. */
  readonly ready: Promise<void>;
  /**
   * Stops taking runs, checkpoints and releases the ones in progress, ends the trainers. Without Redis nobody is told:
   * the runs are picked up again once their locks expire, from the same checkpoints.
   */
  close(): Promise<void>;
}

interface Active {
  progress: Progress;
  interrupt(reason: Interrupt): void;
}

/** Takes runs from now on, or from when Redis can be reached. */
export function startWorker(config: WorkerConfig, log: Logger): RunningWorker {
  const name = workerName(hostname(), process.pid, randomUUID().slice(0, 4));
  const startedAt = Date.now();
  const redis = connectRedis(config.redis_url, (reason) =>
    log.warn(`Redis connection lost, waiting: ${reason}`),
  );
  const subscriber = connectRedis(config.redis_url);
  const pool = new TrainerPool(config);
  /** By BullMQ job id. */
  const active = new Map<string, Active>();
  const attempts = new Set<Promise<void>>();
  let closing = false;
  /** Aborted when the worker leaves without Redis. */
  const redisLost = new AbortController();

  const processJob = async (job: BullJob<Job>): Promise<void> => {
    const { run, dispatch } = jobSchema.parse(job.data);
    const attempt = attemptNumber(dispatch, job.attemptsStarted);
    const reporter = new Reporter(
      redis,
      { run, attempt, token: randomUUID(), worker: name, host: hostname() },
      redisLost.signal,
    );
    const stored = await redis.hget(DISPATCH_KEY, jobId(run, dispatch));
    // The collector drops a dispatch once its run has ended: nothing is left to do.
    if (stored === null) return;
    const { plan: planText, keep_weights } = dispatchSchema.parse(JSON.parse(stored));
    const plan = planSchema.parse(JSON.parse(planText));
    const progress: Progress = { run, step: 0, steps: plan.steps, tokens_per_second: 0 };
    let interrupt: (reason: Interrupt) => void = () => undefined;
    let reason: Interrupt | undefined;
    active.set(job.id!, {
      progress,
      interrupt: (why) => {
        if (reason) return;
        reason = why;
        interrupt(why);
      },
    });
    if (closing) active.get(job.id!)!.interrupt("shutdown");
    log.info({ run, attempt, title: job.name }, "run claimed");
    const execution = executeAttempt({
      run,
      plan,
      keepWeights: keep_weights,
      config,
      pool,
      reporter,
      progress,
      onInterrupt: (callback) => {
        interrupt = callback;
        if (reason) callback(reason);
      },
    });
    attempts.add(execution);
    try {
      await execution;
      log.info({ run, attempt, interrupted: reason }, "run ended");
    } catch (error) {
      const failure =
        error instanceof TrainerFailure
          ? error
          : new TrainerFailure("internal", String((error as Error).stack));
      const final = !failure.retryable || job.attemptsMade + 1 >= (job.opts.attempts ?? 1);
      log.warn({ run, attempt, code: failure.code, final }, failure.message);
      await reporter.report({
        type: "failed",
        code: failure.code,
        message: failure.message,
        final,
        log_tail: failure.logTail,
      });
      throw final ? new UnrecoverableError(failure.message) : failure;
    } finally {
      active.delete(job.id!);
      attempts.delete(execution);
    }
  };

  /** Resolves when Redis has been away for REDIS_PATIENCE_MS. */
  async function redisGone(signal: AbortSignal): Promise<void> {
    for (let away = 0; away < REDIS_PATIENCE_MS && !signal.aborted; away += 100) {
      if (redis.status === "ready") away = 0;
      await sleep(100);
    }
  }

  const worker = new Worker<Job>(queueName(config.capability), processJob, {
    connection: redis,
    concurrency: config.slots,
    lockDuration: config.lock_seconds * 1000,
    stalledInterval: config.lock_seconds * 1000,
    // Killed workers, not bad runs, are the usual cause: be patient with a run before giving it up.
    maxStalledCount: 3,
    removeOnComplete: { count: 1000 },
    removeOnFail: { count: 1000 },
  });
  worker.on("error", (error) => log.error(error.message));
  worker.on("lockRenewalFailed", (ids) => {
    for (const id of ids) active.get(id)?.interrupt("lock-lost");
  });

  subscriber.on("message", (_channel, run) => {
    for (const entry of active.values()) if (entry.progress.run === run) entry.interrupt("cancelled");
  });

  const beat = async (): Promise<void> => {
    const heartbeat: Heartbeat = {
      worker: name,
      host: hostname(),
      pid: process.pid,
      capability: config.capability,
      slots: config.slots,
      engine: config.trainer === "onnx" ? "onnx" : config.trainer.join(" ").slice(0, 500),
      version: packageVersion(),
      started_at: startedAt,
      running: [...active.values()].map((entry) => ({ ...entry.progress })),
    };
    await redis
      .multi()
      .set(workerKey(name), JSON.stringify(heartbeat), "PX", HEARTBEAT_KEPT_MS)
      .sadd(WORKERS_KEY, name)
      .exec();
  };
  const heartbeat = setInterval(() => void beat().catch(() => undefined), HEARTBEAT_MS);
  const ready = (async () => {
    await subscriber.subscribe(CANCEL_CHANNEL);
    await worker.waitUntilReady();
    await beat();
    log.info({ worker: name, slots: config.slots, queue: queueName(config.capability) }, "worker ready");
  })();

  return {
    name,
    ready,
    async close() {
      closing = true;
      clearInterval(heartbeat);
      for (const entry of active.values()) entry.interrupt("shutdown");
      const closed = new AbortController();
      const inOrder = worker
        .pause(true)
        .then(() => worker.close())
        .then(() => redis.multi().del(workerKey(name)).srem(WORKERS_KEY, name).exec())
        .catch((error: Error) => log.error(error.message));
      const gone = redisGone(closed.signal).then(async () => {
        if (closed.signal.aborted) return;
        log.warn("Redis is away: stopping without it");
        // What waits to be sent fails now, and the attempts end when their trainers have stopped.
        redisLost.abort(new Error("Redis is away"));
        redis.disconnect();
        await Promise.allSettled(attempts);
      });
      await Promise.race([inOrder, gone]);
      closed.abort();
      await pool.close();
      redis.disconnect();
      subscriber.disconnect();
    },
  };
}
