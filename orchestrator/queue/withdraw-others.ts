/**
 * Takes off the queue what is not of one sweep, for an orchestrator that trains that one alone: what was put there for other sweeps
 * of this database, and what another database has left in a Redis that both use. What a worker holds goes on; should it come back
 * to the queue, the plan that belongs to it is gone, and it is passed over. Their own orchestrator puts it all there again.
 */
import { DISPATCH_KEY } from "../../schema/wire/job.ts";
import { connectRedis } from "../../schema/wire/redis.ts";
import type { Database } from "../database/open.ts";
import { isOfSweep } from "../database/queued-runs.ts";
import { findSweep } from "../database/sweeps.ts";
import { Queues } from "./queues.ts";

/** Of a job id: the run. */
const runOf = (id: string): string => id.slice(0, id.lastIndexOf("-"));

/** Call before workers are started. @returns how many jobs, of those that no worker has taken */
export async function withdrawOthers(db: Database, redisUrl: string, name: string): Promise<number> {
  const sweep = findSweep(db, name)?.id;
  const isOwn = (id: string): boolean => sweep !== undefined && isOfSweep(db, sweep, runOf(id));
  const redis = connectRedis(redisUrl);
  const queues = new Queues(db, redis);
  try {
    const others = (await redis.hkeys(DISPATCH_KEY)).filter((id) => !isOwn(id));
    let withdrawn = 0;
    for (const id of others) {
      await redis.hdel(DISPATCH_KEY, id);
      for (const queue of queues.all()) {
        // One that a worker holds is not removed.
        const removed = await queue.remove(id).catch(() => 0);
        withdrawn += removed;
      }
    }
    return withdrawn;
  } finally {
    await queues.close();
    redis.disconnect();
  }
}
