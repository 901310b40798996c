/**
 * examples/slurm from submission to result: the scripts themselves, run by an `sbatch` that starts each task of a job at once with what
 * Slurm tells its jobs, and a `scontrol requeue` that writes down what it was asked.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { ROOT } from "../../scripts/setup.mjs";
import { CLI, freePort, sql, stepsThatTake, writeSweep } from "../support/musweep.ts";
import { type Scratch, scratch, until } from "../support/scratch.ts";

const scripts = join(ROOT, "examples", "slurm");
/** Each of two, of which a time limit ends one in its middle. */
const SECONDS_PER_RUN = 6;

/** The directives of a batch script: "--array" → "0-7". */
const directives = (script: string): Map<string, string> =>
  new Map(
    [...readFileSync(join(scripts, script), "utf8").matchAll(/^#SBATCH (--[a-z-]+)(?:=(\S+))?$/gm)].map(
      ([, name, value]) => [name!, value ?? ""],
    ),
  );

class Cluster {
  readonly #place: Scratch;
  readonly #env: NodeJS.ProcessEnv;
  readonly log: string[] = [];
  #jobs = 7000;

  constructor(place: Scratch) {
    this.#place = place;
    const bin = join(place.directory, "bin");
    const program = (name: string, text: string): void => {
      writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`);
      chmodSync(join(bin, name), 0o755);
    };
    mkdirSync(bin);
    program("musweep", `exec "${process.execPath}" "${CLI}" "$@"`);
    program("scontrol", `echo "$@" >> "${place.directory}/scontrol.log"`);
    // This machine's name may lead nowhere.
    program("hostname", "echo 127.0.0.1");
    const MUSWEEP_SHARED = join(place.directory, "shared");
    mkdirSync(MUSWEEP_SHARED);
    this.#env = { ...place.env, PATH: `${bin}:${process.env.PATH}`, MUSWEEP_SHARED };
  }

  /** @param seconds that its tasks have. @returns a process for each task */
  sbatch(script: string, { tasks = 1, seconds = 3600 } = {}): ChildProcess[] {
    const asked = directives(script);
    const job = ++this.#jobs;
    return Array.from({ length: tasks }, (_, task) => {
      const child = spawn("bash", [join(scripts, script)], {
        cwd: this.#place.directory,
        detached: true,
        env: {
          ...this.#env,
          SLURM_JOB_ID: String(job + task),
          SLURM_ARRAY_TASK_ID: String(task),
          SLURM_CPUS_PER_TASK: String(Math.min(2, Number(asked.get("--cpus-per-task")))),
          SLURM_JOB_END_TIME: String(Math.round(Date.now() / 1000) + seconds),
        },
        stdio: ["ignore", "pipe", "pipe"],
      });
      for (const stream of [child.stdout, child.stderr])
        stream.on("data", (text) => this.log.push(String(text)));
      onTestFinished(() => void child.kill("SIGKILL"));
      return child;
    });
  }

  run(command: string): string {
    return execFileSync("bash", ["-c", `. "$MUSWEEP_SHARED/head.env" && ${command}`], {
      cwd: this.#place.directory,
      env: this.#env,
      encoding: "utf8",
    });
  }
}

const rows = (place: Scratch, query: string) => sql(place, query, join("shared", "head", "musweep.db"));

it("a head and an array of workers train a sweep, a time limit is survived, and nothing is left running", async () => {
  const place = scratch();
  const cluster = new Cluster(place);
  const [head] = cluster.sbatch("head.sbatch") as [ChildProcess];
  await until(() => expect(existsSync(join(place.directory, "shared", "head.env"))).toBe(true));
  await until(() => expect(cluster.log.join("")).toContain("musweep is at"));
  const steps = await stepsThatTake(SECONDS_PER_RUN, place);
  const file = writeSweep(place, {
    name: "slurm",
    sparsity: "[0]",
    rates: "[0.01]",
    seeds: "{ count: 2 }",
    steps,
  });
  cluster.run(`musweep submit ${file} --server "$MUSWEEP_SERVER" --token-file "$MUSWEEP_SHARED/token"`);

  // One that Slurm ends in the middle of its runs, shortly before its time is over: it gives them back, and asks to be queued again.
  const [short] = cluster.sbatch("workers.sbatch", { seconds: 150 }) as [ChildProcess];
  await until(() =>
    expect(rows(place, "SELECT 1 FROM attempts WHERE resumed_from_step IS NOT NULL").length).toBeGreaterThan(
      0,
    ),
  );
  short.kill("SIGTERM");
  const [shortCode] = await once(short, "close");
  expect(shortCode, cluster.log.join("")).toBe(0);
  expect(readFileSync(join(place.directory, "scontrol.log"), "utf8")).toMatch(/^requeue \d+\n$/);

  const workers = cluster.sbatch("workers.sbatch", { tasks: 2 });
  const codes = await Promise.all(workers.map((worker) => once(worker, "close")));
  expect(
    codes.map(([code]) => code),
    cluster.log.join(""),
  ).toEqual([0, 0]);
  expect(rows(place, "SELECT state, step FROM runs")).toEqual(
    Array(2).fill({ state: "finished", step: steps }),
  );
  expect(new Set(rows(place, "SELECT outcome FROM attempts").map((row) => row.outcome))).toEqual(
    new Set(["released", "finished"]),
  );
  // As Slurm ends a job: to the shell alone. Where it was is no place to look for a head any more.
  head.kill("SIGTERM");
  expect((await once(head, "close"))[0]).toBe(0);
  expect(existsSync(join(place.directory, "shared", "head.env"))).toBe(false);
  await place.expectNoProcess();
}, 300_000);

it("a worker that finds a head that is gone waits for the next one; a head whose Redis ended fails", async () => {
  const place = scratch();
  const cluster = new Cluster(place);
  const address = join(place.directory, "shared", "head.env");
  // As a head leaves it whose node died.
  const gone = `redis://127.0.0.1:${await freePort()}`;
  writeFileSync(address, `export REDIS_URL=${gone}\nexport REDIS_PASSWORD=secret\n`);
  const [worker] = cluster.sbatch("workers.sbatch") as [ChildProcess];
  await until(() => expect(cluster.log.join("")).toContain(gone.slice("redis://".length)));
  const [head] = cluster.sbatch("head.sbatch") as [ChildProcess];
  await until(() => expect(cluster.log.join("")).toContain("musweep is at"));
  const file = writeSweep(place, { sparsity: "[0]", rates: "[0.01]" });
  cluster.run(`musweep submit ${file} --server "$MUSWEEP_SERVER" --token-file "$MUSWEEP_SHARED/token"`);
  expect((await once(worker, "close"))[0], cluster.log.join("")).toBe(0);
  expect(rows(place, "SELECT DISTINCT state FROM runs")).toEqual([{ state: "finished" }]);

  cluster.run(`redis-cli -u "$REDIS_URL" -a "$REDIS_PASSWORD" --no-auth-warning shutdown`);
  expect((await once(head, "close"))[0]).toBe(1);
  expect(existsSync(address)).toBe(false);
  await place.expectNoProcess();
}, 300_000);

it("the scripts ask for what they need: to be queued again, and a signal to the shell in time for the checkpoint", () => {
  for (const script of ["head.sbatch", "workers.sbatch"]) {
    const asked = directives(script);
    expect(asked.has("--requeue")).toBe(true);
    const [, seconds] = /^B:TERM@(\d+)$/.exec(asked.get("--signal")!)!;
    const grace = /--grace (\d+)/.exec(readFileSync(join(scripts, script), "utf8"))?.[1] ?? 10;
    expect(Number(seconds)).toBeGreaterThan(Number(grace));
  }
});
