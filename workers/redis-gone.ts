/** When a worker that is asked to stop leaves without telling Redis. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";

const PATIENCE_MS = 5000;

/** Resolves when Redis has not answered for PATIENCE_MS: a connection that is cut off looks as if it were there. */
export async function redisGone(redis: Redis, signal: AbortSignal): Promise<void> {
  let answeredAt = performance.now();
  while (performance.now() - answeredAt < PATIENCE_MS && !signal.aborted) {
    const answered = redis.ping().then(
      () => true,
      () => false,
    );
    if (await Promise.race([answered, sleep(1000, false)])) answeredAt = performance.now();
    await sleep(100);
  }
}
