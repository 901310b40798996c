/** Asking a Redis whether it is there, over a connection of its own that is closed again. */
import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import { MusweepError } from "../../schema/wire/errors.ts";
import { newRedis } from "../../schema/wire/redis.ts";
import { isAtLeast, MINIMUM_VERSION } from "../machine/find-server.ts";
import { healthProblem, redisError } from "./health.ts";

/** For messages. Rather too much is hidden than a part of a password that has an @, and options (?password=…) altogether. */
export const withoutPassword = (url: string): string =>
  url.replace(/^(rediss?:\/\/(?:[^:@/]*:)?).*@/s, "$1***@").replace(/\?.*/s, "?…");

export function hasPassword(url: string): boolean {
  if (url.startsWith("/") || !URL.canParse(url)) return false;
  const { password, searchParams } = new URL(url);
  return password !== "" || searchParams.has("password");
}

function isUrl(url: string): boolean {
  if (url.startsWith("/")) return true;
  if (!/^rediss?:\/\/[^/]/.test(url) || !URL.canParse(url)) return false;
  // A password that was not percent-encoded ends the host early.
  const { hostname, pathname, search, hash } = new URL(url);
  return hostname !== "" && !`${pathname}${search}${hash}`.includes("@");
}

/** One connection attempt, no retries. */
export async function connected<T>(url: string, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = newRedis(url, {
    lazyConnect: true,
    connectTimeout: 5000,
    commandTimeout: 5000,
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

/** In what INFO says. */
const versionIn = (info: string): string => /^redis_version:(\S+)/m.exec(info)?.[1] ?? "unknown";

export type State = "ready" | "loading" | "down";

/** @param url redis://, rediss://, or the absolute path of a unix socket */
export async function probe(url: string): Promise<State> {
  try {
    await connected(url, (redis) => redis.ping());
    return "ready";
  } catch (error) {
    const said = error instanceof Error ? error.message : "";
    // One that cannot write to its disk answers that to everything: whoever writes next hears it, and says so.
    return said.startsWith("LOADING") ? "loading" : said.startsWith("MISCONF") ? "ready" : "down";
  }
}

/** By what "redis: reason" or "rediss: reason" says. */
const REMEDIES: [RegExp, string][] = [
  [
    /NOAUTH|WRONGPASS|NOPERM|invalid password/,
    "Set REDIS_PASSWORD, or REDIS_URL to redis://user:password@host:port.",
  ],
  [
    /self-signed|unable to (?:get|verify)|issuer certificate/,
    "Set REDIS_TLS_CA to the PEM file of the authority that signed the server's certificate.",
  ],
  [
    /PEM routines|x509 certificate routines|DECODER routines|libcrypto routines|asn1|bad decrypt/i,
    "REDIS_TLS_CERT, REDIS_TLS_KEY and REDIS_TLS_CA are paths of PEM files; the key is the certificate's, without a passphrase.",
  ],
  [/altnames/, "Name the host as its certificate does."],
  [
    /^rediss.*(?:ECONNRESET|Connection is closed|certificate required|bad certificate)/,
    "If the server wants a certificate of its clients, set REDIS_TLS_CERT and REDIS_TLS_KEY to PEM files.",
  ],
  [
    /^rediss.*(?:ETIMEDOUT|wrong version)/,
    "If the server speaks no TLS on this port, use redis:// instead of rediss://.",
  ],
  [
    /^redis:.*(?:ECONNRESET|Connection is closed)/,
    "If the server speaks TLS on this port, use rediss:// instead of redis://.",
  ],
];

const remedyFor = (url: string, reason: string): string =>
  REMEDIES.find(([pattern]) => pattern.test(`${url.split(":")[0]}: ${reason}`))?.[1] ??
  "Start it or correct the url (--redis, REDIS_URL); without one, musweep starts a private Redis.";

function unusable(url: string, cause: unknown): MusweepError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new MusweepError("redis-unreachable", `Redis at ${withoutPassword(url)} cannot be used: ${reason}`, {
    kind: "unavailable",
    remedy: remedyFor(url, reason),
    cause,
  });
}

/** For a moment, of what musweep does with a Redis: keys of both beginnings that it uses in one script, and its channels. */
async function tryOut(redis: Redis): Promise<void> {
  const unique = randomUUID();
  const [own, bull] = [`musweep:trial:${unique}`, `bull:musweep-trial:${unique}`];
  await redis.set(own, "1", "PX", TRIAL_MS);
  await redis.eval(
    "return redis.call('SET', KEYS[2], redis.call('GET', KEYS[1]), 'PX', ARGV[1])",
    2,
    own,
    bull,
    TRIAL_MS,
  );
  await redis.del(own, bull);
  await redis.publish(own, "");
  await redis.subscribe(own);
}
const TRIAL_MS = 10_000;

/**
 * A Redis that the user named.
 * @returns its version
 * @throws MusweepError (usage) when the url is none, (unavailable) when it cannot be reached, lets nobody in, is too old, does not
 *   keep what is put there, or refuses what musweep does with it
 */
export async function checkRedis(url: string): Promise<string> {
  const shown = withoutPassword(url);
  if (!isUrl(url)) {
    throw new MusweepError("redis-url", `Not a Redis url: ${shown}`, {
      kind: "usage",
      remedy:
        "Expected redis://host:port, rediss://user:password@host:port, or the absolute path of a unix socket. " +
        "In a password, % @ : / ? # are written %25 %40 %3A %2F %3F %23; or set REDIS_PASSWORD instead.",
    });
  }
  let info: string;
  try {
    info = await connected(url, (redis) => redis.info());
  } catch (error) {
    throw error instanceof MusweepError ? error : unusable(url, error);
  }
  const version = versionIn(info);
  if (version !== "unknown" && !isAtLeast(version, MINIMUM_VERSION)) {
    throw new MusweepError("redis-version", `Redis at ${shown} is version ${version}`, {
      kind: "unavailable",
      remedy: `musweep needs Redis ${MINIMUM_VERSION} or newer.`,
    });
  }
  const problem = healthProblem(info, shown);
  if (problem !== null) throw problem;
  try {
    await connected(url, tryOut);
  } catch (error) {
    throw redisError(error) ?? unusable(url, error);
  }
  return version;
}
