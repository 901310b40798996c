/** How every part of musweep connects to Redis: blocking calls wait for a lost server to come back instead of failing. */
import { Redis } from "ioredis";

/** @param url redis://, rediss://, or the path of a unix socket */
export const connectRedis = (url: string): Redis => new Redis(url, { maxRetriesPerRequest: null });
