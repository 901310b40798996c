/** The workers that have a heartbeat in Redis, as anything that can write to it has put them there: read, never believed. */
import type { Redis } from "ioredis";
import {
  HEARTBEAT_KEPT_MS,
  HEARTBEAT_LOST_MS,
  type Heartbeat,
  heartbeatSchema,
  WORKERS_KEY,
  workerKey,
} from "../../schema/queue.ts";

export interface WorkerStatus extends Heartbeat {
  /** Since its last heartbeat. */
  age_seconds: number;
  /** Not heard of for so long that its runs go to others. */
  lost: boolean;
}

/** By host, then name. Entries that are no heartbeats are passed over, names whose heartbeat has expired forgotten. */
export async function readWorkers(redis: Redis): Promise<WorkerStatus[]> {
  const names = (await redis.smembers(WORKERS_KEY)).sort();
  if (names.length === 0) return [];
  const reads = redis.pipeline();
  for (const name of names) reads.get(workerKey(name)).pttl(workerKey(name));
  const replies = (await reads.exec())!.map(([, value]) => value);
  const gone: string[] = [];
  const workers = names.flatMap((name, i): WorkerStatus[] => {
    const [text, left] = replies.slice(2 * i, 2 * i + 2);
    if (text === null) gone.push(name);
    if (typeof text !== "string" || typeof left !== "number" || left < 0) return [];
    const heartbeat = parse(text);
    if (heartbeat?.worker !== name) return [];
    const age = Math.max(0, HEARTBEAT_KEPT_MS - left);
    return [{ ...heartbeat, age_seconds: age / 1000, lost: age > HEARTBEAT_LOST_MS }];
  });
  if (gone.length > 0) await redis.srem(WORKERS_KEY, ...gone);
  return workers.sort((a, b) => (a.host < b.host ? -1 : a.host > b.host ? 1 : 0));
}

/** Tokens a second over the runs in progress. */
export const tokensPerSecond = (worker: WorkerStatus): number =>
  worker.lost ? 0 : worker.running.reduce((sum, run) => sum + run.tokens_per_second, 0);

export interface Fleet {
  /** Workers heard of lately, and those that were not. */
  alive: number;
  lost: number;
  /** Of the workers that are alive. */
  slots: number;
  busy: number;
}

export function fleetOf(workers: readonly WorkerStatus[]): Fleet {
  const alive = workers.filter((worker) => !worker.lost);
  return {
    alive: alive.length,
    lost: workers.length - alive.length,
    slots: alive.reduce((sum, { slots }) => sum + slots, 0),
    busy: alive.reduce((sum, { running }) => sum + running.length, 0),
  };
}

function parse(text: string): Heartbeat | undefined {
  try {
    return heartbeatSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
