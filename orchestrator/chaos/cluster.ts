/**
 * A `serve` with its Redis and some workers, as processes that a user would start, in a state directory of their own: all on this
 * machine, or each worker on a host of its own, with a Redis that asks for a password. What ends is started again.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { closeSync, mkdirSync, openSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { MusweepError } from "../../schema/wire/errors.ts";
import { programAt } from "../machine/program.ts";
import { type StateDirectory, stateDirectory } from "../machine/state-directory.ts";
import { probe } from "../redis/probe.ts";
import type { Hosts } from "./hosts.ts";
import { allProcesses, descendants, type Process, signal } from "./processes.ts";
import { RESTART_MS, Service } from "./service.ts";
import type { SmallDisk } from "./small-disk.ts";

const READY_MS = 60_000;
const REDIS_PORT = 6379;

/** The command line of a musweep command. */
export const musweepCommand = (...args: string[]): [string, ...string[]] => [
  process.execPath,
  ...programAt("../cli"),
  ...args,
];

/** Redis and `serve` on the first host, a worker on each of the others. */
export interface Network {
  hosts: Hosts;
  /** Path of the program. */
  redisServer: string;
}

interface ClusterOptions {
  workers: number;
  port: number;
  /** What all of it lies on, if that is a disk of its own. */
  disk?: SmallDisk | undefined;
  /** Undefined: everything is on this machine, and Redis is the private one of `serve`. */
  network?: Network | undefined;
}

export class Cluster {
  readonly state: StateDirectory;
  readonly disk: SmallDisk | undefined;
  readonly hosts: Hosts | undefined;
  /** For this process, which is on none of the hosts: by its socket, a file. */
  readonly redis: string;
  readonly #socket: string;
  readonly #environment: NodeJS.ProcessEnv;
  /** Undefined: a child of `serve`. */
  readonly #redis: Service | undefined;
  readonly #serve: Service;
  readonly #workers: Service[];

  constructor(directory: string, { workers, port, disk, network }: ClusterOptions) {
    this.disk = disk;
    this.hosts = network?.hosts;
    this.state = stateDirectory({ dir: directory });
    this.#socket = join(this.state.redis, "redis.sock");
    this.redis = this.#socket;
    mkdirSync(this.state.logs, { recursive: true });
    // Nobody else's Redis, token or directory.
    this.#environment = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(REDIS_|MUSWEEP_(DIR|SHARED|TOKEN)$)/.test(name)),
    );
    if (network !== undefined) {
      const password = randomUUID();
      this.redis = `${this.#socket}?password=${password}`;
      this.#environment.REDIS_URL = `redis://${network.hosts.address}:${REDIS_PORT}`;
      this.#environment.REDIS_PASSWORD = password;
      this.#redis = new Service(() => this.#startRedis(network, password));
    }
    const musweep = (host: number, name: string, ...args: string[]): Service =>
      new Service(() => this.#start(host, name, musweepCommand(...args, "--dir", directory)));
    this.#serve = musweep(0, "serve", "serve", "--port", String(port));
    this.#workers = Array.from({ length: workers }, (_, i) =>
      musweep(i + 1, `worker-${i + 1}`, "worker", "--slots", "1", "--checkpoint-seconds", "1"),
    );
  }

  #start(host: number, name: string, command: readonly string[], input?: string): ChildProcess {
    const log = openSync(join(this.state.logs, `${name}.log`), "a", 0o600);
    const [program, ...rest] = [...(this.hosts?.on(host) ?? []), ...command] as [string, ...string[]];
    const child = spawn(program, rest, {
      env: this.#environment,
      detached: true,
      stdio: [input === undefined ? "ignore" : "pipe", log, log],
    });
    closeSync(log);
    // One that has ended before it has read says why in its log.
    child.stdin?.on("error", () => undefined).end(input);
    return child;
  }

  #startRedis({ hosts, redisServer }: Network, password: string): ChildProcess {
    mkdirSync(this.state.redis, { recursive: true, mode: 0o700 });
    const settings = {
      bind: hosts.address,
      port: String(REDIS_PORT),
      requirepass: password,
      unixsocket: JSON.stringify(this.#socket),
      unixsocketperm: "700",
      dir: JSON.stringify(this.state.redis),
      appendonly: "yes",
      save: '""',
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} ${value}\n`);
    return this.#start(0, "redis", [redisServer, "-"], lines.join(""));
  }

  async ready(): Promise<void> {
    for (let waited = 0; (await probe(this.redis)) !== "ready"; waited += RESTART_MS) {
      if (waited > READY_MS)
        throw new MusweepError("chaos-start", `Redis and serve did not start in ${READY_MS / 1000} s`, {
          kind: "unavailable",
          remedy: `Their logs are in ${this.state.logs}.`,
        });
      await sleep(RESTART_MS);
    }
  }

  get orchestrator(): number {
    return this.#serve.pid;
  }

  #redisServer(): number | undefined {
    if (this.#redis !== undefined) return this.#redis.pid;
    return allProcesses().find(
      ({ command }) =>
        command.includes("redis-server") && command.includes(this.#socket) && !command.startsWith("/bin/sh"),
    )?.pid;
  }

  /** @returns when, Unix time in milliseconds; undefined: there was none */
  killRedis(): number | undefined {
    const server = this.#redisServer();
    return server !== undefined && signal(server, "SIGKILL") ? Date.now() : undefined;
  }

  /** As killRedis, and when it is started again, it is empty. */
  async loseRedis(): Promise<number | undefined> {
    const remove = (): void => {
      for (const name of readdirSync(this.state.redis))
        if (/^(appendonly|dump|temp)/.test(name)) rmSync(join(this.state.redis, name), { recursive: true });
    };
    if (this.#redis !== undefined) {
      this.#redis.beforeNext(remove);
      return this.killRedis();
    }
    const owner = this.orchestrator;
    // Or it would be started again before its data is gone.
    if (!signal(owner, "SIGSTOP")) return undefined;
    try {
      const at = this.killRedis();
      if (at === undefined) return undefined;
      await sleep(200);
      remove();
      return at;
    } finally {
      signal(owner, "SIGCONT");
    }
  }

  /** The processes that take runs, and each one's trainers and host. */
  workers(all = allProcesses()): { worker: Process; trainers: Process[]; host: number }[] {
    return this.#workers.flatMap(({ pid }, i) =>
      all
        .filter(({ parent }) => parent === pid)
        .map((worker) => ({
          worker,
          trainers: all.filter(({ parent }) => parent === worker.pid),
          host: i + 1,
        })),
    );
  }

  /** Every process of it that there is. */
  processes(all = allProcesses()): Process[] {
    const services = [this.#serve, ...this.#workers, ...(this.#redis === undefined ? [] : [this.#redis])];
    const roots = services.map(({ pid }) => pid);
    const own = all.filter(({ pid }) => roots.includes(pid));
    return [...own, ...roots.flatMap((pid) => descendants(pid, all))];
  }

  /** Ends all of it in order. @returns those that had to be killed */
  async end(): Promise<Process[]> {
    const before = this.processes();
    await Promise.all(this.#workers.map((worker) => worker.end()));
    await this.#serve.end();
    await this.#redis?.end();
    await sleep(1000);
    const known = new Set(before.map(({ pid, command }) => `${pid} ${command}`));
    const left = allProcesses().filter(
      ({ pid, command }) => known.has(`${pid} ${command}`) || command.includes(this.#socket),
    );
    for (const { pid } of left) signal(pid, "SIGKILL");
    return left;
  }
}
