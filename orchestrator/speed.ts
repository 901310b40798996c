/**
 * How fast this machine trains each shape of model: measured once by training it for a moment, remembered in the database.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { hostname } from "node:os";
import { MusweepError } from "../schema/errors.ts";
import { canonicalJson, type Plan } from "../schema/plan.ts";
import type { Database } from "./database/open.ts";
import { workerProgram } from "./local-worker.ts";

const SECONDS_PER_SHAPE = 2;

/** Plans with the same key train equally fast; what distinguishes runs of one shape is left out. */
export function speedKey(plan: Plan): string {
  const { shape, batch_size, micro_batch_size, clip_norm, optimizer } = plan;
  const masked = plan.groups.some((g) => g.density < 1);
  const text = canonicalJson({
    shape,
    batch_size,
    micro_batch_size,
    masked,
    clipped: clip_norm !== null,
    optimizer: optimizer.name,
    vocab: plan.data.vocab_size,
  });
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

const settingOf = (key: string, { slots, threads }: { slots: number; threads: number }): string =>
  `speed:${hostname()}:${slots}x${threads}:${key}`;

/** What was measured on this machine before. */
export function knownSpeeds(
  db: Database,
  plans: Map<string, Plan>,
  options: { slots: number; threads: number },
): Map<string, number> {
  const find = db.sqlite.prepare<[string], { value: string }>("SELECT value FROM settings WHERE key = ?");
  return new Map(
    [...plans.keys()].flatMap((key) => {
      const known = find.get(settingOf(key, options));
      return known === undefined ? [] : [[key, Number(known.value)] as const];
    }),
  );
}

/**
 * Tokens per second of one slot while all slots are busy, for each shape among the plans.
 * @param plans one per shape, by speedKey
 */
export async function measureSpeeds(
  db: Database,
  plans: Map<string, Plan>,
  options: {
    dataDirectory: string;
    slots: number;
    threads: number;
    onMeasure?: (done: number, total: number) => void;
  },
): Promise<Map<string, number>> {
  const { slots, threads } = options;
  const save = db.sqlite.prepare("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)");
  const speeds = knownSpeeds(db, plans, options);
  const unknown = [...plans].filter(([key]) => !speeds.has(key));
  if (unknown.length === 0) return speeds;
  const request = {
    plans: unknown.map(([, plan]) => plan),
    data_directory: options.dataDirectory,
    slots,
    threads_per_slot: threads,
    seconds: SECONDS_PER_SHAPE,
  };
  let measured = 0;
  await measure(JSON.stringify(request), (speed) => {
    const [key] = unknown[measured++]!;
    save.run(settingOf(key, options), String(speed));
    speeds.set(key, speed);
    options.onMeasure?.(measured, unknown.length);
  });
  return speeds;
}

function measure(request: string, onSpeed: (speed: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...workerProgram("measure"), request], {
      stdio: ["ignore", "pipe", "pipe"],
    });
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
