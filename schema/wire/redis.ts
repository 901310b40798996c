/**
 * How every part of musweep connects to Redis. Beside the url, which may stand on a command line, lies what may not: the
 * password and the certificates come from the environment, which only this user can read, and go on to every child process.
 */
import { Redis, type RedisOptions } from "ioredis";
import { MusweepError } from "./errors.ts";
import { readRegularSync } from "./regular-file.ts";

type Options = Omit<RedisOptions, "replyMapping">;

/**
 * @param url redis://, rediss://, or the path of a unix socket. REDIS_PASSWORD is the password where the url has none;
 *   REDIS_TLS_CA, REDIS_TLS_CERT and REDIS_TLS_KEY are paths of PEM files, for rediss://
 */
export function newRedis(url: string, options: Options): Redis {
  const redis = url.startsWith("/") ? new Redis(url, options) : newRemote(url, options);
  // The error of a refused login has the login among its fields, and errors are logged with theirs.
  redis.on("error", (error: Error & { command?: unknown }) => {
    delete error.command;
  });
  return redis;
}

function newRemote(url: string, options: Options): Redis {
  const parsed = new URL(url);
  const { REDIS_PASSWORD } = process.env;
  if (REDIS_PASSWORD && parsed.password === "") parsed.password = encodeURIComponent(REDIS_PASSWORD);
  if (parsed.protocol !== "rediss:") return new Redis(parsed.href, options);
  // As redis://: what ioredis makes of rediss:// by itself knows no certificates.
  return new Redis(parsed.href.replace(/^rediss:/, "redis:"), { ...options, tls: certificates() });
}

/** All authorities that a system knows take a quarter of it. */
const MAX_PEM_BYTES = 1 << 20;

function certificates(): { ca?: string; cert?: string; key?: string } {
  const read = <Name extends string>(name: Name, variable: string): Partial<Record<Name, string>> => {
    const path = process.env[variable];
    if (!path) return {};
    try {
      return { [name]: readRegularSync(path, MAX_PEM_BYTES) } as Record<Name, string>;
    } catch (error) {
      const cause = error as Error;
      // The system's own words, where it has some.
      const { message } = (cause.cause as Error | undefined) ?? cause;
      throw new MusweepError("redis-certificate", `${variable}: ${message}`, {
        kind: "usage",
        remedy: `${variable} is the path of a PEM file.`,
        cause,
      });
    }
  };
  return {
    ...read("ca", "REDIS_TLS_CA"),
    ...read("cert", "REDIS_TLS_CERT"),
    ...read("key", "REDIS_TLS_KEY"),
  };
}

/** A server that is there answers sooner. */
const CONNECT_MS = 5000;
/** Longer than any call waits at the server. A network that is cut off says nothing: a connection without an answer is made anew. */
const SILENCE_MS = 15_000;

/**
 * Calls wait for a lost server to come back instead of failing.
 * @param onLost told once each time the connection is lost, with the reason; it comes back by itself
 */
export function connectRedis(url: string, onLost: (reason: string) => void = () => undefined): Redis {
  // A process that ends waits for the goodbye of a server that is gone no longer than that.
  const redis = newRedis(url, {
    maxRetriesPerRequest: null,
    disconnectTimeout: 200,
    connectTimeout: CONNECT_MS,
    socketTimeout: SILENCE_MS,
  });
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
