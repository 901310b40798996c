/**
 * What can be done to a cluster: every process of it killed or halted, Redis with and without what it held, the disk filled, a host cut
 * off, and the moments in which something is half done. Each fault ends with everything as it was, but for what it broke.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import { EVENT_STREAM } from "../../schema/wire/events.ts";
import { HEARTBEAT_LOST_MS } from "../../schema/wire/worker.ts";
import { connected } from "../redis/probe.ts";
import type { Cluster } from "./cluster.ts";
import { signal, ticksOf } from "./processes.ts";
import { pick } from "./random.ts";

/** Moments are waited for so long. */
const MOMENT_MS = 8000;
const LOOK_MS = 2;
/** A trainer that uses no processor time for so long has nothing to do, or nobody who hears it. */
const IDLE_MS = 400;

interface Blow {
  /** Unix time, milliseconds. */
  at: number;
  /** What was halted or cut off: for so long, and how it goes on. */
  lasts?: { ms: number; undo(): void };
}

export interface Fault {
  readonly name: string;
  /** @returns undefined where it could not be done: nobody trains, or the moment did not come */
  inflict(cluster: Cluster, random: () => number): Promise<Blow | undefined>;
}

interface Victim {
  worker: number;
  trainer: number;
  host: number;
}

/** One of the workers that train something. */
function victim(cluster: Cluster, random: () => number): Victim | undefined {
  const busy = cluster.workers().filter(({ trainers }) => trainers.length > 0);
  if (busy.length === 0) return undefined;
  const { worker, trainers, host } = pick(busy, random);
  return { worker: worker.pid, trainer: trainers[0]!.pid, host };
}

type OnVictim = (
  of: Victim,
  cluster: Cluster,
  random: () => number,
) => Promise<Blow | undefined> | Blow | undefined;

const toVictim =
  (inflict: OnVictim): Fault["inflict"] =>
  async (cluster, random) => {
    const of = victim(cluster, random);
    return of && inflict(of, cluster, random);
  };

const now = (): Blow => ({ at: Date.now() });
const since = (at: number | undefined): Blow | undefined => (at === undefined ? undefined : { at });
const blow = (pid: number, name: NodeJS.Signals): Blow | undefined => (signal(pid, name) ? now() : undefined);
const kill = (pid: number): Blow | undefined => blow(pid, "SIGKILL");

/** Halts a process for a while. */
function halt(pid: number, ms: number): Blow | undefined {
  return signal(pid, "SIGSTOP") ? { ...now(), lasts: { ms, undo: () => signal(pid, "SIGCONT") } } : undefined;
}

/** Resolves with whether a checkpoint is being written within MOMENT_MS. */
async function checkpointBegins(cluster: Cluster): Promise<boolean> {
  const { checkpoints } = cluster.state;
  for (const until = performance.now() + MOMENT_MS; performance.now() < until; await sleep(LOOK_MS)) {
    if (!existsSync(checkpoints)) continue;
    for (const run of readdirSync(checkpoints)) {
      try {
        if (readdirSync(join(checkpoints, run)).some((name) => name.endsWith(".tmp"))) return true;
      } catch {
        // The run has ended.
      }
    }
  }
  return false;
}

/** Resolves with whether an event of this type comes within MOMENT_MS. */
async function eventComes(redis: Redis, type: string): Promise<boolean> {
  let from = "$";
  for (const until = performance.now() + MOMENT_MS; performance.now() < until; ) {
    const found = await redis.xread("BLOCK", 200, "STREAMS", EVENT_STREAM, from);
    for (const [id, fields] of found?.[0]?.[1] ?? []) {
      from = id;
      if (fields[1]?.includes(`"type":"${type}"`)) return true;
    }
  }
  return false;
}

/** Shortest, and how many times as long the longest is. */
const CUT_MS = 5000;
const LONGEST_CUT = 24;

/** Half of the cuts are shorter than a worker's silence may be, or little longer; some outlast every limit that there is. */
export const CUT: Fault = {
  name: "cut a worker's host off for a while",
  inflict: toVictim(({ host }, { hosts }, random) => {
    if (hosts === undefined) return undefined;
    hosts.cut(host);
    return { ...now(), lasts: { ms: CUT_MS * LONGEST_CUT ** (random() ** 3), undo: () => hosts.mend(host) } };
  }),
};

export const FAULTS: readonly Fault[] = [
  CUT,
  { name: "kill a trainer", inflict: toVictim(({ trainer }) => kill(trainer)) },
  {
    name: "halt a trainer for a while",
    inflict: toVictim(({ trainer }, _cluster, random) => halt(trainer, 500 + random() * 4000)),
  },
  { name: "kill a worker", inflict: toVictim(({ worker }) => kill(worker)) },
  {
    name: "kill a worker and its trainers, as if its machine were gone",
    inflict: toVictim(({ worker, trainer }) => kill(trainer) && kill(worker)),
  },
  {
    name: "halt a worker for a moment",
    inflict: toVictim(({ worker }, _cluster, random) => halt(worker, 500 + random() * 3000)),
  },
  {
    name: "halt a worker until its runs have gone to others, then let it go on",
    inflict: toVictim(({ worker }) => halt(worker, HEARTBEAT_LOST_MS + 4000)),
  },
  { name: "stop a worker in order", inflict: toVictim(({ worker }) => blow(worker, "SIGTERM")) },
  { name: "kill the orchestrator", inflict: async (cluster) => kill(cluster.orchestrator) },
  {
    name: "halt the orchestrator for a while",
    inflict: async (cluster, random) => halt(cluster.orchestrator, 500 + random() * 5000),
  },
  { name: "kill Redis", inflict: async (cluster) => since(cluster.killRedis()) },
  { name: "kill Redis and lose what it held", inflict: async (cluster) => since(await cluster.loseRedis()) },
  {
    name: "flush Redis",
    inflict: async (cluster) =>
      connected(cluster.redis, (redis) => redis.flushall()).then(
        () => now(),
        () => undefined,
      ),
  },
  {
    name: "kill a trainer inside a checkpoint's write",
    inflict: toVictim(async ({ trainer }, cluster) =>
      (await checkpointBegins(cluster)) ? kill(trainer) : undefined,
    ),
  },
  {
    name: "kill a worker inside a checkpoint's write",
    inflict: toVictim(async ({ worker }, cluster) =>
      (await checkpointBegins(cluster)) ? kill(worker) : undefined,
    ),
  },
  {
    name: "kill a worker between the end of a training and its event",
    inflict: toVictim(async ({ worker, trainer }) => {
      // Halted, it hears nothing; its trainer ends the run, or fills the pipe, and is idle then.
      if (!signal(worker, "SIGSTOP")) return undefined;
      let ticks = ticksOf(trainer);
      if (ticks !== undefined)
        for (const until = performance.now() + MOMENT_MS; performance.now() < until; ) {
          await sleep(IDLE_MS);
          const used = ticksOf(trainer);
          if (used === undefined || used === ticks) break;
          ticks = used;
        }
      return kill(worker);
    }),
  },
  {
    name: "kill the orchestrator between a result's event and its commit",
    inflict: async (cluster) =>
      connected(cluster.redis, async (redis) =>
        (await eventComes(redis, "finished")) ? kill(cluster.orchestrator) : undefined,
      ).catch(() => undefined),
  },
  {
    // Nobody looks meanwhile: a database on a full disk cannot even be opened to be read.
    name: "fill the disk for a while",
    async inflict({ disk }, random) {
      if (disk === undefined) return undefined;
      disk.fill();
      await sleep(500 + random() * 6000);
      disk.clear();
      return now();
    },
  },
];
