/**
 * Takes runs back from workers that are gone: killed, cut off, or halted. A worker says every two seconds that it is there;
 * one that is silent for longer than HEARTBEAT_LOST_MS, while Redis could be asked all the time, loses its runs to others.
 * It may be alive: what it still says of them is fenced, and its lock on their jobs is gone, so that it lets go of them.
 */
import { hostname } from "node:os";
import type { Queue } from "bullmq";
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { DISPATCH_KEY, type Job, jobId, jobSchema, REASON_CHARACTERS } from "../../schema/wire/job.ts";
import { HEARTBEAT_LOST_MS, hostOfWorker, processOfWorker, workerKey } from "../../schema/wire/worker.ts";
import type { Database } from "../database/open.ts";
import { loseRun, runOfJob } from "../database/queued-runs.ts";
import { isRunning } from "../machine/is-running.ts";
import { readActive } from "./active-jobs.ts";

/** Why a worker is taken for gone; undefined: it is not. */
export type WhyGone = (worker: string) => string | undefined;

/** @param heard resolves when everything that workers have said is in the database */
export async function takeBackRuns(
  db: Database,
  redis: Redis,
  queues: readonly Queue<Job>[],
  whyGone: WhyGone,
  heard: () => Promise<void>,
  log: Logger,
): Promise<void> {
  for (const queue of queues) {
    const gone = (await readActive(redis, queue, log)).filter(({ worker }) => worker && whyGone(worker));
    if (gone.length === 0) continue;
    // A worker reports before its job ends: what it said last may be the result.
    await heard();
    for (const { id: job, worker, data } of gone) {
      const parsed = jobSchema.safeParse(data);
      if (!parsed.success) continue;
      const { run: id, dispatch } = parsed.data;
      const why = whyGone(worker!) ?? "was gone for a while";
      const error = `its worker ${worker!.slice(0, REASON_CHARACTERS)} ${why}`;
      await redis.hdel(DISPATCH_KEY, jobId(id, dispatch));
      await redis.del(`${queue.toKey(job)}:lock`);
      await queue.remove(job);
      const run = runOfJob(db, { id, dispatch });
      const state = run && loseRun(db, run, { error, final: false });
      log.warn({ run: id, state }, `taken back: ${error}`);
    }
  }
}

/**
 * A worker of a Redis that only this machine can reach: its process tells. In a container every start gets the same process ids,
 * and this process is no worker.
 */
export const whyEnded: WhyGone = (worker) => {
  const pid = processOfWorker(worker);
  if (pid === undefined || hostOfWorker(worker) !== hostname()) return undefined;
  return pid === process.pid || !isRunning(pid) ? "has ended" : undefined;
};

/** When each worker was last heard of, by this process's own watch: clocks may jump, machines sleep, Redis go away. */
export class Watch {
  /** Per worker: what was left of its heartbeat's time to live, and when that last rose. */
  readonly #heard = new Map<string, { left: number; at: number }>();
  #lookedAt = Number.NEGATIVE_INFINITY;

  /** @returns why each of these workers is taken for gone; to be called again and again */
  async look(redis: Redis, workers: ReadonlySet<string>): Promise<WhyGone> {
    const now = performance.now();
    // Not watched for a while (Redis away, this process halted): nobody's silence says anything yet.
    if (now - this.#lookedAt > HEARTBEAT_LOST_MS / 2) this.#heard.clear();
    const names = [...workers];
    const reads = redis.pipeline();
    for (const name of names) reads.pttl(workerKey(name));
    const replies = (await reads.exec())!;
    for (const name of this.#heard.keys()) if (!workers.has(name)) this.#heard.delete(name);
    for (const [i, name] of names.entries()) {
      const left = Number(replies[i]![1]);
      const last = this.#heard.get(name);
      this.#heard.set(name, { left, at: last === undefined || left > last.left ? now : last.at });
    }
    this.#lookedAt = performance.now();
    return (worker) => {
      const at = this.#heard.get(worker)?.at ?? now;
      return now - at > HEARTBEAT_LOST_MS
        ? `was not heard of for ${Math.floor((now - at) / 1000)} s`
        : undefined;
    };
  }
}
