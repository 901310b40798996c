import type { Redis } from "ioredis";

/** Calls to Redis wait for a lost server to come back; a page, a scrape, or the end of a process does not. */
const PATIENCE_MS = 2000;
/** For one that is not connected: as long as it takes to connect again after a moment's loss. */
const AWAY_MS = 200;

/** Null when it fails or takes too long. */
export function inTime<T>(work: Promise<T>, patienceMs = PATIENCE_MS): Promise<T | null> {
  let timer: NodeJS.Timeout;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), patienceMs);
  });
  return Promise.race([work.catch(() => null), late]).finally(() => clearTimeout(timer));
}

/** The same for a page, which is not to take seconds while Redis is away. */
export const atOnce = <T>(redis: Redis, work: Promise<T>): Promise<T | null> =>
  inTime(work, redis.status === "ready" ? PATIENCE_MS : AWAY_MS);
