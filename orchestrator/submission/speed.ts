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
import { memoryBytesPerSlot } from "../machine/slot-memory.ts";

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
  /** Told why a shape stays unmeasured: it does not fit into the memory of a slot. */
  onUnfit?: (why: string) => void;
  /** Whoever waits for it is gone. */
  signal?: AbortSignal;
}

/** One measurement at a time: several would share the memory, and slow each other down. */
let last: Promise<unknown> = Promise.resolve();

/**
 * Measures what is not known, or was measured while other programs ran.
 * @param plans by a key that stands for all plans of the same speed (speedKey)
 * @param seconds of training, each
 * @param kept what was measured while other programs ran holds for so many seconds
 * @returns those that fit into the memory
 */
export function measureSpeeds(
  ...asked: Parameters<typeof measureMissing>
): ReturnType<typeof measureMissing> {
  const own = last.then(() => measureMissing(...asked));
  last = own.catch(() => undefined);
  return own;
}

async function measureMissing(
  db: Database,
  plans: ReadonlyMap<string, Plan>,
  options: Measuring,
  seconds = SECONDS_PER_SHAPE,
  kept = 0,
): Promise<Map<string, Speed>> {
  const { slots, threads, trainer, signal } = options;
  signal?.throwIfAborted();
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
    memory_bytes_per_slot: memoryBytesPerSlot(slots),
    trainer,
    seconds,
  };
  const busy = await busyShare();
  let measured = 0;
  const keep = (said: number | string): void => {
    const [key] = wanted[measured++]!;
    if (typeof said === "string") {
      options.onUnfit?.(said);
      return;
    }
    const speed = { tokens_per_second: said, busy, at: now };
    writeSetting(db, settingOf(key, options), JSON.stringify(speed));
    speeds.set(key, speed);
    options.onMeasure?.(measured, wanted.length);
  };
  await measure(JSON.stringify(request), keep, signal);
  return speeds;
}

/** @param keep told of each plan its speed, or why it has none (workers/measure.ts); when it throws, the rest is not measured */
function measure(
  request: string,
  keep: (said: number | string) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, workerProgram("measure"), {
      stdio: ["pipe", "pipe", "pipe"],
    });
    let brokenOff: { why: unknown } | undefined;
    /** When its input ends, it ends its trainers and itself. */
    const breakOff = (why: unknown): void => {
      brokenOff ??= { why };
      child.stdin.end();
    };
    const abort = (): void => breakOff(signal?.reason);
    signal?.addEventListener("abort", abort);
    child.stdin.on("error", () => undefined).write(`${request}\n`);
    if (signal?.aborted) abort();
    let pending = "";
    let errors = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (pending + text).split("\n");
      pending = lines.pop()!;
      try {
        for (const line of lines) if (brokenOff === undefined) keep(JSON.parse(line));
      } catch (error) {
        breakOff(error);
      }
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors = (errors + text).slice(-2000);
    });
    child.on("error", reject);
    child.on("close", (code) => {
      signal?.removeEventListener("abort", abort);
      if (brokenOff !== undefined) return reject(brokenOff.why);
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
