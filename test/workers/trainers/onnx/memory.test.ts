/** What a trainer process holds, against what it says it will need, and over many runs. Linux tells it in /proc. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type Plan, runIdOf } from "../../../../schema/plan.ts";
import type { RunCommand } from "../../../../schema/protocol.ts";
import { makePlan, type PlanOptions, temporaryDirectory, writeData } from "../support.ts";
import { TrainerProcess } from "./trainer_process.ts";

const MEBIBYTE = 2 ** 20;
const onLinux = test.skipIf(process.platform !== "linux");
if (process.platform !== "linux")
  console.warn(
    "SKIPPED: what a trainer holds in memory is read from /proc, which only Linux has. Nothing checks it here.",
  );

/** VmHWM: the most resident bytes so far; VmRSS: those of now. */
function residentBytes(trainer: TrainerProcess, field: "VmHWM" | "VmRSS"): number {
  const status = readFileSync(`/proc/${trainer.child.pid}/status`, "utf8");
  return 1024 * Number(new RegExp(`${field}:\\s*(\\d+) kB`).exec(status)![1]);
}

const command = (plan: Plan, directory: string, options: Partial<RunCommand> = {}): RunCommand => ({
  type: "run",
  run: runIdOf(plan),
  plan,
  data_directory: directory,
  checkpoint: null,
  weights_path: null,
  report_every_steps: 5,
  memory_limit_bytes: null,
  ...options,
});

const wide = { layers: 4, d_model: 128, d_head: 32, d_ffn: 352, sequence_length: 256 };

onLinux.each<[string, PlanOptions]>([
  ["one pass, masked", { density: 0.5, shape: wide }],
  ["many passes", { shape: wide, plan: { micro_batch_size: 2 } }],
  ["a large vocabulary", { vocabulary: 20_000, shape: { ...wide, layers: 1 } }],
])("the memory estimate is at most half above what a run takes, never below: %s", async (_name, options) => {
  const directory = temporaryDirectory();
  const hash = writeData(directory, options.vocabulary ?? 11, 8000);
  const plan = makePlan({ hash, ...options, plan: { steps: 3, batch_size: 8, ...options.plan } });
  const trainer = new TrainerProcess();
  await trainer.next(["ready"]);
  const checkpoint = { directory: `${directory}/checkpoints`, every_seconds: 1e-6 };
  trainer.send(command(plan, directory, { checkpoint }));
  const { estimated_memory_bytes: estimate } = await trainer.next(["started"]);
  await trainer.next(["finished"]);
  const peak = residentBytes(trainer, "VmHWM");
  expect(estimate).toBeGreaterThan(peak);
  expect(estimate).toBeLessThan(1.5 * peak);
  const limit = Math.floor(estimate) - 1;
  trainer.send(command({ ...plan, seed: 8 }, directory, { memory_limit_bytes: limit }));
  expect(await trainer.next(["failed", "started"])).toMatchObject({ type: "failed", code: "memory" });
});

onLinux("a warm trainer does not grow from run to run", async () => {
  const directory = temporaryDirectory();
  const hash = writeData(directory);
  const shapes: PlanOptions[] = [
    {},
    { density: 0.5 },
    { shape: { norm: "layernorm" } },
    { shape: { d_model: 64, d_head: 16, sequence_length: 64 }, plan: { micro_batch_size: 2 } },
    { shape: { tied_embeddings: false, sequence_length: 32 } },
  ];
  const trainer = new TrainerProcess();
  const trainAll = async (seed: number): Promise<void> => {
    for (const options of shapes) {
      const plan = { ...makePlan({ hash, ...options }), seed };
      trainer.send(command(plan, directory));
      await trainer.next(["finished"]);
    }
  };
  for (let seed = 0; seed < 3; seed++) await trainAll(seed);
  const warm = residentBytes(trainer, "VmRSS");
  for (let seed = 3; seed < 7; seed++) await trainAll(seed);
  // Twenty runs later: less than a session of any of these shapes takes.
  expect(residentBytes(trainer, "VmRSS") - warm).toBeLessThan(20 * MEBIBYTE);
});

onLinux("what earlier runs left compiled gives way to a run that needs the memory", async () => {
  const directory = temporaryDirectory();
  const hash = writeData(directory, 11, 8000);
  const large = makePlan({ hash, shape: wide, plan: { steps: 2, batch_size: 8 } });
  const other = makePlan({ hash, shape: { ...wide, layers: 3 }, plan: { steps: 2, batch_size: 8 } });
  const trainer = new TrainerProcess();
  trainer.send(command(other, directory));
  await trainer.next(["finished"]);
  trainer.send(command(large, directory, { memory_limit_bytes: 1e12 }));
  const { estimated_memory_bytes: limit } = await trainer.next(["started"]);
  await trainer.next(["finished"]);
  const both = residentBytes(trainer, "VmHWM");
  const alone = new TrainerProcess();
  alone.send(command(other, directory));
  await alone.next(["finished"]);
  alone.send(command(large, directory, { memory_limit_bytes: Math.ceil(limit) }));
  await alone.next(["finished"]);
  expect(residentBytes(alone, "VmHWM")).toBeLessThan(limit);
  expect(both).toBeGreaterThan(residentBytes(alone, "VmHWM"));
});
