/**
 * Speed and memory of the embedded trainer beside PyTorch: `npm run bench:engine`, `-- --quick` for shorter rounds,
 * `-- --only=quickstart,d128` for the models whose names start so, `-- --no-compile` without torch.compile (its compilation
 * takes a minute per model), `-- --json` for the numbers; `-- --sparse` for what sparse runs save (engine-sparse.ts), `-- --sweeps` for what
 * whole sweeps save (engine-sweeps.ts). Everything takes turns in short rounds and medians are shown,
 * because a shared machine is not equally fast at all times. Speeds are of 2 threads unless a column says otherwise.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { textTable } from "../orchestrator/terminal/table.ts";
import { flopsPerToken, parameterCount } from "../schema/wire/cost.ts";
import { trainerEnvironment } from "../workers/trainer-process.ts";
import { MODELS, type Model, writeRandomData } from "./engine-models.ts";
import { benchSparse } from "./engine-sparse.ts";
import { benchSweeps } from "./engine-sweeps.ts";
import { LineProcess } from "./line-process.ts";
import { shortened, startTrainer, trainPlan } from "./trainer.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const flag = (name: string): boolean => process.argv.includes(`--${name}`);
const only = process.argv
  .find((a) => a.startsWith("--only="))
  ?.slice("--only=".length)
  .split(",");
const quick = flag("quick");
const ROUNDS = quick ? 3 : 5;
const SECONDS = quick ? 0.8 : 2;
const THREADS = 2;

const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

const python = join(root, ".cache", "torch-venv", "bin", "python");
const torch = existsSync(python) && spawnSync(python, ["-c", "import torch"]).status === 0;
if (!torch)
  say("!!! No PyTorch in .cache/torch-venv: nothing is compared with it. `npm run test:torch` makes it.");

const rateSchema = z.object({ tokens: z.number(), seconds: z.number() });

/** Tokens per second of one round; of several processes at once, together. */
async function round(processes: readonly LineProcess[]): Promise<number> {
  const answers = await Promise.all(processes.map((p) => p.ask({ seconds: SECONDS })));
  return answers
    .map((answer) => rateSchema.parse(answer))
    .reduce((sum, { tokens, seconds }) => sum + tokens / seconds, 0);
}

interface Speeds {
  /** FLOP/s of the cores' multipliers, summing up in registers. */
  readonly peak: number;
  /** Tokens per second. */
  readonly twoThreads: number;
  readonly twoProcesses: number | null;
  readonly eager: number | null;
  readonly compiled: number | null;
  /** Medians of the rounds' own ratios: what else the machine did moves these least. */
  readonly peakShare: number;
  readonly processRatio: number | null;
  readonly torchRatio: number | null;
  /** Shares of a default run's time, by what they are spent on. */
  readonly costs: Record<string, number>;
}

const enginePath = fileURLToPath(new URL("engine-process.ts", import.meta.url));
const torchPath = fileURLToPath(new URL("engine-torch.py", import.meta.url));

async function measureSpeed({ plan }: Model, dataDirectory: string): Promise<Speeds> {
  const all: LineProcess[] = [];
  const start = async (
    program: string,
    args: string[],
    argument: { threads: number; [key: string]: unknown },
  ): Promise<LineProcess> => {
    // PyTorch too gets huge pages for large arrays.
    const env = { GLIBC_TUNABLES: "glibc.malloc.hugetlb=1", ...trainerEnvironment(argument.threads) };
    const process = new LineProcess(program, [...args, JSON.stringify(argument)], env);
    all.push(process);
    await process.next();
    return process;
  };
  const ours = (threads: number) =>
    start(process.execPath, ["--import", "tsx", enginePath], { plan, dataDirectory, threads });
  const theirs = (compile: boolean) =>
    start(python, [torchPath], { plan, threads: THREADS, compile, probe_seconds: SECONDS / 2 });
  try {
    const contestants: Record<string, LineProcess[]> = { twoThreads: [await ours(THREADS)] };
    // Above this, two processes are not how one would use two cores, and memory is short.
    if (parameterCount(plan) < 1e7) contestants.twoProcesses = [await ours(1), await ours(1)];
    if (torch) contestants.eager = [await theirs(false)];
    if (torch && !flag("no-compile")) contestants.compiled = [await theirs(true)];
    const rounds: Record<string, number>[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      const rates: Record<string, number> = { peak: z.number().parse(await all[0]!.ask("peak")) };
      for (const [name, processes] of Object.entries(contestants)) rates[name] = await round(processes);
      rounds.push(rates);
    }
    const of = (value: (r: Record<string, number>) => number): number => median(rounds.map(value));
    const optional = (name: string, value = (r: Record<string, number>) => r[name]!): number | null =>
      name in contestants ? of(value) : null;
    const costs = await all[0]!.ask({ runSteps: plan.steps });
    return {
      peak: of((r) => r.peak!),
      twoThreads: of((r) => r.twoThreads!),
      twoProcesses: optional("twoProcesses"),
      eager: optional("eager"),
      compiled: optional("compiled"),
      peakShare: of((r) => (r.twoThreads! * flopsPerToken(plan)) / r.peak!),
      processRatio: optional("twoProcesses", (r) => r.twoProcesses! / r.twoThreads!),
      torchRatio: optional("eager", (r) => r.twoThreads! / Math.max(r.eager!, r.compiled ?? 0)),
      costs: z.record(z.string(), z.number()).parse(costs),
    };
  } finally {
    for (const process of all) process.kill();
  }
}

interface Trainer {
  readonly memory: { readonly measured: number; readonly estimated: number };
  /** Milliseconds from a command to the first step of a run in a warm trainer: of a shape it has not seen, and of one it has. */
  readonly start: { readonly newShape: number; readonly knownShape: number };
}

const tiny = MODELS[0]!;

async function measureTrainer(model: Model, dataDirectory: string, tinyData: string): Promise<Trainer> {
  const trainer = startTrainer(THREADS);
  try {
    await trainer.next();
    const { estimated } = await trainPlan(trainer, shortened(model.plan, 1), dataDirectory);
    const measured = trainer.residentBytes("VmHWM");
    const warm = startTrainer(THREADS);
    try {
      await warm.next();
      const other = { ...tiny.plan, shape: { ...tiny.plan.shape, sequence_length: 96 } };
      await trainPlan(warm, shortened(other, 1), tinyData);
      const newShape = (await trainPlan(warm, shortened(model.plan, 2), dataDirectory)).milliseconds;
      const known: number[] = [];
      for (let seed = 3; seed < 6; seed++)
        known.push((await trainPlan(warm, shortened(model.plan, seed), dataDirectory)).milliseconds);
      return { memory: { measured, estimated }, start: { newShape, knownShape: median(known) } };
    } finally {
      warm.kill();
    }
  } finally {
    trainer.kill();
  }
}

type Result = Model & { readonly speeds: Speeds; readonly trainer: Trainer };

const integer = (x: number | null): string => (x === null ? "–" : Math.round(x).toLocaleString("en"));
const percent = (x: number): string => `${(100 * x).toFixed(0)}%`;
const times = (x: number | null): string => (x === null ? "–" : `${x.toFixed(2)}×`);
const megabytes = (bytes: number): string => integer(bytes / 2 ** 20);
const right = (title: string, value: (r: Result) => string) => ({ title, value, align: "right" as const });

function print(results: Result[]): void {
  console.log(
    "\nTokens per second. Peak: what the cores' multipliers do in registers. PyTorch: the faster of eager, compiled.",
  );
  console.log(
    textTable<Result>(
      [
        { title: "model", value: (r) => r.name },
        right("parameters", (r) => integer(parameterCount(r.plan))),
        right("trainer", (r) => integer(r.speeds.twoThreads)),
        right("of peak", (r) => percent(r.speeds.peakShare)),
        right("target", (r) => (r.target === null ? "–" : percent(r.target.peak))),
        right("2 × 1 thread", (r) => integer(r.speeds.twoProcesses)),
        right("to trainer", (r) => times(r.speeds.processRatio)),
        right("eager", (r) => integer(r.speeds.eager)),
        right("compiled", (r) => integer(r.speeds.compiled)),
        right("to PyTorch", (r) => times(r.speeds.torchRatio)),
        right("target", (r) => (r.target === null ? "–" : times(r.target.torch))),
      ],
      results,
    ),
  );
  console.log(
    `\nMemory in MiB; milliseconds from a command to the first step in a warm trainer; shares of a run's time.`,
  );
  console.log(
    textTable<Result>(
      [
        { title: "model", value: (r) => r.name },
        right("memory", (r) => megabytes(r.trainer.memory.measured)),
        right("estimate", (r) => megabytes(r.trainer.memory.estimated)),
        right("ratio", (r) => times(r.trainer.memory.estimated / r.trainer.memory.measured)),
        right("start, new shape", (r) => integer(r.trainer.start.newShape)),
        right("known shape", (r) => integer(r.trainer.start.knownShape)),
        right("steps", (r) => integer(r.plan.steps)),
        ...["data", "reports", "evaluation", "checkpoints"].map((name) =>
          right(name, (r) => `${(100 * r.speeds.costs[name]!).toFixed(2)}%`),
        ),
        right("together", (r) => {
          const together = Object.values(r.speeds.costs).reduce((sum, share) => sum + share, 0);
          return `${(100 * together).toFixed(1)}%`;
        }),
      ],
      results,
    ),
  );
}

const load = (): string => `load average ${loadavg()[0]!.toFixed(1)}`;
async function bench(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "musweep-bench-"));
  try {
    const chosen = MODELS.filter((m) => only === undefined || only.some((o) => m.name.startsWith(o)));
    const before = load();
    const tinyData = writeRandomData(directory, tiny);
    const results: Result[] = [];
    for (const model of chosen) {
      say(`${model.name} (${load()})`);
      const data = writeRandomData(directory, model);
      const trainer = await measureTrainer(model, data, tinyData);
      const speeds = await measureSpeed(model, data);
      say(
        `  ${integer(speeds.twoThreads)} tokens/s, ${percent(speeds.peakShare)} of peak, ${times(speeds.torchRatio)} PyTorch`,
      );
      results.push({ ...model, trainer, speeds });
    }
    if (flag("json")) console.log(JSON.stringify(results));
    else {
      const { peak } = results[0]?.speeds ?? { peak: 0 };
      console.log(
        `${cpus()[0]!.model}, ${cpus().length} cores; ${before} before, ${loadavg()[0]!.toFixed(1)} after`,
      );
      console.log(
        `Peak of ${THREADS} threads: ${(peak / 1e9).toFixed(0)} GFLOP/s in the first model's rounds`,
      );
      print(results);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const sweeps = process.argv.find((a) => /^--sweeps(=|$)/.test(a));
if (sweeps !== undefined) await benchSweeps(sweeps.split("=")[1]?.split(",") ?? []);
else await (flag("sparse") ? benchSparse() : bench());
