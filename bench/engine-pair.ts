/**
 * A sparse and the dense plan of one model on one thread, a step of each in turn. The argument is a JSON object { plan, dataDirectory,
 * density }; every line on stdin, { "rounds": n }, is answered by one line of JSON on stdout: milliseconds of processor time, which a machine
 * busy with other things moves less than time by the clock.
 */
import { createInterface } from "node:readline";
import { z } from "zod";
import { flopsPerToken } from "../schema/wire/cost.ts";
import { type Plan, planSchema } from "../schema/wire/plan.ts";
import { DataSource } from "../workers/trainers/common/data.ts";
import { Engine } from "../workers/trainers/cpu/engine.ts";
import { withDensity } from "./engine-models.ts";
import { multiplier } from "./engine-peak.ts";

const { plan, dataDirectory, density } = z
  .strictObject({ plan: planSchema, dataDirectory: z.string(), density: z.number() })
  .parse(JSON.parse(process.argv[2]!));

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

function prepare(own: Plan) {
  const engine = new Engine(own, new DataSource(own, dataDirectory), 1);
  engine.initialize();
  let step = 0;
  return { milliseconds: () => processorTime(() => engine.step(++step)) };
}

/** In milliseconds. */
async function processorTime(action: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await action();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const multiply = multiplier(1);
const stepFlops = flopsPerToken(plan) * plan.batch_size * plan.shape.sequence_length;
/** Of a dense step of so many milliseconds, the share of what the multipliers do in registers. */
async function shareOfPeak(milliseconds: number): Promise<number> {
  let operations = 0;
  const spent = await processorTime(() => {
    operations = multiply();
  });
  return stepFlops / milliseconds / (operations / spent);
}

const [dense, sparse] = [prepare(withDensity(plan, 1)), prepare(withDensity(plan, density))];
// The first step touches memory for the first time.
await dense.milliseconds();
await sparse.milliseconds();
process.stdout.write('"ready"\n');
for await (const line of createInterface({ input: process.stdin })) {
  const { rounds } = z.strictObject({ rounds: z.int().positive() }).parse(JSON.parse(line));
  const pairs: { dense: number; sparse: number; peak: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const milliseconds = await dense.milliseconds();
    const peak = await shareOfPeak(milliseconds);
    pairs.push({ dense: milliseconds, sparse: await sparse.milliseconds(), peak });
  }
  const result = {
    dense: median(pairs.map((pair) => pair.dense)),
    sparse: median(pairs.map((pair) => pair.sparse)),
    ratio: median(pairs.map((pair) => pair.dense / pair.sparse)),
    peakShare: median(pairs.map(({ peak }) => peak)),
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
process.exit(0);
