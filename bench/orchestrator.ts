/**
 * What a run costs that trains nothing: `npm run bench:orchestrator`. A sweep of 2,000 runs, then one of 20,000, go the whole
 * way: `submit`, queue, worker, trainer, event, SQLite, with the fits and verdicts of every result. Prints runs a second and the
 * CPU time of each process for one run; the second size's last quarter stands by itself, since it should cost what the first did.
 * Beside it the trials of grids of the same sizes through Optuna (SQLite storage, ask and tell, nothing trained), where pip can
 * have it. Options: `-- --runs=2000,20000`, `--slots=2`, `--no-optuna`, `--json`. Linux only: CPU times are those of /proc.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { packageRoot } from "../schema/wire/package.ts";
import { freePort } from "./free-port.ts";

const option = (name: string): string | undefined =>
  process.argv.find((a) => a.startsWith(`--${name}=`))?.slice(name.length + 3);
const sizes = (option("runs") ?? "2000,20000").split(",").map(Number);
const slots = option("slots") ?? "2";
/** Runs before the first that count: programs are loaded and compiled, the data is tokenized. */
const WARM_UP = 500;
const OPTUNA = "optuna==5.0.0";
/** Optuna's cost of a trial grows with their number: of a large grid it does as many as it can in this time. */
const OPTUNA_SECONDS = 60;

const root = packageRoot();
const cli = join(root, "dist", "orchestrator", "cli.js");
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** What is shipped is measured: tsx, which runs this file, makes hot code slower. */
const built = async <Module>(path: string): Promise<Module> =>
  (await import(pathToFileURL(join(root, "dist", path)).href)) as Module;
const { openDatabase } = await built<typeof import("../orchestrator/database/open.ts")>(
  "orchestrator/database/open.js",
);
const { isSettled, progressOf } = await built<typeof import("../orchestrator/database/progress.ts")>(
  "orchestrator/database/progress.js",
);

/** A curve is ten learning rates at four seeds. */
const sweepText = (name: string, runs: number): string => `name: ${name}
data: { corpus: moby-dick }
model: { layers: 2, d_head: 16, sequence_length: 128 }
training: { steps: ${100 + sizes.indexOf(runs)}, batch_size: 8 }
base: { width: 64, init_std: 0.02 }
axes:
  parameterization: [sp, mup, supar, supar-init-only, supar-lr-only]
  sparsity: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
  width: [${Array.from({ length: Math.ceil(runs / 2000) }, (_, i) => 64 * (i + 1)).join(", ")}]
  learning_rate: { log2: { from: -12, to: -3 } }
  seed: [${(runs < 2000 ? [1] : [1, 2, 3, 4]).join(", ")}]
`;

type Costs = Record<string, number>;

interface Sample {
  done: number;
  seconds: number;
  cpu: Costs;
}

interface Result {
  what: string;
  runs: number;
  per_second: number;
  /** CPU milliseconds per run. */
  cpu_ms: Costs;
}

const directory = mkdtempSync(join(tmpdir(), "musweep-bench-"));
const state = join(directory, "state");
const log = join(directory, "log");
const children: ChildProcess[] = [];
const results: Result[] = [];
try {
  const serve = start("serve", "--port", String(await freePort()), "--json");
  const died = once(serve, "close").then(() => Promise.reject(new Error("serve ended before it was there")));
  await Promise.race([once(serve.stdout!, "data"), died]);
  const worker = start(
    "worker",
    "--slots",
    slots,
    "--trainer",
    `musweep=${process.execPath} ${here("no-op-trainer.mjs")}`,
  );
  const processes = (): Record<string, number[]> => {
    const main = descendants(worker.pid!).filter((pid) => commandLine(pid).includes("workers/main"));
    return {
      orchestrator: [serve.pid!],
      "redis-server": descendants(serve.pid!).filter((pid) => commandLine(pid).includes("redis-server")),
      worker: main,
      trainers: main.flatMap(descendants),
    };
  };
  await measure("warm-up", WARM_UP, processes);
  for (const runs of sizes) results.push(...(await measure(`runs-${runs}`, runs, processes)));
} catch (error) {
  say(readFileSync(log, "utf8").slice(-4000));
  throw error;
} finally {
  for (const child of children.reverse()) {
    child.kill("SIGTERM");
    await once(child, "close");
  }
  rmSync(directory, { recursive: true, force: true });
}
if (!process.argv.includes("--no-optuna")) await measureOptuna();
print();

function start(...args: string[]): ChildProcess {
  const { REDIS_URL: _r, MUSWEEP_TOKEN: _t, ...env } = process.env;
  const child = spawn(process.execPath, [cli, ...args, "--dir", state], {
    env: { ...env, MUSWEEP_LOG: "warn" },
    stdio: ["ignore", "pipe", openSync(log, "a")],
  });
  children.push(child);
  return child;
}

/** Submits a sweep and waits until all of it is stored. */
async function measure(
  name: string,
  runs: number,
  processes: () => Record<string, number[]>,
): Promise<Result[]> {
  const file = join(directory, `${name}.yaml`);
  writeFileSync(file, sweepText(name, runs));
  const before = childrenCpu();
  const submitted = spawnSync(process.execPath, [cli, "submit", file, "--dir", state], { encoding: "utf8" });
  if (submitted.status !== 0) throw new Error(`submit: ${submitted.stderr}`);
  const submit = (1000 * (childrenCpu() - before)) / runs;
  const db = openDatabase(join(state, "musweep.db"), { readonly: true });
  const samples: Sample[] = [];
  try {
    const take = (): boolean => {
      const progress = progressOf(db, name);
      const { finished } = progress.by_state;
      const cpu = Object.fromEntries(
        Object.entries(processes()).map(([what, pids]) => [what, sum(pids.map(cpuSeconds))]),
      );
      samples.push({ done: finished, seconds: performance.now() / 1000, cpu });
      return isSettled(progress);
    };
    while (!take()) await new Promise((resolve) => setTimeout(resolve, 250));
    const { by_state } = progressOf(db, name);
    if (by_state.finished < runs) throw new Error(`${name}: ${JSON.stringify(by_state)}`);
  } finally {
    db.close();
  }
  const last = samples.at(-1)!;
  const quarter = samples.find(({ done }) => done >= 0.75 * last.done)!;
  const whole = between(samples[0]!, last);
  say(`${name}: ${last.done} runs, ${whole.per_second.toFixed(0)} a second`);
  return [
    { what: `${last.done} runs`, ...whole, cpu_ms: { submit, ...whole.cpu_ms } },
    ...(runs > 10_000 ? [{ what: "their last quarter", ...between(quarter, last) }] : []),
  ];
}

function between(from: Sample, to: Sample): Omit<Result, "what"> {
  const runs = to.done - from.done;
  return {
    runs,
    per_second: runs / (to.seconds - from.seconds),
    cpu_ms: Object.fromEntries(
      Object.entries(to.cpu).map(([what, seconds]) => [
        what,
        (1000 * (seconds - (from.cpu[what] ?? 0))) / runs,
      ]),
    ),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

/** The fields of /proc/PID/stat after the name, which may hold anything: state first. */
function statOf(pid: number | "self"): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** Seconds, from ticks of 10 ms: user and system time. */
function cpuSeconds(pid: number): number {
  const fields = statOf(pid);
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Of this process's children that have ended. */
function childrenCpu(): number {
  const fields = statOf("self");
  return (Number(fields[13]) + Number(fields[14])) / 100;
}

function commandLine(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
}

function descendants(pid: number): number[] {
  const own = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
  );
  return own.flatMap((child) => [child, ...descendants(child)]);
}

/** @returns the Python that has it; undefined, with the reason said, where there is none */
function ensureOptuna(): string | undefined {
  const venv = join(root, ".cache", "optuna-venv");
  const python = join(venv, "bin", "python");
  if (existsSync(python) && spawnSync(python, ["-c", "import optuna"]).status === 0) return python;
  mkdirSync(join(root, ".cache"), { recursive: true });
  const made = [
    ["python3", "-m", "venv", "--clear", venv],
    [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", OPTUNA],
  ].map(([program, ...args]) => spawnSync(program!, args, { encoding: "utf8" }));
  if (made.every(({ status }) => status === 0)) return python;
  say(
    `!!! Optuna cannot be had here, nothing is compared with it: ${made.map((m) => m.stderr ?? m.error).join(" ")}`,
  );
  return undefined;
}

async function measureOptuna(): Promise<void> {
  const python = ensureOptuna();
  if (python === undefined) return;
  for (const trials of sizes) {
    const place = mkdtempSync(join(tmpdir(), "musweep-bench-"));
    const child = spawn(
      python,
      [here("optuna-trials.py"), String(trials), join(place, "optuna.db"), String(OPTUNA_SECONDS)],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    const samples: Sample[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      const { done, seconds, cpu } = JSON.parse(line) as { done: number; seconds: number; cpu: number };
      samples.push({ done, seconds, cpu: { optuna: cpu } });
    }
    rmSync(place, { recursive: true, force: true });
    const [first, last] = [samples[0]!, samples.at(-1)!];
    const limited = last.done < trials ? ` of ${trials}` : "";
    results.push({ what: `Optuna: ${last.done}${limited} trials`, ...between(first, last) });
    const end = samples.findLast(({ done }) => done <= last.done - 200);
    if (end !== undefined) results.push({ what: "their last 200", ...between(end, last) });
  }
}

function print(): void {
  if (process.argv.includes("--json")) {
    console.log(JSON.stringify(results));
    return;
  }
  const columns = ["submit", "orchestrator", "redis-server", "worker", "trainers", "optuna"];
  console.log(`| | a second | CPU ms each: ${columns.join(" | ")} |`);
  console.log(`|---|--:|${columns.map(() => "--:|").join("")}`);
  for (const { what, per_second, cpu_ms } of results)
    console.log(
      `| ${what} | ${per_second.toFixed(0)} | ${columns.map((name) => cpu_ms[name]?.toFixed(2) ?? "").join(" | ")} |`,
    );
}
