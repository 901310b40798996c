/**
 * One orchestrator per Redis: two would take each other's events for their own, and trim them. Whoever feeds the queue holds a key
 * that expires, renews it, and is told when it has lost it.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { MusweepError } from "../../schema/wire/errors.ts";
import { connectRedis } from "../../schema/wire/redis.ts";
import { isRunning, startOf } from "../machine/is-running.ts";
import { inTime } from "../redis/in-time.ts";

export const LEASE_KEY = "musweep:orchestrator";

const RENEW_MS = 2000;
/** A holder that was not heard of for so long has lost it. */
const LEASE_MS = 15_000;
const LOOK_MS = 250;

const holderSchema = z.object({
  /** Of this one time that it was taken. */
  token: z.uuid(),
  host: z.string().max(500),
  pid: z.int(),
  /** When the process was started, where that can be known. */
  started: z.string().max(100).optional(),
  /** Its state directory. */
  directory: z.string().max(5000),
});
type Holder = z.infer<typeof holderSchema>;

/** Takes the key if it is still what it was seen to be. */
const TAKE_FROM = `
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return 1
end
return 0`;
/** Also takes it anew where Redis has lost it. */
const RENEW = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`;
const RELEASE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end`;

export interface Lease {
  /** What the key holds while the lease does: for writes that only the holder may make. */
  readonly value: string;
  /** Resolves with the reason when another orchestrator has the Redis now. */
  readonly lost: Promise<MusweepError>;
  release(): Promise<void>;
}

/**
 * @param directory the state directory, which this process has locked: a holder of the same one on this host is no more
 * @throws MusweepError (conflict) when another orchestrator is at work on this Redis
 */
export async function takeLease(
  redisUrl: string,
  directory: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Lease> {
  const redis = connectRedis(redisUrl);
  const value = JSON.stringify({
    token: randomUUID(),
    host: hostname(),
    pid: process.pid,
    started: startOf(process.pid),
    directory,
  } satisfies Holder);

  async function take(): Promise<void> {
    let left = 0;
    let seen: string | undefined;
    while ((await redis.set(LEASE_KEY, value, "PX", LEASE_MS, "NX")) === null) {
      options.signal?.throwIfAborted();
      const [[, text], [, ttl]] = (await redis.multi().get(LEASE_KEY).pttl(LEASE_KEY).exec()) as [
        [null, string | null],
        [null, number],
      ];
      if (text === null) continue;
      const holder = parse(text);
      // What nobody of ours has put there would never expire either.
      if (holder === undefined || ttl < 0 || isGone(holder, directory)) {
        if ((await redis.eval(TAKE_FROM, 1, LEASE_KEY, text, value, LEASE_MS)) === 1) return;
        continue;
      }
      // It has been renewed since: somebody is alive there.
      if (seen === text && ttl > left) throw inUse(holder);
      [seen, left] = [text, ttl];
      await sleep(LOOK_MS);
    }
  }

  try {
    await take();
  } catch (error) {
    redis.disconnect();
    throw error;
  }
  let tellLost: (error: MusweepError) => void = () => undefined;
  const lost = new Promise<MusweepError>((resolve) => {
    tellLost = resolve;
  });
  const renewal = setInterval(() => {
    void redis.eval(RENEW, 1, LEASE_KEY, value, LEASE_MS).then(
      async (held) => {
        if (held === 1) return;
        clearInterval(renewal);
        tellLost(inUse(parse((await redis.get(LEASE_KEY)) ?? "")));
      },
      // Away, full, or read-only: whoever needs it more says so.
      () => undefined,
    );
  }, RENEW_MS);
  return {
    value,
    lost,
    async release() {
      clearInterval(renewal);
      await inTime(redis.eval(RELEASE, 1, LEASE_KEY, value), 500);
      redis.disconnect();
    },
  };
}

/** On another host, only time tells. */
function isGone({ host, pid, started, directory }: Holder, own: string): boolean {
  if (host !== hostname()) return false;
  // In a container every start gets the same process id.
  if (directory === own || pid === process.pid) return true;
  return !isRunning(pid) || startOf(pid) !== (started ?? startOf(pid));
}

function parse(text: string): Holder | undefined {
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function inUse(holder: Holder | undefined): MusweepError {
  const who = holder ? `, process ${holder.pid} on ${holder.host} with ${holder.directory}` : "";
  return new MusweepError("redis-shared", `another orchestrator is at work on this Redis${who}`, {
    kind: "conflict",
    remedy: "Submit to that one, stop it first, or give each its own Redis (--redis, REDIS_URL).",
  });
}
