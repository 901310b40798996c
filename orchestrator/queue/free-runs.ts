/**
 * Frees the runs of workers that are gone, when an orchestrator opens a private Redis: only processes of this machine can
 * reach it, so a process id tells whether a worker is. Elsewhere, and for one that still runs (attached to an earlier
 * orchestrator, or about to leave), the lock decides.
 */
import { hostname } from "node:os";
import { Queue } from "bullmq";
import type { Logger } from "pino";
import {
  attemptNumber,
  CAPABILITIES,
  type Capability,
  type Job,
  jobId,
  processOfWorker,
  queueName,
} from "../../schema/queue.ts";
import { connectRedis } from "../../schema/redis.ts";
import type { Database } from "../database/open.ts";
import { isRunning } from "../is-running.ts";

interface HeldRow {
  id: string;
  dispatch: number;
  attempt: number;
  capability: Capability;
  worker: string;
}

/** Call once all that workers have reported is in the database, and before anything else feeds the queue. */
export async function freeRuns(db: Database, redisUrl: string, log: Logger): Promise<void> {
  const held = db.sqlite
    .prepare<[string], HeldRow>(
      `SELECT r.id, r.dispatch, r.attempt, r.capability, a.worker
       FROM runs r JOIN attempts a ON a.run_id = r.id AND a.attempt = r.attempt
       WHERE r.on_queue = 1 AND a.outcome IS NULL AND a.host = ?`,
    )
    .all(hostname())
    .filter(({ worker }) => isGone(worker));
  if (held.length === 0) return;
  const redis = connectRedis(redisUrl);
  const queues = new Map(CAPABILITIES.map((c) => [c, new Queue<Job>(queueName(c), { connection: redis })]));
  try {
    for (const { id, dispatch, attempt, capability, worker } of held) {
      const queue = queues.get(capability)!;
      const job = await queue.getJob(jobId(id, dispatch));
      // Another may have picked it up since, and not have said so yet.
      if (!job || attemptNumber(dispatch, job.attemptsStarted) !== attempt || !(await job.isActive()))
        continue;
      // Where the lock has run out, "0" is BullMQ's word for none.
      const token = await redis.get(`${queue.toKey(job.id!)}:lock`);
      await job.moveToWait(token ?? "0");
      log.info({ run: id, worker }, "its worker is gone: free for another");
    }
  } finally {
    await Promise.all([...queues.values()].map((queue) => queue.close()));
    redis.disconnect();
  }
}

/** In a container every start gets the same process ids, and this process is no worker. */
function isGone(worker: string): boolean {
  const pid = processOfWorker(worker);
  return pid !== undefined && (pid === process.pid || !isRunning(pid));
}
