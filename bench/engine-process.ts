/**
 * One measured process of the embedded engine. Its argument is a JSON object { plan, dataDirectory, threads }; every line on
 * stdin, { "seconds": s } or "peak" or { "runSteps": n }, is answered by one line on stdout.
 */
import { mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { z } from "zod";
import { planSchema } from "../schema/wire/plan.ts";
import { stageCheckpoint } from "../workers/trainers/common/checkpoint.ts";
import { DataSource } from "../workers/trainers/common/data.ts";
import { initialLossState } from "../workers/trainers/common/divergence.ts";
import { EventLog } from "../workers/trainers/common/event-log.ts";
import { Engine, eventLoopTurn } from "../workers/trainers/cpu/engine.ts";
import { ENGINE } from "../workers/trainers/cpu/train.ts";
import { multiplier } from "./engine-peak.ts";

const { plan, dataDirectory, threads } = z
  .strictObject({ plan: planSchema, dataDirectory: z.string(), threads: z.int().positive() })
  .parse(JSON.parse(process.argv[2]!));

const data = new DataSource(plan, dataDirectory);
const engine = new Engine(plan, data, threads);
engine.initialize();
let step = 0;

const now = (): number => performance.now() / 1000;

/** Trains for about this long. */
async function train(seconds: number): Promise<{ tokens: number; seconds: number }> {
  const start = now();
  let steps = 0;
  do {
    await engine.step(++step);
    steps++;
  } while (now() - start < seconds);
  return { tokens: steps * plan.batch_size * plan.shape.sequence_length, seconds: now() - start };
}

const multiply = multiplier(threads);

/** Longer than threads of another library spin after their last product. */
const PEAK_SECONDS = 0.5;

/** FLOP/s of the multipliers of as many cores as there are threads: the fastest of many short measurements, since it is a limit. */
function peak(): number {
  let fastest = 0;
  for (const until = now() + PEAK_SECONDS; now() < until; ) {
    const start = now();
    const operations = multiply();
    fastest = Math.max(fastest, operations / (now() - start));
  }
  return fastest;
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

async function medianOf(times: number, measure: () => Promise<number>): Promise<number> {
  const values: number[] = [];
  for (let i = 0; i < times; i++) values.push(await measure());
  return median(values);
}

const medianSeconds = (times: number, action: () => unknown): Promise<number> =>
  medianOf(times, async () => {
    const start = now();
    await action();
    return now() - start;
  });

const REPORTS = 200;
const CHECKPOINT_EVERY_SECONDS = 60;

/**
 * What a run of this many steps spends beside its steps, as shares of its whole time: as `musweep run` runs it by default. A
 * checkpoint takes what it holds training up for, and what it slows the steps beside it down.
 */
async function costs(steps: number): Promise<Record<string, number>> {
  const size = plan.batch_size * plan.shape.sequence_length;
  const [inputs, targets] = [new Int32Array(size), new Int32Array(size)];
  const directory = mkdtempSync(join(tmpdir(), "musweep-bench-"));
  const sink = openSync("/dev/null", "w");
  try {
    const oneStep = await medianSeconds(9, () => engine.step(++step));
    const batch = await medianSeconds(50, () =>
      data.trainingSequences(++step, 0, plan.batch_size, inputs, targets),
    );
    const progress = { step: 1, seconds: 1, loss: initialLossState, events: new EventLog() };
    const checkpoint = await medianOf(5, async () => {
      const start = now();
      const { commit } = await stageCheckpoint(directory, "r0", ENGINE, progress, engine.stateTensors());
      let committing = true;
      const committed = commit().finally(() => {
        committing = false;
      });
      let beside = 0;
      for (; committing; beside++) {
        await engine.step(++step);
        await eventLoopTurn();
      }
      await committed;
      return now() - start - beside * oneStep;
    });
    const event = { type: "step", run: "r0123456789", step, train_loss: 1 / 3, gradient_norm: 2 / 3 };
    const report = await medianSeconds(50, () => writeSync(sink, `${JSON.stringify(event)}\n`));
    const evaluation = await medianSeconds(1, () => engine.evaluate());
    const training = steps * oneStep;
    const shares = {
      data: steps * batch,
      reports: Math.min(steps, REPORTS) * report,
      evaluation,
      checkpoints: (training / CHECKPOINT_EVERY_SECONDS) * checkpoint,
    };
    // Batches are read inside a step.
    const total = training + shares.reports + shares.evaluation + shares.checkpoints;
    return Object.fromEntries(Object.entries(shares).map(([name, seconds]) => [name, seconds / total]));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const requestSchema = z.union([
  z.literal("peak"),
  z.strictObject({ runSteps: z.int().positive() }),
  z.strictObject({ seconds: z.number() }),
]);

async function answer(request: z.infer<typeof requestSchema>): Promise<unknown> {
  if (request === "peak") return peak();
  return "seconds" in request ? train(request.seconds) : costs(request.runSteps);
}

await engine.step(++step);
process.stdout.write('"ready"\n');
for await (const line of createInterface({ input: process.stdin }))
  process.stdout.write(`${JSON.stringify(await answer(requestSchema.parse(JSON.parse(line))))}\n`);
process.exit(0);
