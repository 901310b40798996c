/**
 * Trains a sweep undisturbed, then again and again while its processes are killed, halted, cut off and robbed of their data, and holds
 * what came out against the first: every run one result with the same bits, every curve with all its points, nothing left behind.
 * Where hosts can be made, every other training is on several, the first of them too.
 */
import { spawn } from "node:child_process";
import { existsSync, openSync, readdirSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { MusweepError } from "../../schema/wire/errors.ts";
import { DISPATCH_KEY } from "../../schema/wire/job.ts";
import {
  type Accepted,
  isInHand,
  openAttempts,
  readAccepted,
  runsAtLastTry,
  runsUnderWay,
} from "../database/accepted.ts";
import { type Database, openDatabase } from "../database/open.ts";
import { isSettled, sweepProgress } from "../database/progress.ts";
import { makeDirectory } from "../machine/new-path.ts";
import { ensureServer } from "../redis/install-server.ts";
import { connected } from "../redis/probe.ts";
import { Cluster, musweepCommand, type Network } from "./cluster.ts";
import { CUT, FAULTS } from "./faults.ts";
import { Hosts, whyNoHosts } from "./hosts.ts";
import { pick, seeded } from "./random.ts";
import { mayMount, SmallDisk } from "./small-disk.ts";

export interface ChaosOptions {
  file: string;
  /** Everything lies below it, and stays. */
  directory: string;
  seed: number;
  /** No fault begins later; the sweep under way is trained to its end. */
  minutes: number;
  /** And none after so many; undefined: no limit. */
  faults?: number | undefined;
  workers: number;
  onProgress(text: string): void;
  signal: AbortSignal;
}

export interface Inflicted {
  fault: string;
  /** Whether the workers were on hosts of their own. */
  hosts: boolean;
  /** Since the beginning. */
  at_seconds: number;
  /** Until every run that was trained at that moment went on, was back on the queue, or had ended. */
  recovery_seconds: number;
}

export interface ChaosResult {
  seed: number;
  /** Times that the sweep was trained under faults. */
  rounds: number;
  runs: number;
  inflicted: Inflicted[];
  /** Attempts that the runs took, in all rounds. */
  attempts: number;
  /** What should not be; empty: it held. */
  problems: string[];
}

/** A run of which nothing is heard by then is taken for stuck. */
const RECOVERY_MS = 120_000;
/** The longest time without a fault: until a sweep has ended, or a run has got further. */
const SETTLE_MS = 900_000;
/** A disk that can be filled is in memory. */
const MOST_DISK_MEGABYTES = 1024;
const LOOK_MS = 100;
/** After a fault, about the time between checkpoints. */
const BREATH_MS = 2500;

export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { seed, directory, onProgress } = options;
  makeDirectory(directory);
  const noHosts = whyNoHosts();
  if (noHosts !== undefined) onProgress(`no host is cut off: ${noHosts}`);
  onProgress("training it undisturbed");
  const reference = await trainUndisturbed(options);
  const result: ChaosResult = {
    seed,
    rounds: 0,
    runs: reference.size,
    inflicted: [],
    attempts: 0,
    problems: [],
  };
  const disk_megabytes = diskFor(join(directory, "undisturbed"), onProgress);
  const began = performance.now();
  const isOver = (): boolean =>
    options.signal.aborted ||
    performance.now() - began > options.minutes * 60_000 ||
    result.inflicted.length >= (options.faults ?? Number.POSITIVE_INFINITY);
  let tries = 0;
  // Of each try anew: what is drawn for one does not depend on how long those before it have taken.
  const draws = (): (() => number) => seeded(Math.imul(seed, 65_537) + tries++);
  while (!isOver() && result.problems.length === 0) {
    result.rounds++;
    const hosts = noHosts === undefined && result.rounds % 2 === 1;
    await round(options, result, { reference, draws, began, disk_megabytes, hosts, isOver });
  }
  return result;
}

/** Room for what a training leaves, several times; undefined, said aloud, where there can be no such disk. */
function diskFor(undisturbed: string, onProgress: (text: string) => void): number | undefined {
  const megabytes = 64 + 4 * Math.ceil(bytesBelow(undisturbed) / 2 ** 20);
  if (mayMount() && megabytes <= MOST_DISK_MEGABYTES) return megabytes;
  onProgress("no disk is filled: that needs root on Linux, and a sweep whose files fit into memory");
  return undefined;
}

const bytesBelow = (directory: string): number =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);

interface Round {
  reference: ReadonlyMap<string, Accepted>;
  /** What decides the next fault. */
  draws(): () => number;
  began: number;
  /** Of a disk of its own, which can be filled; undefined: the directory lies where it is. */
  disk_megabytes: number | undefined;
  /** Whether the workers are on hosts of their own. */
  hosts: boolean;
  isOver(): boolean;
}

async function round(options: ChaosOptions, result: ChaosResult, round: Round): Promise<void> {
  const directory = join(options.directory, `round-${result.rounds}`);
  const disk =
    round.disk_megabytes === undefined ? undefined : new SmallDisk(directory, round.disk_megabytes);
  try {
    const hosts = round.hosts ? new Hosts(1 + options.workers) : undefined;
    try {
      const network = hosts && { hosts, redisServer: (await ensureServer()).path };
      await onDirectory(directory, { disk, network }, options, result, round);
    } finally {
      const left = hosts?.remove() ?? [];
      result.problems.push(...left.map((name) => `left behind: the network namespace ${name}`));
    }
  } finally {
    disk?.leave();
  }
}

async function onDirectory(
  directory: string,
  on: { disk: SmallDisk | undefined; network: Network | undefined },
  options: ChaosOptions,
  result: ChaosResult,
  round: Round,
): Promise<void> {
  const { signal } = options;
  const cluster = new Cluster(directory, { workers: options.workers, port: await freePort(), ...on });
  let left: string[] = [];
  try {
    await cluster.ready();
    await command(directory, signal, "submit", options.file, "--dir", directory);
    await inflictUntilSettled(cluster, options, result, round);
    if (!signal.aborted) result.problems.push(...(await leftInRedis(cluster)));
  } finally {
    left = (await cluster.end()).map((process) => `left running: ${process.command}`);
  }
  result.problems.push(...left);
  if (signal.aborted) return;
  reading(cluster.state.database, (db) => {
    const accepted = readAccepted(db);
    for (const { attempts } of accepted.values()) result.attempts += attempts;
    result.problems.push(...differences(round.reference, accepted));
    const open = openAttempts(db);
    if (open > 0) result.problems.push(`${open} attempts were never ended`);
  });
  const checkpoints = existsSync(cluster.state.checkpoints) ? readdirSync(cluster.state.checkpoints) : [];
  result.problems.push(...checkpoints.map((run) => `left behind: the checkpoints of ${run}`));
}

async function inflictUntilSettled(
  cluster: Cluster,
  { onProgress, signal }: ChaosOptions,
  result: ChaosResult,
  { draws, began, hosts, isOver }: Round,
): Promise<void> {
  const read = <T>(use: (db: Database) => T): T => reading(cluster.state.database, use);
  const settled = (): boolean => read((db) => sweepProgress(db).every(isSettled));
  const pause = (ms: number): Promise<unknown> => sleep(ms, undefined, { signal }).catch(() => undefined);
  // What hosts are for comes first.
  let isNext = hosts ? CUT : undefined;
  let quietSince = performance.now();
  while (!settled() && !signal.aborted) {
    if (performance.now() - quietSince > SETTLE_MS) {
      result.problems.push(`the sweep did not go on within ${SETTLE_MS / 60_000} min after the last fault`);
      return;
    }
    // A run without progress is rightly given up: one that would be gets further first, however long that takes on a busy machine.
    if (isOver() || read(runsAtLastTry) > 0 || read(runsUnderWay).length === 0) {
      await pause(LOOK_MS);
      continue;
    }
    const random = draws();
    await pause(BREATH_MS * (0.5 + random()));
    const before = read(runsUnderWay);
    if (before.length === 0) continue;
    const fault = isNext ?? pick(FAULTS, random);
    const blow = await fault.inflict(cluster, random);
    if (blow === undefined) continue;
    isNext = undefined;
    const { at, lasts } = blow;
    const over = lasts && pause(lasts.ms).then(() => lasts.undo());
    let recovered: number;
    try {
      recovered = await recovery(
        read,
        before.map(({ run }) => run),
        at,
        signal,
      );
    } finally {
      await over;
    }
    if (signal.aborted) return;
    quietSince = performance.now();
    const inflicted = {
      fault: fault.name,
      hosts,
      at_seconds: (quietSince - began) / 1000,
      recovery_seconds: recovered,
    };
    result.inflicted.push(inflicted);
    onProgress(
      `${result.inflicted.length} faults, ${result.rounds} rounds; ${fault.name}: ${recovered.toFixed(1)} s`,
    );
    if (recovered * 1000 >= RECOVERY_MS) {
      result.problems.push(`after "${fault.name}" a run did not go on within ${RECOVERY_MS / 1000} s`);
      return;
    }
    await pause(BREATH_MS);
  }
}

/** Seconds until all of these runs go on, are back on the queue, or have ended. */
async function recovery(
  read: <T>(use: (db: Database) => T) => T,
  runs: readonly string[],
  since: number,
  signal: AbortSignal,
): Promise<number> {
  const waiting = new Set(runs);
  while (!signal.aborted && Date.now() - since < RECOVERY_MS) {
    read((db) => {
      for (const run of waiting) if (isInHand(db, run, since)) waiting.delete(run);
    });
    if (waiting.size === 0) break;
    await sleep(LOOK_MS);
  }
  return (Date.now() - since) / 1000;
}

/** What two databases of the same sweep do not agree in. */
export function differences(
  reference: ReadonlyMap<string, Accepted>,
  accepted: ReadonlyMap<string, Accepted>,
): string[] {
  const problems: string[] = [];
  for (const [id, expected] of reference) {
    const found = accepted.get(id);
    if (found === undefined) {
      problems.push(`${id} is lost`);
      continue;
    }
    if (found.results !== 1)
      problems.push(
        `${id} has ${found.results} results (${found.state}${found.error ? `: ${found.error}` : ""})`,
      );
    for (const field of COMPARED)
      if (found[field] !== expected[field])
        problems.push(`${id}: ${field} is ${found[field]}, undisturbed it was ${expected[field]}`);
    const points = new Set(found.curve);
    const missing = expected.curve.filter((point) => !points.has(point));
    if (missing.length > 0)
      problems.push(
        `${id}: ${missing.length} of ${expected.curve.length} points of its curve are missing or differ`,
      );
    if (found.curve.length > expected.curve.length)
      problems.push(
        `${id}: its curve has ${found.curve.length} points, undisturbed it had ${expected.curve.length}`,
      );
  }
  for (const id of accepted.keys()) if (!reference.has(id)) problems.push(`${id} is no run of this sweep`);
  return problems;
}

const COMPARED = [
  "state",
  "step",
  "train_loss",
  "validation_loss",
  "last_finite_loss",
  "divergence",
  "tokens",
  "flops",
] as const;

/** Jobs and plans of runs that have all ended. */
const leftInRedis = (cluster: Cluster): Promise<string[]> =>
  connected(cluster.redis, async (redis) => {
    const problems: string[] = [];
    // What a worker is just ending, and what the dispatcher is about to take off.
    for (let waited = 0; waited < 20_000; waited += 500) {
      problems.length = 0;
      const plans = await redis.hlen(DISPATCH_KEY);
      if (plans > 0) problems.push(`left in Redis: ${plans} plans of runs that have ended`);
      for (const key of await redis.keys("bull:*:active")) {
        const jobs = await redis.llen(key);
        if (jobs > 0) problems.push(`left in Redis: ${jobs} jobs in ${key}`);
      }
      if (problems.length === 0) break;
      await sleep(500);
    }
    return problems;
  });

async function trainUndisturbed(options: ChaosOptions): Promise<ReadonlyMap<string, Accepted>> {
  const directory = join(options.directory, "undisturbed");
  const { file, workers, signal } = options;
  await command(directory, signal, "run", file, "--dir", directory, "--slots", String(workers));
  if (signal.aborted) return new Map();
  return reading(join(directory, "musweep.db"), readAccepted);
}

/** A musweep command that has to succeed, unless it is to end before. */
async function command(directory: string, signal: AbortSignal, ...args: string[]): Promise<void> {
  makeDirectory(directory);
  const log = join(directory, "command.log");
  const [program, ...rest] = musweepCommand(...args);
  const output = openSync(log, "a", 0o600);
  const child = spawn(program, rest, { stdio: ["ignore", output, output] });
  const stop = (): boolean => child.kill("SIGTERM");
  signal.addEventListener("abort", stop);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", resolve);
  });
  signal.removeEventListener("abort", stop);
  if (code === 0 || signal.aborted) return;
  throw new MusweepError("chaos-command", `musweep ${args[0]} ended with ${code ?? "a signal"}`, {
    kind: "unavailable",
    remedy: `What it said is in ${log}.`,
  });
}

function reading<T>(file: string, use: (db: Database) => T): T {
  const db = openDatabase(file, { readonly: true });
  try {
    return use(db);
  } finally {
    db.close();
  }
}

/** One that nobody listens on at this moment. */
const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(address !== null && typeof address === "object" ? address.port : 0));
    });
  });
