/**
 * Whether a Redis keeps what is put there. One that evicts loses jobs and results in silence; one that is full, or cannot write
 * its own file, refuses them. Both are said at once: waiting mends neither.
 */
import type { Redis } from "ioredis";
import { MusweepError } from "../../schema/wire/errors.ts";

const trouble = (code: string, message: string, remedy: string): MusweepError =>
  new MusweepError(code, message, { kind: "unavailable", remedy });

const AGAIN = "What is done is kept: then the same command goes on";

const full = (shown: string): MusweepError =>
  trouble(
    "redis-full",
    `Redis${shown} is full (maxmemory)`,
    `Give it more memory (CONFIG SET maxmemory), or remove what others keep there. ${AGAIN}.`,
  );

const cannotWrite = (shown: string, why: string): MusweepError =>
  trouble(
    "redis-disk",
    `Redis${shown} cannot write to its disk${why}`,
    `Is that disk full, or read-only? Its log says more. ${AGAIN}.`,
  );

const isCluster = (shown: string): MusweepError =>
  trouble(
    "redis-cluster",
    `Redis${shown} is a cluster`,
    "musweep's keys have to be in one place: name a single server (--redis, REDIS_URL).",
  );

/** @param info what INFO says @returns null when all is well */
export function healthProblem(info: string, url = ""): MusweepError | null {
  const field = (name: string): string | undefined => new RegExp(`^${name}:(\\S*)`, "m").exec(info)?.[1];
  const shown = url === "" ? "" : ` at ${url}`;
  const limit = Number(field("maxmemory") ?? 0);
  const policy = field("maxmemory_policy") ?? "noeviction";
  if (limit > 0 && policy !== "noeviction")
    return trouble(
      "redis-evicts",
      `Redis${shown} throws away what it holds when its memory is full (maxmemory-policy ${policy})`,
      "Set its maxmemory-policy to noeviction (CONFIG SET maxmemory-policy noeviction), or name another Redis.",
    );
  if (limit > 0 && Number(field("used_memory") ?? 0) >= limit) return full(shown);
  if (field("cluster_enabled") === "1") return isCluster(shown);
  if (field("aof_enabled") === "1" && field("aof_last_write_status") === "err") return cannotWrite(shown, "");
  return null;
}

/** @throws MusweepError (unavailable) where it does not keep what is put there */
export async function checkHealth(redis: Redis): Promise<void> {
  const problem = healthProblem(await redis.info());
  if (problem !== null) throw problem;
}

/** What Redis says of a command, by its first word: the sentence, and the remedy. */
const REFUSALS: [says: RegExp, code: string, message: (why: string) => string, remedy: string][] = [
  [
    /^READONLY .*/m,
    "redis-readonly",
    () => "Redis is a read-only replica",
    "Name its primary (--redis, REDIS_URL).",
  ],
  [
    /\bNOPERM (.*)/m,
    "redis-permissions",
    (why) => `Redis does not let this user do what musweep needs: ${why}`,
    "Its ACL has to allow +@all ~musweep:* ~bull:* &musweep:*, EVAL and EVALSHA included (docs/many-machines.md).",
  ],
  [
    /\bNOREPLICAS (.*)/m,
    "redis-replicas",
    (why) => `Redis takes no writes while its replicas are away (${why})`,
    `Bring them back, or set its min-replicas-to-write to 0. ${AGAIN}.`,
  ],
  [
    /\bWRONGTYPE\b.*/m,
    "redis-keys",
    () => "in Redis, a key of musweep's (musweep:…, bull:musweep-…) holds what another program has put there",
    "Remove it there, or give musweep a database of its own (redis://host:6379/1), or a Redis.",
  ],
];

/** @returns what a refused command says of the server; null when it says nothing of it */
export function redisError(error: unknown): MusweepError | null {
  if (!(error instanceof Error)) return null;
  // A transaction says of itself only that a command of it was refused.
  const { previousErrors = [] } = error as { previousErrors?: Error[] };
  const said = [error, ...previousErrors].map(({ message }) => message).join("\n");
  if (/^OOM /m.test(said)) return full("");
  const disk = /^MISCONF (.*)/m.exec(said);
  if (disk !== null) return cannotWrite("", `: ${disk[1]}`);
  if (/\b(?:CROSSSLOT|CLUSTERDOWN) |^(?:MOVED|ASK) \d/m.test(said)) return isCluster("");
  for (const [says, code, message, remedy] of REFUSALS) {
    const match = says.exec(said);
    if (match !== null) return trouble(code, message(match[1] ?? ""), remedy);
  }
  return null;
}

/** What a call says whose connection Redis lets in no more; the connection itself says so, tries again, and waits. */
export const refusesPassword = (error: unknown): boolean =>
  error instanceof Error && /^(WRONGPASS|NOAUTH) /.test(error.message);
