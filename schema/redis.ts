/** How every part of musweep connects to Redis: calls wait for a lost server to come back instead of failing. */
import { Redis } from "ioredis";

/**
 * @param url redis://, rediss://, or the path of a unix socket
 * @param onLost told once each time the connection is lost, with the reason; it comes back by itself
 */
export function connectRedis(url: string, onLost: (reason: string) => void = () => undefined): Redis {
  const redis = new Redis(url, { maxRetriesPerRequest: null });
  let lost = false;
  redis.on("error", (error: Error) => {
    if (lost) return;
    lost = true;
    onLost(error.message);
  });
  redis.on("ready", () => {
    lost = false;
  });
  return redis;
}
