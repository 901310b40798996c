/**
 * What sweeps gain from training that is truly sparse: `npm run bench:engine -- --sweeps`, or `--sweeps=FILE,FILE`. For every shape and
 * density in a sweep file a step of the run and a step of the dense run of the same model take turns, on one thread; the sum over
 * all its runs' steps is what the whole sweep takes, and would take if it multiplied the zeros. Evaluations and starts are left out.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { stateDirectory } from "../orchestrator/machine/state-directory.ts";
import { loadSweep, readSweepFile } from "../orchestrator/submission/load-sweep.ts";
import { textTable } from "../orchestrator/terminal/table.ts";
import { type Plan, planSchema } from "../schema/wire/plan.ts";
import { trainerEnvironment } from "../workers/trainer-process.ts";
import { LineProcess } from "./line-process.ts";

const SHIPPED = ["quickstart", "lr-vs-sparsity", "lr-vs-sparsity-search"].map(
  (name) => `sweeps/${name}.yaml`,
);
const ROUNDS = 25;

const pairPath = fileURLToPath(new URL("engine-pair.ts", import.meta.url));
const pairSchema = z.object({ dense: z.number(), sparse: z.number() });

interface Kind {
  plan: Plan;
  density: number;
  steps: number;
}

/** Of the blocks' matrices, as the sweep file has it. */
const densityOf = (plan: Plan): number => Math.min(...plan.groups.map((group) => group.density));

/** Milliseconds of processor time per step. */
async function measure({ plan, density }: Kind, dataDirectory: string): Promise<z.infer<typeof pairSchema>> {
  const argument = JSON.stringify({ plan, dataDirectory, density });
  const process_ = new LineProcess(
    process.execPath,
    ["--import", "tsx", pairPath, argument],
    trainerEnvironment(1),
  );
  try {
    await process_.next();
    return pairSchema.parse(await process_.ask({ rounds: ROUNDS }));
  } finally {
    process_.kill();
  }
}

/** Runs of equal cost are one kind. */
async function kindsOf(file: string, directory: string): Promise<{ kinds: Kind[]; runs: number }> {
  const loaded = await loadSweep(readSweepFile(file), stateDirectory({ dir: directory }));
  const runs = new Map<string, Plan>();
  for (const { expansion } of loaded.phases)
    for (const { run, plan } of expansion.cells()) runs.set(run, planSchema.parse(plan));
  const kinds = new Map<string, Kind>();
  for (const plan of runs.values()) {
    const density = densityOf(plan);
    const key = JSON.stringify([plan.shape, plan.batch_size, plan.micro_batch_size, density]);
    const kind = kinds.get(key) ?? { plan, density, steps: 0 };
    kinds.set(key, { ...kind, steps: kind.steps + plan.steps });
  }
  return { kinds: [...kinds.values()], runs: runs.size };
}

interface Row {
  sweep: string;
  runs: number;
  dense: number;
  sparse: number;
}

const minutes = (milliseconds: number): string => (milliseconds / 60_000).toFixed(1);
const right = (title: string, value: (r: Row) => string) => ({ title, value, align: "right" as const });

/** @param files empty: those that ship and vary sparsity on a CPU */
export async function benchSweeps(files: readonly string[]): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "musweep-bench-"));
  const load = (): string => loadavg()[0]!.toFixed(1);
  const before = load();
  const rows: Row[] = [];
  try {
    for (const file of files.length > 0 ? files : SHIPPED) {
      const { kinds, runs } = await kindsOf(file, directory);
      const row: Row = { sweep: file, runs, dense: 0, sparse: 0 };
      for (const kind of kinds) {
        const { dense, sparse } = await measure(kind, stateDirectory({ dir: directory }).data);
        row.dense += dense * kind.steps;
        row.sparse += sparse * kind.steps;
      }
      process.stderr.write(`${file}: ${(row.dense / row.sparse).toFixed(2)}× (load average ${load()})\n`);
      rows.push(row);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  console.log(`${cpus()[0]!.model}, ${cpus().length} cores; load average ${before} before, ${load()} after`);
  console.log("Minutes of processor time of all training steps, one thread each.");
  console.log(
    textTable<Row>(
      [
        { title: "sweep", value: (r) => r.sweep },
        right("runs", (r) => String(r.runs)),
        right("as dense runs", (r) => minutes(r.dense)),
        right("as they are", (r) => minutes(r.sparse)),
        right("gain", (r) => `${(r.dense / r.sparse).toFixed(2)}×`),
      ],
      rows,
    ),
  );
}
