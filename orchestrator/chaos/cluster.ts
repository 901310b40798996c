/**
 * A `serve` with its private Redis and some workers, as processes that a user would start, in a state directory of their own. What ends is
 * started again, as a service manager would.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { MusweepError } from "../../schema/wire/errors.ts";
import { programAt } from "../machine/program.ts";
import { type StateDirectory, stateDirectory } from "../machine/state-directory.ts";
import { probe } from "../redis/probe.ts";
import { allProcesses, descendants, type Process } from "./processes.ts";
import type { SmallDisk } from "./small-disk.ts";

const RESTART_MS = 200;
const READY_MS = 60_000;

/** The command line of a musweep command. */
export const musweepCommand = (...args: string[]): [string, ...string[]] => [
  process.execPath,
  ...programAt("../cli"),
  ...args,
];

/** A command that is started again whenever it ends. */
class Service {
  #child: ChildProcess;
  #ending = false;
  readonly #start: () => ChildProcess;
  #ended: Promise<void> = Promise.resolve();

  constructor(start: () => ChildProcess) {
    this.#start = start;
    this.#child = this.#begin();
  }

  get pid(): number {
    return this.#child.pid!;
  }

  #begin(): ChildProcess {
    const child = this.#start();
    this.#ended = new Promise((resolve) => {
      child.once("error", () => resolve());
      child.once("exit", () => {
        resolve();
        if (!this.#ending)
          void sleep(RESTART_MS).then(() => {
            if (!this.#ending) this.#child = this.#begin();
          });
      });
    });
    return child;
  }

  /** In order. @returns the exit code; null where it was killed */
  async end(): Promise<number | null> {
    this.#ending = true;
    this.#child.kill("SIGCONT");
    this.#child.kill("SIGTERM");
    await this.#ended;
    return this.#child.exitCode;
  }
}

export class Cluster {
  readonly state: StateDirectory;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #serve: Service;
  readonly #workers: Service[];

  /** What all of it lies on, if that is a disk of its own. */
  readonly disk: SmallDisk | undefined;

  constructor(
    directory: string,
    { workers, port, disk }: { workers: number; port: number; disk?: SmallDisk | undefined },
  ) {
    this.disk = disk;
    this.state = stateDirectory({ dir: directory });
    mkdirSync(this.state.logs, { recursive: true });
    // Nobody else's Redis, token or directory.
    this.#environment = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(REDIS_|MUSWEEP_(DIR|SHARED|TOKEN)$)/.test(name)),
    );
    const start =
      (name: string, ...args: string[]) =>
      (): ChildProcess => {
        const log = openSync(join(this.state.logs, `${name}.log`), "a", 0o600);
        const [program, ...rest] = musweepCommand(...args, "--dir", directory);
        const child = spawn(program, rest, {
          env: this.#environment,
          detached: true,
          stdio: ["ignore", log, log],
        });
        closeSync(log);
        return child;
      };
    this.#serve = new Service(start("serve", "serve", "--port", String(port)));
    this.#workers = Array.from(
      { length: workers },
      (_, i) => new Service(start(`worker-${i + 1}`, "worker", "--slots", "1", "--checkpoint-seconds", "1")),
    );
  }

  /** The private server's socket. */
  get redis(): string {
    return join(this.state.redis, "redis.sock");
  }

  async ready(): Promise<void> {
    for (let waited = 0; (await probe(this.redis)) !== "ready"; waited += RESTART_MS) {
      if (waited > READY_MS)
        throw new MusweepError("chaos-start", `serve did not start in ${READY_MS / 1000} s`, {
          kind: "unavailable",
          remedy: `Its log is ${join(this.state.logs, "serve.log")}.`,
        });
      await sleep(RESTART_MS);
    }
  }

  get orchestrator(): number {
    return this.#serve.pid;
  }

  redisServer(all = allProcesses()): Process | undefined {
    return all.find(
      ({ command }) =>
        command.includes("redis-server") && command.includes(this.redis) && !command.startsWith("/bin/sh"),
    );
  }

  /** The processes that take runs, and each one's trainers. */
  workers(all = allProcesses()): { worker: Process; trainers: Process[] }[] {
    return this.#workers.flatMap(({ pid }) =>
      all
        .filter(({ parent }) => parent === pid)
        .map((worker) => ({ worker, trainers: all.filter(({ parent }) => parent === worker.pid) })),
    );
  }

  /** Every process of it that there is. */
  processes(all = allProcesses()): Process[] {
    const roots = [this.#serve, ...this.#workers].map(({ pid }) => pid);
    const own = all.filter(({ pid }) => roots.includes(pid));
    return [...own, ...roots.flatMap((pid) => descendants(pid, all))];
  }

  /** Ends all of it in order. @returns those that had to be killed */
  async end(): Promise<Process[]> {
    const before = this.processes();
    await Promise.all(this.#workers.map((worker) => worker.end()));
    await this.#serve.end();
    await sleep(1000);
    const known = new Set(before.map(({ pid, command }) => `${pid} ${command}`));
    const left = allProcesses().filter(
      ({ pid, command }) => known.has(`${pid} ${command}`) || command.includes(this.redis),
    );
    for (const { pid } of left) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended since.
      }
    }
    return left;
  }
}
