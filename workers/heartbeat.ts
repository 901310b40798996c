/** A worker's sign of life, and what it hears in return: which of its runs are still its own. */
import type { Redis } from "ioredis";
import { HEARTBEAT_KEPT_MS, type Heartbeat, WORKERS_KEY, workerKey } from "../schema/wire/worker.ts";
import type { StopReason } from "./attempt.ts";

/** A run that a worker trains: the key of the lock on its job, and what the lock holds while the run is this worker's. */
export interface Held {
  lock: string;
  token: string;
  stop(reason: StopReason): void;
}

/** Says that the worker is there. Runs that were taken back while it was cut off or halted are others' by now: they are stopped. */
export async function beat(redis: Redis, heartbeat: Heartbeat, held: readonly Held[]): Promise<void> {
  const { worker } = heartbeat;
  const all = redis.multi().set(workerKey(worker), JSON.stringify(heartbeat), "PX", HEARTBEAT_KEPT_MS);
  all.sadd(WORKERS_KEY, worker);
  for (const { lock } of held) all.get(lock);
  const locks = (await all.exec())!.slice(2).map(([, token]) => token);
  for (const [i, { token, stop }] of held.entries()) if (locks[i] !== token) stop("lock-lost");
}

/** Says that it is there no more. */
export const sayGoodbye = (redis: Redis, worker: string): Promise<unknown> =>
  redis.multi().del(workerKey(worker)).srem(WORKERS_KEY, worker).exec();
