/**
 * What a sparse run saves: `npm run bench:engine -- --sparse`, with `--quick`, `--only=d128,d256`, `--densities=1/8,1/64` and
 * `--no-torch`. Sparse and dense plan of one model take turns step by step in one process of one thread; then they take turns with PyTorch on one thread, with masks and
 * with CSR matrices; then two such processes measure at once. Times are the processor's, not the clock's.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { textTable } from "../orchestrator/terminal/table.ts";
import { parameterCount } from "../schema/wire/cost.ts";
import type { Plan } from "../schema/wire/plan.ts";
import { trainerEnvironment } from "../workers/trainer-process.ts";
import { MODELS, type Model, withDensity, writeRandomData } from "./engine-models.ts";
import { LineProcess } from "./line-process.ts";
import { shortened, startTrainer, trainPlan } from "./trainer.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const flag = (name: string): boolean => process.argv.includes(`--${name}`);
const quick = flag("quick");
const listed = (name: string): string[] | undefined =>
  process.argv
    .find((a) => a.startsWith(`--${name}=`))
    ?.slice(`--${name}=`.length)
    .split(",");
const [only, wanted] = [listed("only"), listed("densities")];
const python = join(root, ".cache", "torch-venv", "bin", "python");
const torch = existsSync(python) && !flag("no-torch");
const pairPath = fileURLToPath(new URL("engine-pair.ts", import.meta.url));
const torchPath = fileURLToPath(new URL("engine-torch.py", import.meta.url));

/** Medians are of so many rounds. */
const ROUNDS = quick ? 3 : 5;
/** Steps of each in turn in a round, so many that a model's take about as long as another's. */
const stepsOf = ({ plan }: Model): number => {
  const parameters = parameterCount(plan);
  const steps = parameters < 2e6 ? 9 : parameters < 1e7 ? 3 : 1;
  return quick ? Math.ceil(steps / 3) : steps;
};
/** Of a round in PyTorch. */
const SECONDS = quick ? 1 : 2;

/** What is measured, and how much faster than dense the sparse run is meant to be. */
const CASES: { readonly model: string; readonly densities: Record<string, number | null> }[] = [
  { model: "d64 L2", densities: { "1/8": null, "1/64": null } },
  { model: "d128 L4", densities: { "1/2": null, "1/4": null, "1/8": 1.9, "1/16": null, "1/64": 2.5 } },
  { model: "d256 L4", densities: { "1/2": null, "1/4": null, "1/8": 2.6, "1/16": null, "1/64": 3.7 } },
  { model: "d512 L6", densities: { "1/4": null, "1/8": 3.2, "1/64": 5.5 } },
  { model: "d256 L24 50k", densities: { "1/16": 2 } },
];

const pairSchema = z.strictObject({
  dense: z.number(),
  sparse: z.number(),
  ratio: z.number(),
  /** Of the dense step, of what the core's multipliers do in registers. */
  peakShare: z.number(),
});
type Pair = z.infer<typeof pairSchema>;
const rateSchema = z.object({ tokens: z.number(), cpu_seconds: z.number() });

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

const ours = (plan: Plan, dataDirectory: string, density: number): LineProcess =>
  new LineProcess(
    process.execPath,
    ["--import", "tsx", pairPath, JSON.stringify({ plan, dataDirectory, density })],
    trainerEnvironment(1),
  );

const theirs = (plan: Plan, density: number, csr: boolean): LineProcess => {
  const argument = { plan: withDensity(plan, density), threads: 1, compile: false, probe_seconds: 0.5, csr };
  return new LineProcess(python, [torchPath, JSON.stringify(argument)], trainerEnvironment(1));
};

/** Milliseconds of processor time per step. */
async function inTorch(process: LineProcess, plan: Plan): Promise<number> {
  const { tokens, cpu_seconds } = rateSchema.parse(await process.ask({ seconds: SECONDS }));
  return (1000 * cpu_seconds * plan.batch_size * plan.shape.sequence_length) / tokens;
}

/** The most that a trainer of one thread holds, in bytes. */
async function peakOf(plan: Plan, dataDirectory: string): Promise<number> {
  const trainer = startTrainer(1);
  try {
    await trainer.next();
    await trainPlan(trainer, shortened(plan), dataDirectory);
    return trainer.residentBytes("VmHWM");
  } finally {
    trainer.kill();
  }
}

interface Measured {
  readonly pair: Pair;
  readonly denseBytes: number;
  readonly sparseBytes: number;
  /** Of two processes at once, the smaller speed-up; null: memory is short. */
  readonly two: number | null;
  /** PyTorch's milliseconds per step, and the ratio of masked to the sparse run; null where there is none. */
  readonly masked: number | null;
  readonly csr: number | null;
  readonly torchRatio: number | null;
  /** The same to the dense run: PyTorch multiplies by masked weights as by others. */
  readonly denseRatio: number | null;
}

async function measure(model: Model, dataDirectory: string, density: number): Promise<Measured> {
  const { plan } = model;
  const all: LineProcess[] = [];
  const start = async (process: LineProcess): Promise<LineProcess> => {
    all.push(process);
    await process.next();
    return process;
  };
  try {
    const own = await start(ours(plan, dataDirectory, density));
    const others = torch
      ? [await start(theirs(plan, density, false)), await start(theirs(plan, density, true))]
      : [];
    const round = async (process: LineProcess): Promise<Pair> =>
      pairSchema.parse(await process.ask({ rounds: stepsOf(model) }));
    const rounds: { pair: Pair; torch: number[] }[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      const pair = await round(own);
      const torch: number[] = [];
      for (const process of others) torch.push(await inTorch(process, plan));
      rounds.push({ pair, torch });
    }
    const of = (value: (r: (typeof rounds)[number]) => number): number => median(rounds.map(value));
    let two: number | null = null;
    if (parameterCount(plan) < 1e7) {
      for (const process of all.splice(1)) process.kill();
      const both = [own, await start(ours(plan, dataDirectory, density))];
      const ratios: number[] = [];
      for (let i = 0; i < ROUNDS; i++)
        ratios.push(Math.min(...(await Promise.all(both.map(round))).map(({ ratio }) => ratio)));
      two = median(ratios);
    }
    for (const process of all.splice(0)) process.kill();
    return {
      denseBytes: await peakOf(withDensity(plan, 1), dataDirectory),
      sparseBytes: await peakOf(withDensity(plan, density), dataDirectory),
      pair: {
        dense: of(({ pair }) => pair.dense),
        sparse: of(({ pair }) => pair.sparse),
        ratio: of(({ pair }) => pair.ratio),
        peakShare: of(({ pair }) => pair.peakShare),
      },
      two,
      masked: torch ? of((r) => r.torch[0]!) : null,
      csr: torch ? of((r) => r.torch[1]!) : null,
      denseRatio: torch ? of((r) => r.torch[0]! / r.pair.dense) : null,
      torchRatio: torch ? of((r) => r.torch[0]! / r.pair.sparse) : null,
    };
  } finally {
    for (const process of all) process.kill();
  }
}

interface Row extends Measured {
  readonly model: string;
  readonly density: string;
  readonly target: number | null;
}

const times = (x: number | null): string => (x === null ? "–" : `${x.toFixed(2)}×`);
const milliseconds = (x: number | null): string => (x === null ? "–" : x.toFixed(x < 100 ? 1 : 0));
const mebibytes = (x: number): string => (x / 2 ** 20).toFixed(0);
const right = (title: string, value: (r: Row) => string) => ({ title, value, align: "right" as const });

export async function benchSparse(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "musweep-bench-"));
  const load = (): string => loadavg()[0]!.toFixed(1);
  const before = load();
  const rows: Row[] = [];
  try {
    for (const { model: name, densities } of CASES) {
      if (only !== undefined && !only.some((o) => name.startsWith(o))) continue;
      const model = MODELS.find((m) => m.name === name)!;
      const data = writeRandomData(directory, model);
      for (const [density, target] of Object.entries(densities)) {
        if (wanted !== undefined && !wanted.includes(density)) continue;
        const value = 1 / Number(density.slice(2));
        const measured = await measure(model, data, value);
        rows.push({ model: name, density, target, ...measured });
        process.stderr.write(`${name} ${density}: ${times(measured.pair.ratio)} (load average ${load()})\n`);
      }
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  if (flag("json")) {
    console.log(JSON.stringify(rows));
    return;
  }
  console.log(`${cpus()[0]!.model}, ${cpus().length} cores; load average ${before} before, ${load()} after`);
  console.log("Milliseconds of processor time per step on one thread; medians of steps in turn.");
  console.log(
    textTable<Row>(
      [
        { title: "model", value: (r) => r.model },
        right("density", (r) => r.density),
        right("dense", (r) => milliseconds(r.pair.dense)),
        right("of peak", (r) => `${(100 * r.pair.peakShare).toFixed(0)}%`),
        right("sparse", (r) => milliseconds(r.pair.sparse)),
        right("speed-up", (r) => times(r.pair.ratio)),
        right("target", (r) => times(r.target)),
        right("two at once", (r) => times(r.two)),
        right("dense MiB", (r) => mebibytes(r.denseBytes)),
        right("sparse MiB", (r) => mebibytes(r.sparseBytes)),
        right("PyTorch masked", (r) => milliseconds(r.masked)),
        right("CSR", (r) => milliseconds(r.csr)),
        right("to dense", (r) => times(r.denseRatio)),
        right("to sparse", (r) => times(r.torchRatio)),
      ],
      rows,
    ),
  );
}
