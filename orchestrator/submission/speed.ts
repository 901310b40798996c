/**
 * How fast this machine trains each shape of model: measured once by training it for a moment, remembered in the database; or
 * estimated from its FLOPs (estimate-speed.ts).
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { hostname } from "node:os";
import { isTrainedSparse } from "../../schema/wire/cost.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { canonicalJson, type Plan, type PlanGroup } from "../../schema/wire/plan.ts";
import type { Database } from "../database/open.ts";
import { readSetting, writeSetting } from "../database/settings.ts";
import { busyShare } from "../machine/busy-share.ts";
import { workerProgram } from "../machine/local-worker.ts";

const SECONDS_PER_SHAPE = 2;

/** Plans with the same key train equally fast; what distinguishes runs of one shape is left out. */
export function speedKey(plan: Plan): string {
  const { shape, batch_size, micro_batch_size, clip_norm, optimizer } = plan;
  const text = canonicalJson({
    shape,
    batch_size,
    micro_batch_size,
    densities: plan.groups.map(densityKey),
    clipped: clip_norm !== null,
    optimizer: optimizer.name,
    vocab: plan.data.vocab_size,
  });
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** Densities that train equally fast: all dense ones, all that are masked, sparse ones to a quarter of an octave. */
function densityKey(group: PlanGroup): number | "dense" | "masked" {
  if (isTrainedSparse(group)) return Math.round(4 * Math.log2(group.density)) / 4;
  return group.density < 1 ? "masked" : "dense";
}

/** Who trains here, with how many at once. */
export interface Fleet {
  slots: number;
  threads: number;
  /** Another trainer's command line; null: the built-in one. */
  trainer: readonly string[] | null;
}

export interface Speed {
  /** Of one slot while all slots are busy. */
  tokens_per_second: number;
  /** Of all processors, the share that other programs used just before it was measured: 0 to 1. */
  busy: number;
  /** When it was measured, ms since the epoch; 0: long ago. */
  at: number;
}

/** From this share on, what is measured says more about the other programs. */
export const BUSY_FROM = 0.3;

const stored = (db: Database, setting: string): Speed | undefined => {
  const text = readSetting(db, setting);
  if (text === undefined) return undefined;
  const value = JSON.parse(text) as (Omit<Speed, "at"> & { at?: number }) | number;
  // Before 0.2 the speed alone was kept.
  return typeof value === "number" ? { tokens_per_second: value, busy: 0, at: 0 } : { at: 0, ...value };
};

function settingOf(key: string, { slots, threads, trainer }: Fleet): string {
  const other =
    trainer === null
      ? ""
      : `:${createHash("sha256").update(canonicalJson(trainer)).digest("hex").slice(0, 16)}`;
  return `speed:${hostname()}:${slots}x${threads}${other}:${key}`;
}

/** What was measured on this machine before. */
export function knownSpeeds(db: Database, keys: Iterable<string>, fleet: Fleet): Map<string, Speed> {
  return new Map(
    [...keys].flatMap((key) => {
      const known = stored(db, settingOf(key, fleet));
      return known === undefined ? [] : [[key, known] as const];
    }),
  );
}

export interface Measuring extends Fleet {
  dataDirectory: string;
  onMeasure?: (done: number, total: number) => void;
}

/**
 * Measures what is not known, or was measured while other programs ran.
 * @param plans by a key that stands for all plans of the same speed (speedKey)
 * @param seconds of training, each
 * @param kept what was measured while other programs ran holds for so many seconds
 */
export async function measureSpeeds(
  db: Database,
  plans: ReadonlyMap<string, Plan>,
  options: Measuring,
  seconds = SECONDS_PER_SHAPE,
  kept = 0,
): Promise<Map<string, Speed>> {
  const { slots, threads, trainer } = options;
  const speeds = knownSpeeds(db, plans.keys(), options);
  const now = Date.now();
  const holds = ({ busy, at }: Speed): boolean => busy < BUSY_FROM || Math.abs(now - at) < 1000 * kept;
  const wanted = [...plans].filter(([key]) => !speeds.has(key) || !holds(speeds.get(key)!));
  if (wanted.length === 0) return speeds;
  const request = {
    plans: wanted.map(([, plan]) => plan),
    data_directory: options.dataDirectory,
    slots,
    threads_per_slot: threads,
    trainer,
    seconds,
  };
  const busy = await busyShare();
  let measured = 0;
  await measure(JSON.stringify(request), (tokens_per_second) => {
    const [key] = wanted[measured++]!;
    const speed = { tokens_per_second, busy, at: now };
    writeSetting(db, settingOf(key, options), JSON.stringify(speed));
    speeds.set(key, speed);
    options.onMeasure?.(measured, wanted.length);
  });
  return speeds;
}

function measure(request: string, onSpeed: (speed: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, workerProgram("measure"), {
      stdio: ["pipe", "pipe", "pipe"],
    });
    child.stdin.on("error", () => undefined).write(`${request}\n`);
    let pending = "";
    let errors = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (pending + text).split("\n");
      pending = lines.pop()!;
      for (const line of lines) onSpeed(Number(line));
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors = (errors + text).slice(-2000);
    });
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) return resolve();
      reject(
        new MusweepError("measure", `the speed of this machine could not be measured: ${errors.trim()}`, {
          kind: "unavailable",
          remedy: "`musweep plan --no-measure` leaves the time out.",
        }),
      );
    });
  });
}
