/**
 * Thousands of short runs through `serve` and two workers, `npm run soak:runs [runs]` (3,000): memory and open files of every process, keys
 * and memory of Redis, and what is left of runs on disk are to stay flat. Exit code 1 where they grow from the second fifth to the last.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Cluster, musweepCommand } from "../orchestrator/chaos/cluster.ts";
import { openDatabase } from "../orchestrator/database/open.ts";
import { sweepProgress } from "../orchestrator/database/progress.ts";
import { connected } from "../orchestrator/redis/probe.ts";

const RUNS = Number(process.argv[2] ?? 3000);
const SAMPLE_MS = 1000;
/** Of what is measured, from the second fifth of the runs to the last. */
const GROWTH = 1.25;
/** What comes and goes: a connection, a file that is being written, keys of runs under way. */
const SLACK: Record<string, number> = {
  "open files": 10,
  "keys of Redis": 300,
  "memory of Redis, MB": 3,
  "files, MB": 3,
};

const directory = mkdtempSync(join(tmpdir(), "musweep-soak-"));
const file = join(directory, "soak.yaml");
writeFileSync(
  file,
  `name: soak
data: { corpus: moby-dick }
model: { width: 16, layers: 1, d_head: 8, sequence_length: 8 }
training: { steps: 2, batch_size: 1, evaluation: { sequences: 1 } }
base: { width: 16 }
axes:
  parameterization: [supar]
  learning_rate: [0.01]
  seed: { count: ${RUNS} }
`,
);

const pages = Number(execFileSync("getconf", ["PAGESIZE"], { encoding: "utf8" }));
const megabytes = (bytes: number): number => bytes / 2 ** 20;

function sizeOf(path: string): number {
  let bytes = 0;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    // The database holds the results, and grows with them; Redis rewrites its append-only file at 64 MB, and logs rotate.
    if (/^(musweep\.db.*|redis|logs)$/.test(entry.name)) continue;
    const below = join(path, entry.name);
    bytes += entry.isDirectory() ? sizeOf(below) : (statSync(below, { throwIfNoEntry: false })?.size ?? 0);
  }
  return bytes;
}

interface Sample {
  done: number;
  values: Map<string, number>;
}

async function sample(cluster: Cluster): Promise<Sample> {
  const values = new Map<string, number>();
  const of = (name: string, pid: number): void => {
    try {
      values.set(
        `memory of ${name}, MB`,
        megabytes(Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * pages),
      );
      values.set(`open files of ${name}`, readdirSync(`/proc/${pid}/fd`).length);
    } catch {
      // Between two processes.
    }
  };
  of("serve", cluster.orchestrator);
  for (const [i, { worker, trainers }] of cluster.workers().entries()) {
    of(`worker ${i + 1}`, worker.pid);
    for (const trainer of trainers) of(`the trainer of worker ${i + 1}`, trainer.pid);
  }
  await connected(cluster.redis, async (redis) => {
    values.set("keys of Redis", await redis.dbsize());
    values.set(
      "memory of Redis, MB",
      megabytes(Number(/used_memory:(\d+)/.exec(await redis.info("memory"))![1])),
    );
  });
  values.set("files, MB", megabytes(sizeOf(cluster.state.root)));
  const db = openDatabase(cluster.state.database, { readonly: true });
  const { finished, diverged, failed } = sweepProgress(db)[0]!.by_state;
  db.close();
  return { done: finished + diverged + failed, values };
}

const cluster = new Cluster(join(directory, "state"), { workers: 2, port: 14_242 });
const samples: Sample[] = [];
const began = performance.now();
try {
  await cluster.ready();
  const [program, ...args] = musweepCommand("submit", file, "--dir", cluster.state.root);
  execFileSync(program, args, { stdio: "inherit" });
  while ((samples.at(-1)?.done ?? 0) < RUNS) {
    await sleep(SAMPLE_MS);
    samples.push(await sample(cluster));
    process.stderr.write(`\r${samples.at(-1)!.done} of ${RUNS}`);
  }
} finally {
  await cluster.end();
}

const between = (from: number, to: number): Sample[] =>
  samples.filter(({ done }) => done > from * RUNS && done <= to * RUNS);
const highest = (of: readonly Sample[], name: string): number =>
  Math.max(...of.map(({ values }) => values.get(name) ?? 0));
if (between(0.2, 0.4).length === 0) throw new Error(`${RUNS} runs are too few to tell: give more`);
const names = [...new Set(samples.flatMap(({ values }) => [...values.keys()]))].sort();
console.log(
  `\n${RUNS} runs in ${((performance.now() - began) / 1000).toFixed(0)} s on ${cpus()[0]!.model}; highest values`,
);
let grows = false;
for (const name of names) {
  const [early, late] = [highest(between(0.2, 0.4), name), highest(between(0.8, 1), name)];
  const slack = SLACK[name] ?? SLACK[name.replace(/ of .*/, "")] ?? 10;
  const isMore = late > early * GROWTH + slack;
  grows ||= isMore;
  console.log(
    `${name.padEnd(40)} ${early.toFixed(1).padStart(8)} ${late.toFixed(1).padStart(8)}${isMore ? "  GROWS" : ""}`,
  );
}
rmSync(directory, { recursive: true });
process.exitCode = grows ? 1 : 0;
