/**
 * One warm trainer through 1,000 short runs of many shapes, `npm run soak:trainer` (`-- --runs=N`): prints its resident memory
 * along the way, and ends with exit code 1 when it holds more in the last tenth of the runs than in the second tenth.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runIdOf } from "../schema/wire/plan.ts";
import { type RunCommand, trainerEventSchema } from "../schema/wire/protocol.ts";
import { MODELS, type Model, writeRandomData } from "./engine-models.ts";
import { startTrainer } from "./trainer.ts";

const runs = Number(process.argv.find((a) => a.startsWith("--runs="))?.slice("--runs=".length) ?? 1000);
const tenth = Math.max(1, Math.floor(runs / 10));
const ALLOWED_GROWTH = 32 * 2 ** 20;

const base = MODELS[0]!;
/** Of many sizes, so that memory which is kept instead of given back shows. */
const models: Model[] = [64, 96, 128, 192].flatMap((width) =>
  [1, 2, 3].flatMap((layers) =>
    [64, 128].map((length) => {
      const { plan } = base;
      const shape = {
        ...plan.shape,
        d_model: width,
        d_ffn: 2 * width,
        layers,
        sequence_length: length,
      };
      const groups = plan.groups.map((g) => ({
        ...g,
        fan_in: { 128: width, 352: 2 * width }[g.fan_in] ?? g.fan_in,
        fan_out: { 128: width, 352: 2 * width }[g.fan_out] ?? g.fan_out,
      }));
      const evaluation = { every_steps: null, sequences: 8 };
      return { ...base, plan: { ...plan, shape, groups, steps: 2, evaluation } };
    }),
  ),
);

const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;
const mebibytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;

const directory = mkdtempSync(join(tmpdir(), "musweep-soak-"));
const trainer = startTrainer(1);
const resident: number[] = [];
try {
  const data = writeRandomData(directory, base);
  await trainer.next();
  for (let i = 0; i < runs; i++) {
    const plan = { ...models[i % models.length]!.plan, seed: i };
    const command: RunCommand = {
      type: "run",
      run: runIdOf(plan),
      plan,
      data_directory: data,
      checkpoint: { directory: join(directory, "checkpoints", String(i)), every_seconds: 1e-6 },
      weights_path: null,
      report_every_steps: 1,
      memory_limit_bytes: null,
    };
    trainer.send(command);
    for (;;) {
      const event = trainerEventSchema.parse(await trainer.next());
      if (event.type === "finished") break;
      if (event.type === "failed" || event.type === "diverged") throw new Error(JSON.stringify(event));
    }
    rmSync(join(directory, "checkpoints", String(i)), { recursive: true });
    resident.push(trainer.residentBytes("VmRSS"));
    if ((i + 1) % tenth === 0)
      console.log(`${i + 1} runs: ${mebibytes(mean(resident.slice(-tenth)))} resident`);
  }
} finally {
  trainer.kill();
  rmSync(directory, { recursive: true, force: true });
}
const growth = mean(resident.slice(-tenth)) - mean(resident.slice(tenth, 2 * tenth));
console.log(growth <= ALLOWED_GROWTH ? "no growth" : `GROWTH of ${mebibytes(growth)}`);
process.exitCode = growth <= ALLOWED_GROWTH ? 0 : 1;
