/** Asking a Redis whether it is there, over a connection of its own that is closed again. */
import { Redis } from "ioredis";
import { MusweepError } from "../../schema/errors.ts";
import { isAtLeast, MINIMUM_VERSION } from "./find-server.ts";

/** Takes a url apart for messages: everything but the password. */
export function withoutPassword(url: string): string {
  return url.replace(/^(rediss?:\/\/[^/@]*:)[^@]*@/, "$1***@");
}

const isUrl = (url: string): boolean => url.startsWith("/") || /^rediss?:\/\/[^/]/.test(url);

/** One connection attempt, no retries. */
export async function connected<T>(url: string, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: 5000,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    // A server that still loads its file says so itself; waiting is the caller's.
    enableReadyCheck: false,
  });
  let failure: Error | undefined;
  redis.on("error", (error: Error) => {
    failure ??= error;
  });
  try {
    await redis.connect();
    return await use(redis);
  } catch (error) {
    // ioredis rejects with "Connection is closed."; the event before it says why.
    throw failure ?? error;
  } finally {
    redis.disconnect();
  }
}

/** The server's version as it tells it. */
const versionOf = (redis: Redis): Promise<string> =>
  redis.info("server").then((info) => /^redis_version:(\S+)/m.exec(info)?.[1] ?? "unknown");

export type State = "ready" | "loading" | "down";

/** @param url redis://, rediss://, or the absolute path of a unix socket */
export async function probe(url: string): Promise<State> {
  try {
    await connected(url, (redis) => redis.ping());
    return "ready";
  } catch (error) {
    return error instanceof Error && error.message.startsWith("LOADING") ? "loading" : "down";
  }
}

/**
 * A Redis that the user named.
 * @returns its version
 * @throws MusweepError (usage) when the url is none, (unavailable) when it cannot be reached, lets nobody in or is too old
 */
export async function checkRedis(url: string): Promise<string> {
  const shown = withoutPassword(url);
  if (!isUrl(url)) {
    throw new MusweepError("redis-url", `Not a Redis url: ${shown}`, {
      kind: "usage",
      remedy:
        "Expected redis://host:port, rediss://user:password@host:port, or the absolute path of a unix socket.",
    });
  }
  let version: string;
  try {
    version = await connected(url, versionOf);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MusweepError("redis-unreachable", `Redis at ${shown} cannot be used: ${reason}`, {
      kind: "unavailable",
      remedy: /NOAUTH|WRONGPASS|NOPERM/.test(reason)
        ? "Put the user and password into the url: redis://user:password@host:port."
        : "Start it or correct the url (--redis, REDIS_URL); without one, musweep starts a private Redis.",
      cause: error,
    });
  }
  if (version !== "unknown" && !isAtLeast(version, MINIMUM_VERSION)) {
    throw new MusweepError("redis-version", `Redis at ${shown} is version ${version}`, {
      kind: "unavailable",
      remedy: `musweep needs Redis ${MINIMUM_VERSION} or newer.`,
    });
  }
  return version;
}
