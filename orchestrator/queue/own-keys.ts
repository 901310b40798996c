/**
 * Keys of this orchestrator that hold something else: another program, or a person, has written there. Nothing of musweep's is in them,
 * and nothing could be put there: what they hold is kept under another name.
 */
import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { EVENT_STREAM, STREAM_ID_KEY } from "../../schema/wire/events.ts";
import { DISPATCH_KEY } from "../../schema/wire/job.ts";
import { WORKERS_KEY } from "../../schema/wire/worker.ts";

const TYPES: [key: string, type: string][] = [
  [EVENT_STREAM, "stream"],
  [STREAM_ID_KEY, "string"],
  [DISPATCH_KEY, "hash"],
  [WORKERS_KEY, "set"],
];

/** @returns how many were moved */
export async function moveStrangersAside(redis: Redis, log: Logger): Promise<number> {
  let moved = 0;
  for (const [key, type] of TYPES) {
    const is = await redis.type(key);
    if (is === "none" || is === type) continue;
    const aside = `${key}:aside-${randomUUID().slice(0, 8)}`;
    await redis.rename(key, aside);
    log.error({ key, is, aside }, `a key of musweep's was no ${type}: what it holds has another name now`);
    moved++;
  }
  return moved;
}

export const isWrongType = (error: unknown): boolean =>
  error instanceof Error && /\bWRONGTYPE\b/.test(error.message);
