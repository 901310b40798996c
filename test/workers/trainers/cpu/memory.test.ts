/** What a trainer process holds, against what it says it will need, and over many runs. Linux tells it in /proc. */
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import { modelPlan, type Plan, runIdOf } from "../../../../schema/wire/plan.ts";
import type { RunCommand } from "../../../../schema/wire/protocol.ts";
import { builtInTrainer } from "../../../../workers/trainer-process.ts";
import { onLinux as isOnLinux } from "../../../support/tested-where.ts";
import { makePlan, type PlanOptions, temporaryDirectory, writeData } from "../support.ts";
import { TrainerProcess } from "./trainer-process.ts";

const MEBIBYTE = 2 ** 20;
const NODE_VARIES_BY = 8 * MEBIBYTE;
/** As it is built: what loads TypeScript holds memory of its own. */
const BUILT = builtInTrainer(true);
const onLinux = test.runIf(isOnLinux("what a trainer holds in memory, which /proc tells"));

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

interface Trained {
  readonly trainer: TrainerProcess;
  readonly estimate: number;
  readonly peak: number;
}

/** A run in a process of its own. @param everySeconds between checkpoints */
async function train(
  options: PlanOptions,
  { threads = 1, everySeconds = 1e-6 } = {},
): Promise<Trained & { command: RunCommand }> {
  const directory = temporaryDirectory();
  const hash = writeData(directory, options.vocabulary ?? 11, 30_000);
  const plan = makePlan({ hash, ...options, plan: { steps: 30, batch_size: 8, ...options.plan } });
  const checkpoint = { directory: `${directory}/checkpoints`, every_seconds: everySeconds };
  const trainer = new TrainerProcess({ MUSWEEP_THREADS: String(threads) }, BUILT);
  await trainer.next(["ready"]);
  const run = command(plan, directory, { checkpoint });
  trainer.send(run);
  const { estimated_memory_bytes: estimate } = await trainer.next(["started"]);
  await trainer.next(["finished"]);
  return { trainer, estimate, peak: residentBytes(trainer, "VmHWM"), command: run };
}

const broad = { ...wide, layers: 2, d_model: 512, d_head: 64, d_ffn: 1376 };
const tiny = { layers: 1, d_model: 8, d_head: 8, d_ffn: 16, sequence_length: 4 };

onLinux.each<[string, PlanOptions, Parameters<typeof train>[1]?]>([
  ["one pass, masked", { density: 0.75, shape: wide }],
  ["sparse", { density: 0.5, shape: wide }],
  ["wide and of few weights", { density: 1 / 16, shape: { ...broad, layers: 4 }, plan: { steps: 8 } }],
  ["many passes", { shape: wide, plan: { micro_batch_size: 2 } }],
  ["a large vocabulary", { vocabulary: 20_000, shape: { ...wide, layers: 1 }, plan: { steps: 8 } }],
  ["wide, on two threads", { shape: broad, plan: { steps: 3 } }, { threads: 2 }],
  ["on more threads than its products are worth", {}, { threads: 8 }],
  ["many steps", { plan: { steps: 5000 } }, { everySeconds: 0.2 }],
  [
    "long sequences, many of them",
    { shape: { ...tiny, sequence_length: 2048 }, plan: { steps: 150 } },
    { everySeconds: 0.2 },
  ],
  [
    "evaluated at every step",
    { shape: tiny, plan: { steps: 20_000, batch_size: 1, evaluation: { every_steps: 1, sequences: 1 } } },
    { everySeconds: 0.2 },
  ],
  ["twenty sparse layers", { density: 0.25, shape: { ...tiny, layers: 20 } }],
])("the memory estimate is close above what a run takes, never below: %s", async (_name, options, how) => {
  const { trainer, estimate, peak, command: run } = await train(options, how);
  expect(estimate).toBeGreaterThan(peak);
  // A twentieth; of a small run, what Node's own memory varies by.
  expect(estimate - peak).toBeLessThan(Math.max(0.05 * peak, NODE_VARIES_BY));
  const limit = Math.floor(estimate) - 1;
  trainer.send({ ...run, plan: { ...run.plan, seed: 8 }, memory_limit_bytes: limit });
  expect(await trainer.next(["failed", "started"])).toMatchObject({ type: "failed", code: "memory" });
});

onLinux("what threads took for a larger run's products is none of the next one's", async () => {
  const { trainer, command: large } = await train({ shape: broad, plan: { steps: 1 } }, { threads: 8 });
  const small = makePlan({ hash: modelPlan(large.plan).data.hash, shape: tiny, plan: { steps: 1 } });
  trainer.send(command(small, large.data_directory));
  const { estimated_memory_bytes: estimate } = await trainer.next(["started"]);
  await trainer.next(["finished"]);
  expect(residentBytes(trainer, "VmRSS")).toBeLessThan(estimate);
});

onLinux("a sparse run takes less memory than the dense one", async () => {
  const [dense, sparse] = [
    await train({ shape: broad, plan: { steps: 2 } }),
    await train({ density: 1 / 16, shape: broad, plan: { steps: 2 } }),
  ];
  expect(sparse.peak).toBeLessThan(0.8 * dense.peak);
  expect(sparse.estimate).toBeLessThan(0.8 * dense.estimate);
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
  const trainer = new TrainerProcess({}, BUILT);
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
  // Twenty runs later: less than what any of these shapes takes for itself.
  expect(residentBytes(trainer, "VmRSS") - warm).toBeLessThan(20 * MEBIBYTE);
});

onLinux("a trainer whose reader is slow waits for it, and hoards nothing", async () => {
  const directory = temporaryDirectory();
  const plan = makePlan({ hash: writeData(directory), plan: { steps: 10_000_000 } });
  const trainer = new TrainerProcess({}, BUILT);
  trainer.send(command(plan, directory, { report_every_steps: 1 }));
  await trainer.next(["step"], ({ step }) => step > 2000);
  const before = residentBytes(trainer, "VmRSS");
  trainer.child.stdout.pause();
  const processorTime = (): string =>
    readFileSync(`/proc/${trainer.child.pid}/stat`, "utf8").split(" ").slice(13, 15).join();
  // Until it does nothing any more.
  for (let [last, still] = ["", 0]; still < 5; await setTimeout(50)) {
    const now = processorTime();
    still = now === last ? still + 1 : 0;
    last = now;
  }
  expect(residentBytes(trainer, "VmRSS") - before).toBeLessThan(8 * MEBIBYTE);
  const said = trainer.events.length;
  trainer.child.stdout.resume();
  await trainer.next(["step"], ({ step }) => step > said + 2000);
});

onLinux("what earlier runs took is given back before the next one takes its own", async () => {
  const directory = temporaryDirectory();
  const hash = writeData(directory, 11, 8000);
  const shapes = [wide, { ...wide, layers: 3 }, { ...wide, sequence_length: 128 }];
  const trainer = new TrainerProcess({}, BUILT);
  for (const shape of shapes) {
    const plan = makePlan({ hash, shape, plan: { steps: 2, batch_size: 8 } });
    trainer.send(command(plan, directory));
    await trainer.next(["finished"]);
  }
  const all = residentBytes(trainer, "VmHWM");
  const alone = new TrainerProcess({}, BUILT);
  alone.send(command(makePlan({ hash, shape: wide, plan: { steps: 2, batch_size: 8 } }), directory));
  await alone.next(["finished"]);
  expect(all).toBeLessThan(1.1 * residentBytes(alone, "VmHWM"));
});
