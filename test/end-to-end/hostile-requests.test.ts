/**
 * `musweep serve` against clients that mean it no good: bodies without an end, connections that are held open, and its own end in
 * the middle of all that, with Redis and without.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { ensureServer } from "../../orchestrator/redis/install-server.ts";
import { probe } from "../../orchestrator/redis/probe.ts";
import { Connection } from "../support/dashboard.ts";
import { asOwner, freePort, Musweep, succeed, writeSweep } from "../support/musweep.ts";
import { type Scratch, scratch, until } from "../support/scratch.ts";

async function start(place: Scratch, args: string[] = [], env: NodeJS.ProcessEnv = {}) {
  const port = await freePort();
  const serve = new Musweep(place, ["serve", "--port", String(port), ...args], env);
  onTestFinished(() => void serve.child.kill("SIGKILL"));
  await serve.says(/musweep is at/);
  return { serve, port, url: `http://127.0.0.1:${port}` };
}

/** Bytes; Linux tells. */
const peakMemory = ({ child }: Musweep): number =>
  Number(/^VmHWM:\s*(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))![1]) * 1024;

/** Sends up to 300 MB, as long as the server takes it. */
async function flood(port: number, path: string, headers: string[]): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined).resume();
  const gone = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  const chunk = Buffer.alloc(1 << 20, "a");
  const isChunked = headers.includes("transfer-encoding: chunked");
  socket.write(`${[`POST ${path} HTTP/1.1`, "host: 127.0.0.1", ...headers].join("\r\n")}\r\n\r\n`);
  for (let i = 0; i < 300 && !socket.destroyed; i++) {
    const room = socket.write(
      isChunked ? Buffer.concat([Buffer.from("100000\r\n"), chunk, Buffer.from("\r\n")]) : chunk,
    );
    if (!room) await Promise.race([once(socket, "drain").catch(() => undefined), gone]);
  }
  socket.destroy();
  await gone;
}

describe("bodies without an end", () => {
  it("cost serve no memory, known or not, with the length told or not", async () => {
    const place = scratch();
    const { serve, port, url } = await start(place);
    const form = ["origin: http://127.0.0.1", "content-type: application/x-www-form-urlencoded"];
    const multipart = ["origin: http://127.0.0.1", "content-type: multipart/form-data; boundary=b"];
    const owner = `authorization: ${asOwner(place).authorization}`;
    const before = peakMemory(serve);
    for (const length of ["transfer-encoding: chunked", "content-length: 700000000"])
      for (const path of ["/login", "/sql", "/submit", "/sweeps", "/api/sweeps"])
        for (const known of [[], [owner]])
          for (const type of path.startsWith("/api")
            ? [["content-type: application/yaml"]]
            : [form, multipart])
            await flood(port, path, [...type, ...known, length]);
    // 667 MB of form took 1.9 GB.
    expect(peakMemory(serve) - before).toBeLessThan(150 * 2 ** 20);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect(await serve.signal("SIGTERM")).toMatchObject({ code: 0 });
  });
});

/** What is open in all ways at once while serve is asked to end. */
async function occupy(place: Scratch, port: number, url: string): Promise<void> {
  const headers = asOwner(place);
  const half = new Connection(port, "POST /login HTTP/1.1\r\nhost: x\r\n");
  const silent = new Connection(port);
  // Takes nothing of what it asked for.
  const stalled = new Connection(port);
  stalled.socket.pause();
  stalled.socket.write(
    `GET /workers/live HTTP/1.1\r\nhost: x\r\nauthorization: ${headers.authorization}\r\n\r\n`,
  );
  for (const { socket } of [half, silent, stalled]) onTestFinished(() => void socket.destroy());
  const streams = await Promise.all(
    ["/live", "/workers/live", "/sweeps/endless/live"].map((path) => fetch(`${url}${path}`, { headers })),
  );
  expect(streams.map(({ status }) => status)).toEqual([200, 200, 200]);
  for (const stream of streams) stream.text().catch(() => undefined);
  void fetch(`${url}/sql`, {
    method: "POST",
    body: new URLSearchParams({
      query: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    }),
    headers: { ...headers, origin: url },
  }).catch(() => undefined);
  await until(() => expect(place.processes().join("\n")).toMatch(/query-program/));
}

/** A Redis of the test's own that serve is told to use. */
async function namedRedis(place: Scratch) {
  const port = await freePort();
  const { path } = await ensureServer();
  const child = spawn(path, ["--port", String(port), "--bind", "127.0.0.1", "--save", ""], {
    cwd: place.directory,
    stdio: "ignore",
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const url = `redis://127.0.0.1:${port}`;
  await until(async () => expect(await probe(url)).toBe("ready"));
  return { child, url };
}

/** Ends with exit code 0, and of itself: whatever hangs is not waited for. */
async function endsInOrder(serve: Musweep): Promise<void> {
  serve.child.kill("SIGTERM");
  await until(() => expect(serve.child.exitCode).toBe(0), 15_000);
  expect(await serve.ended).toMatchObject({ code: 0 });
}

describe("asked to end, with streams, half requests, stalled clients and a query open", () => {
  const endless = (place: Scratch) => writeSweep(place, { name: "endless", steps: 10_000_000 });

  it("serve does, and nothing of it stays", async () => {
    const place = scratch();
    const { serve, port, url } = await start(place);
    await succeed(place, "submit", endless(place));
    await occupy(place, port, url);
    await endsInOrder(serve);
    expect(serve.stderr).not.toContain("broken off");
    await place.expectNoProcess();
  });

  it.each([
    ["was killed", "SIGKILL"],
    ["answers no more", "SIGSTOP"],
  ] as const)("and Redis %s, serve does", async (_, signal) => {
    const place = scratch();
    const redis = await namedRedis(place);
    const { serve, port, url } = await start(place, ["--redis", redis.url]);
    await succeed(place, "submit", endless(place));
    await occupy(place, port, url);
    redis.child.kill(signal);
    // Pages that need it say so, and do not wait for it.
    const headers = asOwner(place);
    const board = await fetch(`${url}/queues/api/queues`, { headers });
    expect([board.status, await board.json()]).toEqual([
      503,
      expect.objectContaining({ code: "redis-away" }),
    ]);
    expect(await (await fetch(`${url}/workers`, { headers })).text()).toContain("Redis does not answer");
    await endsInOrder(serve);
    // Each thing that was closed had its own limit, and they were enough.
    expect(serve.stderr).not.toContain("broken off");
    redis.child.kill("SIGKILL");
    await place.expectNoProcess();
  });
});

it("while it still waits for Redis at its start, serve ends when asked to", async () => {
  const place = scratch();
  const redis = await namedRedis(place);
  redis.child.kill("SIGSTOP");
  const serve = new Musweep(place, ["serve", "--redis", redis.url, "--port", String(await freePort())]);
  await until(() => expect(existsSync(join(place.directory, ".musweep", "musweep.db"))).toBe(true));
  await endsInOrder(serve);
  redis.child.kill("SIGKILL");
});
