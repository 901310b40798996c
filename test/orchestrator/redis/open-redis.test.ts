/** The private Redis and a named one, with real servers: who can find it, what survives, what ends with whom. */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import {
  access,
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  writeFile,
} from "node:fs/promises";
import { createServer } from "node:net";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Queue } from "bullmq";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { allProcesses } from "../../../orchestrator/chaos/processes.ts";
import { appendOnlyDamage } from "../../../orchestrator/machine/append-only.ts";
import { ensureServer } from "../../../orchestrator/redis/install-server.ts";
import { findRedis, type OpenRedis, openRedis } from "../../../orchestrator/redis/open-redis.ts";
import { probe } from "../../../orchestrator/redis/probe.ts";
import { MusweepError } from "../../../schema/wire/errors.ts";
import { connectRedis } from "../../../schema/wire/redis.ts";
import { end } from "../../support/scratch.ts";
import { asRoot } from "../../support/tested-where.ts";

async function scratch(): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), "musweep-redis-test-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

async function open(directory: string): Promise<OpenRedis> {
  const redis = await openRedis({ directory });
  onTestFinished(() => redis.close());
  return redis;
}

function connect(url: string) {
  const client = connectRedis(url);
  client.on("error", () => {});
  onTestFinished(() => client.disconnect());
  return client;
}

/** The process id of the server itself, from the server. */
async function serverPid(url: string): Promise<number> {
  return Number(/^process_id:(\d+)/m.exec(await connect(url).info("server"))?.[1]);
}

const until = (condition: () => Promise<void> | void) =>
  vi.waitFor(condition, { timeout: 30_000, interval: 50 });

const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

const childrenOf = (pid: number): number[] =>
  allProcesses().flatMap((other) => (other.parent === pid ? [other.pid] : []));

const thrownBy = async (promise: Promise<unknown>): Promise<MusweepError> => {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof MusweepError)) throw error ?? new Error("nothing was thrown");
  return error;
};

/** Another process that holds the private Redis of `directory`. */
async function holder(directory: string, detached = false): Promise<{ child: ChildProcess; url: string }> {
  const child = fork(fileURLToPath(new URL("./fixtures/hold-redis.ts", import.meta.url)), [directory], {
    execArgv: ["--import", "tsx"],
    detached,
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const [url] = (await once(child, "message")) as [string];
  return { child, url };
}

describe("the private Redis", () => {
  it("keeps its data over a restart", async () => {
    const directory = await scratch();
    const first = await openRedis({ directory });
    await connect(first.url).set("run", "42");
    await first.close();
    const second = await open(directory);
    expect(await connect(second.url).get("run")).toBe("42");
  });

  it.each<[what: string, damage: (file: (kind: string) => string) => Promise<void>]>([
    ["no commands", (file) => writeFile(file("incr.aof"), "no command of Redis\r\n")],
    ["no snapshot", (file) => writeFile(file("base.rdb"), "no snapshot")],
    ["no manifest", (file) => writeFile(file("manifest"), "no manifest\n")],
    ["an empty manifest", (file) => writeFile(file("manifest"), "")],
    ["less than its manifest says", (file) => rm(file("incr.aof"))],
  ])("that finds %s starts empty, and says where what it found is", async (_what, damage) => {
    const directory = await scratch();
    const first = await openRedis({ directory });
    await connect(first.url).set("run", "42");
    await first.close();
    const files = path.join(directory, "appendonlydir");
    expect(appendOnlyDamage(directory)).toBeUndefined();
    const names = await readdir(files);
    await damage((kind) => path.join(files, names.find((name) => name.endsWith(kind))!));
    expect(appendOnlyDamage(directory)).toMatch(/damaged|missing|empty|none/);
    const said: string[] = [];
    const second = await openRedis({ directory, onDamage: (aside) => said.push(aside) });
    onTestFinished(() => second.close());
    expect(await connect(second.url).get("run")).toBeNull();
    expect(said).toEqual([`${files}.damaged-1`]);
    expect(await readdir(said[0]!)).not.toEqual([]);
  });

  it("that breaks off in the middle of a command keeps what is before it", async () => {
    const directory = await scratch();
    const first = await openRedis({ directory });
    const client = connect(first.url);
    await client.set("run", "42");
    await client.set("last", "x".repeat(100));
    await first.close();
    const files = path.join(directory, "appendonlydir");
    const file = path.join(files, (await readdir(files)).find((name) => name.endsWith("incr.aof"))!);
    await truncate(file, (await stat(file)).size - 10);
    expect(appendOnlyDamage(directory)).toBeUndefined();
    const second = await open(directory);
    expect(await connect(second.url).get("run")).toBe("42");
  });

  it("never evicts, writes an append-only file, and listens on no port", async () => {
    const redis = await open(await scratch());
    const client = connect(redis.url);
    expect(await client.config("GET", "maxmemory-policy")).toEqual(["maxmemory-policy", "noeviction"]);
    expect(await client.config("GET", "appendonly")).toEqual(["appendonly", "yes"]);
    expect(await client.config("GET", "appendfsync")).toEqual(["appendfsync", "everysec"]);
    expect(await client.config("GET", "port")).toEqual(["port", "0"]);
  });

  it("lets nobody else in: directory, socket and endpoint file are this user's alone", async () => {
    const directory = path.join(await scratch(), "redis");
    const redis = await open(directory);
    const modes = await Promise.all(
      [directory, redis.url, path.join(directory, "endpoint.json")].map(
        async (file) => (await stat(file)).mode & 0o777,
      ),
    );
    expect(modes).toEqual([0o700, 0o700, 0o600]);
  });

  it("serves BullMQ", async () => {
    const redis = await open(await scratch());
    const queue = new Queue("musweep-test", { connection: connect(redis.url) });
    await queue.add("run", { run: "r1" });
    expect(await queue.getWaitingCount()).toBe(1);
    await queue.close();
  });

  it("is gone after close, and so is its endpoint", async () => {
    const directory = await scratch();
    const redis = await openRedis({ directory });
    const pid = await serverPid(redis.url);
    await redis.close();
    expect(isRunning(pid)).toBe(false);
    expect(await findRedis(directory)).toBeNull();
    expect(await readdir(directory)).not.toContain("endpoint.json");
  });

  it("of two state directories are two servers", async () => {
    const [a, b] = [await open(await scratch()), await open(await scratch())];
    await connect(a.url).set("key", "a");
    expect(await connect(b.url).get("key")).toBeNull();
  });

  it("works in a directory whose path is too long for a socket, and leaves nothing behind", async () => {
    const directory = path.join(await scratch(), "d".repeat(80), "e".repeat(70));
    expect(directory.length).toBeGreaterThan(150);
    const redis = await openRedis({ directory });
    expect(redis.url.startsWith(directory)).toBe(false);
    await connect(redis.url).set("key", "kept");
    expect((await findRedis(directory))?.url).toBe(redis.url);
    await redis.close();
    await expect(access(path.dirname(redis.url))).rejects.toThrow();
    const again = await open(directory);
    expect(await connect(again.url).get("key")).toBe("kept");
  });

  it("in a directory of its own elsewhere, is started again in that very one, if it is this user's alone", async () => {
    const redis = await open(path.join(await scratch(), "d".repeat(120)));
    const elsewhere = path.dirname(redis.url);
    await writeFile(path.join(elsewhere, "mark"), "");
    const pid = await serverPid(redis.url);
    process.kill(pid, "SIGKILL");
    await until(async () => expect(await serverPid(redis.url)).not.toBe(pid));
    expect(await readdir(elsewhere)).toContain("mark");

    const next = await serverPid(redis.url);
    await rm(elsewhere, { recursive: true });
    await mkdir(elsewhere);
    await chmod(elsewhere, 0o755);
    process.kill(next, "SIGKILL");
    expect(await redis.lost).toMatchObject({
      code: "redis-start",
      message: expect.stringContaining("is not this user's alone any more"),
    });
  });

  it("works in a directory with spaces, quotes and accents in its name", async () => {
    const redis = await open(path.join(await scratch(), `my "été" it's`));
    expect(await connect(redis.url).ping()).toBe("PONG");
  });

  it("is started again when it dies, and clients find their data", async () => {
    const redis = await open(await scratch());
    const client = connect(redis.url);
    await client.set("key", "kept");
    // On disk for sure: the append-only file is synced every second.
    await client.call("WAITAOF", "1", "0", "0").catch(() => client.bgrewriteaof());
    const pid = await serverPid(redis.url);
    process.kill(pid, "SIGKILL");
    await until(async () => expect(await serverPid(redis.url)).not.toBe(pid));
    expect(await client.get("key")).toBe("kept");
  });
});

describe("another process of the same state directory", () => {
  it("finds the running server", async () => {
    const directory = await scratch();
    const { child, url } = await holder(directory);
    expect(await findRedis(directory)).toEqual({ url, pid: child.pid });
  });

  // Only root can give a file away.
  it.runIf(asRoot("a socket of another user"))("finds none where the socket is another user's", async () => {
    const directory = await scratch();
    const redis = await open(directory);
    expect(await findRedis(directory)).not.toBeNull();
    await chown(redis.url, 65_534, 65_534);
    expect(await findRedis(directory)).toBeNull();
  });

  it("is told when it would start a second one", async () => {
    const directory = await scratch();
    const { child } = await holder(directory);
    const error = await thrownBy(openRedis({ directory }));
    expect(error).toMatchObject({ code: "redis-in-use", kind: "conflict" });
    expect(error.message).toContain(`process ${child.pid}`);
  });

  it("is not misled by the endpoint file of a server that is no more", async () => {
    const directory = await scratch();
    const endpoint = {
      version: 1,
      url: path.join(directory, "redis.sock"),
      host: hostname(),
      pid: process.pid,
    };
    await writeFile(path.join(directory, "endpoint.json"), JSON.stringify(endpoint));
    expect(await findRedis(directory)).toBeNull();
    const redis = await open(directory);
    expect(await connect(redis.url).ping()).toBe("PONG");
  });

  it.each(["", "{", '{"version":2}'])("is not misled by a damaged endpoint file: %j", async (text) => {
    const directory = await scratch();
    await writeFile(path.join(directory, "endpoint.json"), text);
    expect(await findRedis(directory)).toBeNull();
  });
});

describe("the end of the process that owns it", () => {
  it("by kill -9 ends the server too, and the next process has its data", async () => {
    const directory = await scratch();
    const { child, url } = await holder(directory);
    await connect(url).set("key", "kept");
    const pid = await serverPid(url);
    child.kill("SIGKILL");
    await until(() => expect(isRunning(pid)).toBe(false));
    const redis = await open(directory);
    expect(await connect(redis.url).get("key")).toBe("kept");
  });

  it("by kill -9 leaves no directory behind in which only the socket was", async () => {
    const { child, url } = await holder(path.join(await scratch(), "d".repeat(120)));
    child.kill("SIGKILL");
    await until(() => expect(access(path.dirname(url))).rejects.toThrow());
  });

  it("and of all that would end the server with it, leaves one that the next owner shuts down over its socket", async () => {
    const directory = await scratch();
    const { child, url } = await holder(directory);
    await connect(url).set("key", "kept");
    const pid = await serverPid(url);
    // The shell that waits for the server and the one that watches the owner: whose parents are the owner and that shell.
    const supervisor = childrenOf(child.pid!)[0]!;
    const watchers = childrenOf(supervisor).filter((other) => other !== pid);
    // Each watcher sleeps in children of its own that end by themselves.
    for (const other of [supervisor, ...watchers.flatMap((w) => [w, ...childrenOf(w)])]) end(other);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(isRunning(pid)).toBe(true);
    const redis = await open(directory);
    expect(await serverPid(redis.url)).not.toBe(pid);
    expect(await connect(redis.url).get("key")).toBe("kept");
  });

  it("is not hidden by a process that has its id by now", async () => {
    const directory = await scratch();
    const { child, url } = await holder(directory);
    child.kill("SIGKILL");
    await once(child, "exit");
    // What the owner left, said to be of an id that this test's own process has; the server still answers, or is gone.
    const file = path.join(directory, "endpoint.json");
    const endpoint = JSON.parse(await readFile(file, "utf8")) as { started: string };
    expect(endpoint.started).toMatch(/^\d+$/);
    await writeFile(file, JSON.stringify({ ...endpoint, pid: process.pid }));
    const redis = await open(directory);
    expect(redis.url).toBe(url);
    expect(await connect(redis.url).ping()).toBe("PONG");
  });

  it("may be followed at once by a new owner, which waits for the old server to end", async () => {
    const directory = await scratch();
    const { child, url } = await holder(directory);
    await connect(url).set("key", "kept");
    child.kill("SIGKILL");
    await once(child, "exit");
    const redis = await open(directory);
    expect(await connect(redis.url).get("key")).toBe("kept");
  });

  it("by Ctrl-C leaves the server to its owner until the owner has closed it", async () => {
    const directory = await scratch();
    const { child, url } = await holder(directory, true);
    const pid = await serverPid(url);
    // What a terminal does on Ctrl-C: SIGINT to the whole foreground group.
    process.kill(-child.pid!, "SIGINT");
    expect(await once(child, "exit")).toEqual([0, null]);
    expect(isRunning(pid)).toBe(false);
    // Redis logs the signal that ended it: the SIGTERM of an orderly close, no SIGINT.
    const log = await readFile(path.join(directory, "redis.log"), "utf8");
    expect(log).toContain("SIGTERM");
    expect(log).not.toContain("SIGINT");
  });
});

describe("a Redis that the user named", () => {
  async function freePort(): Promise<number> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    server.close();
    await once(server, "close");
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  async function start(...settings: string[]): Promise<number> {
    const port = await freePort();
    const { path: program } = await ensureServer();
    const args = ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", ...settings];
    const child = spawn(program, args, { cwd: await scratch(), stdio: "ignore" });
    onTestFinished(() => {
      child.kill("SIGKILL");
    });
    await until(async () => expect(await probe(`redis://default:secret@127.0.0.1:${port}`)).toBe("ready"));
    return port;
  }

  it("is used and left running", async () => {
    const port = await start("--requirepass", "secret");
    const url = `redis://default:secret@127.0.0.1:${port}`;
    const redis = await openRedis({ url, directory: await scratch() });
    expect(redis).toMatchObject({ url, private: false });
    expect(redis.describe).toMatch(/^Redis \d+\.\d+\.\d+ at redis:\/\/default:\*\*\*@127\.0\.0\.1:/);
    await redis.close();
    expect(await probe(url)).toBe("ready");
  });

  it("without its password is refused with what to write", async () => {
    const port = await start("--requirepass", "secret");
    const error = await thrownBy(openRedis({ url: `redis://127.0.0.1:${port}`, directory: await scratch() }));
    expect(error).toMatchObject({ code: "redis-unreachable", kind: "unavailable" });
    expect(error.message).toContain("NOAUTH");
    expect(error.remedy).toContain("redis://user:password@host:port");
  });

  it("that is not there is named, without its password, and with what to do", async () => {
    const url = `redis://me:hush@127.0.0.1:${await freePort()}`;
    const error = await thrownBy(openRedis({ url, directory: await scratch() }));
    expect(error).toMatchObject({ code: "redis-unreachable", kind: "unavailable" });
    expect(error.message).toContain("redis://me:***@127.0.0.1");
    expect(error.message).toContain("ECONNREFUSED");
    expect(error.message).not.toContain("hush");
    expect(error.remedy).toContain("REDIS_URL");
  });

  it.each(["localhost:6379", "http://localhost", "redis", "redis:///"])("must be a url: %s", async (url) => {
    const error = await thrownBy(openRedis({ url, directory: await scratch() }));
    expect(error).toMatchObject({ code: "redis-url", kind: "usage" });
  });
});
