/** The workers that have a heartbeat in Redis, as anything that can write to it has put them there: read, never believed. */
import type { Redis } from "ioredis";
import { z } from "zod";
import type { Need } from "../../schema/wire/need.ts";
import { packageVersion } from "../../schema/wire/package.ts";
import {
  HEARTBEAT_KEPT_MS,
  HEARTBEAT_LOST_MS,
  type Heartbeat,
  heartbeatSchema,
  type Inability,
  MAX_HEARTBEAT_BYTES,
  WORKERS_KEY,
  workerKey,
} from "../../schema/wire/worker.ts";

export interface WorkerStatus extends Heartbeat {
  /** Since its last heartbeat. */
  age_seconds: number;
  /** Not heard of for so long that its runs go to others. */
  lost: boolean;
}

export interface Workers {
  /** By host, then name. */
  workers: WorkerStatus[];
  /** Names under which there is something else than a worker's heartbeat: of another version, or a stranger's. */
  unreadable: string[];
  /** Whether there are more names than were looked at. */
  more: boolean;
}

/** Names looked at in one reading. What is among them without a heartbeat is removed, so that the next reading sees others. */
const NAMES = 5000;
const NAMES_AT_ONCE = 200;
const NAME_CHARACTERS = 100;
/** Workers, and unreadable names, that are told of. */
const TOLD = 1000;

export async function readWorkers(redis: Redis): Promise<Workers> {
  const workers: WorkerStatus[] = [];
  const unreadable: string[] = [];
  let looked = 0;
  let cursor = "0";
  do {
    const [next, names] = await redis.sscan(WORKERS_KEY, cursor, "COUNT", NAMES_AT_ONCE);
    cursor = next;
    looked += names.length;
    await readNames(redis, names, workers, unreadable);
  } while (cursor !== "0" && looked < NAMES && workers.length < TOLD && unreadable.length < TOLD);
  // While a set grows or shrinks, a scan of it may tell a name twice.
  const byName = new Map(workers.map((worker) => [worker.worker, worker]));
  return {
    workers: [...byName.values()]
      .slice(0, TOLD)
      .sort((a, b) => order(a.host, b.host) || order(a.worker, b.worker)),
    unreadable: [...new Set(unreadable)].slice(0, TOLD),
    more: cursor !== "0",
  };
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Puts each name where it belongs, and removes those whose heartbeat has expired. */
async function readNames(
  redis: Redis,
  names: readonly string[],
  workers: WorkerStatus[],
  unreadable: string[],
): Promise<void> {
  if (names.length === 0) return;
  const reads = redis.pipeline();
  // One byte more than a heartbeat may have, whatever length is there.
  for (const name of names) reads.getrange(workerKey(name), 0, MAX_HEARTBEAT_BYTES).pttl(workerKey(name));
  const replies = (await reads.exec())!.map(([, value]) => value);
  const gone: string[] = [];
  for (const [i, name] of names.entries()) {
    const [text, left] = replies.slice(2 * i, 2 * i + 2);
    const { heartbeat, version } = typeof text === "string" ? parse(text) : {};
    if (left === NO_KEY) gone.push(name);
    // One that is kept for longer than workers ask for is none of theirs.
    else if (heartbeat?.worker !== name || typeof left !== "number" || left < 0 || left > HEARTBEAT_KEPT_MS)
      unreadable.push(
        `${name.slice(0, NAME_CHARACTERS)}${version === undefined ? "" : ` (musweep ${version})`}`,
      );
    else {
      const age = HEARTBEAT_KEPT_MS - left;
      workers.push({ ...heartbeat, age_seconds: age / 1000, lost: age > HEARTBEAT_LOST_MS });
    }
  }
  if (gone.length > 0) await redis.srem(WORKERS_KEY, ...gone);
}

/** PTTL's word for a key that is not there. */
const NO_KEY = -2;

/** Tokens a second over the runs in progress. */
export const tokensPerSecond = (worker: WorkerStatus): number =>
  worker.lost ? 0 : worker.running.reduce((sum, run) => sum + run.tokens_per_second, 0);

/** What runs may need for one of the workers that are alive to train them. */
export const needsMet = ({ workers }: Workers): ReadonlySet<Need> =>
  new Set(workers.filter(({ lost }) => !lost).flatMap(({ needs }) => needs));

/** One slot may train several runs. */
export const busySlots = ({ running, slots }: WorkerStatus): number => Math.min(running.length, slots);

export interface Fleet {
  /** Workers heard of lately, and those that were not. */
  alive: number;
  lost: number;
  /** Of the workers that are alive. */
  slots: number;
  busy: number;
  unreadable: number;
  /** What workers that are alive cannot train here, and leave to others: each once, and how many of them say so. */
  unable: (Inability & { workers: number })[];
}

export function fleetOf({ workers, unreadable }: Workers): Fleet {
  const alive = workers.filter((worker) => !worker.lost);
  return {
    alive: alive.length,
    lost: workers.length - alive.length,
    slots: alive.reduce((sum, { slots }) => sum + slots, 0),
    busy: alive.reduce((sum, worker) => sum + busySlots(worker), 0),
    unreadable: unreadable.length,
    unable: [...inabilities(alive).values()],
  };
}

function inabilities(alive: readonly WorkerStatus[]): Map<string, Inability & { workers: number }> {
  const found = new Map<string, Inability & { workers: number }>();
  for (const inability of alive.flatMap(({ unable }) => unable)) {
    const known = found.get(inability.what + inability.code);
    if (known) known.workers++;
    else found.set(inability.what + inability.code, { ...inability, workers: 1 });
  }
  return found;
}

/** Of what may be another version's heartbeat, that version. */
const otherVersion = z.object({ version: z.string().max(NAME_CHARACTERS) });

function parse(text: string): { heartbeat?: Heartbeat; version?: string } {
  if (text.length > MAX_HEARTBEAT_BYTES) return {};
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return {};
  }
  const parsed = heartbeatSchema.safeParse(json);
  if (parsed.success) return { heartbeat: parsed.data };
  const other = otherVersion.safeParse(json);
  return other.success && other.data.version !== packageVersion() ? { version: other.data.version } : {};
}
