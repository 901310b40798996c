/**
 * The queue worker: claims runs from BullMQ, executes each in a trainer process, reports to the collector's stream, and
 * gives unfinished runs back, checkpointed, when it is asked to stop. It never opens the database and may be on any host.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { type Job as BullJob, UnrecoverableError, Worker } from "bullmq";
import type { Logger } from "pino";
import { packageVersion } from "../schema/package.ts";
import { planSchema } from "../schema/plan.ts";
import {
  attemptNumber,
  CANCEL_CHANNEL,
  DISPATCH_KEY,
  dispatchSchema,
  type Heartbeat,
  type Job,
  jobId,
  jobSchema,
  queueName,
  workerKey,
} from "../schema/queue.ts";
import { connectRedis } from "../schema/redis.ts";
import type { WorkerConfig } from "../schema/worker.ts";
import { executeAttempt, type Interrupt, type Progress } from "./attempt.ts";
import { Reporter } from "./reporter.ts";
import { TrainerPool } from "./trainer-pool.ts";
import { TrainerFailure } from "./trainer-process.ts";

const HEARTBEAT_MS = 5000;
const HEARTBEAT_EXPIRES_S = 20;

export interface RunningWorker {
  readonly name: string;
  /** Stops taking runs, checkpoints and releases the ones in progress, ends the trainers. */
  close(): Promise<void>;
}

interface Active {
  progress: Progress;
  interrupt(reason: Interrupt): void;
}

export async function startWorker(config: WorkerConfig, log: Logger): Promise<RunningWorker> {
  const name = `${hostname()}-${process.pid}-${randomUUID().slice(0, 4)}`;
  const startedAt = Date.now();
  const redis = connectRedis(config.redis_url, (reason) =>
    log.warn(`Redis connection lost, waiting: ${reason}`),
  );
  const subscriber = connectRedis(config.redis_url);
  const pool = new TrainerPool(config);
  /** By BullMQ job id. */
  const active = new Map<string, Active>();
  let closing = false;

  const processJob = async (job: BullJob<Job>): Promise<void> => {
    const { run, dispatch } = jobSchema.parse(job.data);
    const attempt = attemptNumber(dispatch, job.attemptsStarted);
    const reporter = new Reporter(redis, {
      run,
      attempt,
      token: randomUUID(),
      worker: name,
      host: hostname(),
    });
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
    try {
      await executeAttempt({
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
    }
  };

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

  await subscriber.subscribe(CANCEL_CHANNEL);
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
      engine: config.trainer === "onnx" ? "onnx" : config.trainer.join(" "),
      version: packageVersion(),
      started_at: startedAt,
      at: Date.now(),
      running: [...active.values()].map((entry) => ({ ...entry.progress })),
    };
    await redis.set(workerKey(name), JSON.stringify(heartbeat), "EX", HEARTBEAT_EXPIRES_S);
  };
  await worker.waitUntilReady();
  await beat();
  const heartbeat = setInterval(() => void beat().catch(() => undefined), HEARTBEAT_MS);
  log.info({ worker: name, slots: config.slots, queue: queueName(config.capability) }, "worker ready");

  return {
    name,
    async close() {
      closing = true;
      await worker.pause(true);
      for (const entry of active.values()) entry.interrupt("shutdown");
      await worker.close();
      clearInterval(heartbeat);
      await pool.close();
      await redis.del(workerKey(name));
      redis.disconnect();
      subscriber.disconnect();
    },
  };
}
