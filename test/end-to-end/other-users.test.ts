/** What other users of the machine, and readers of logs, can see and do: files, command lines, links that log in, ports. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { ensureServer } from "../../orchestrator/redis/install-server.ts";
import { connected, probe } from "../../orchestrator/redis/probe.ts";
import { asOwner, freePort, linkOf, Musweep, musweep, succeed, writeSweep } from "../support/musweep.ts";
import { type Scratch, scratch, until } from "../support/scratch.ts";
import { asRoot } from "../support/tested-where.ts";

/** What anybody but the owner may read or enter, below a directory. */
function open(at: string): string[] {
  const info = lstatSync(at);
  const inside = info.isDirectory() ? readdirSync(at).flatMap((name) => open(join(at, name))) : [];
  return (info.mode & 0o077) === 0 ? inside : [at, ...inside];
}

function start(place: Scratch, args: string[], env: NodeJS.ProcessEnv = {}): Musweep {
  const command = new Musweep(place, args, env);
  onTestFinished(() => void command.child.kill("SIGKILL"));
  return command;
}

async function serve(place: Scratch, env: NodeJS.ProcessEnv = {}, ...args: string[]) {
  const port = await freePort();
  const command = start(place, ["serve", "--port", String(port), ...args], env);
  await command.says(/musweep is at/);
  return { command, url: `http://127.0.0.1:${port}` };
}

describe("files", () => {
  it("of a run are its owner's alone, under the widest umask; those he asked for elsewhere are as he likes them", async () => {
    const before = process.umask(0);
    onTestFinished(() => void process.umask(before));
    const place = scratch();
    const file = writeSweep(place, { rates: "{ log2: { from: -7, to: -6 } }" });
    writeFileSync(
      join(place.directory, file),
      readFileSync(join(place.directory, file), "utf8").replace("axes:", "keep_weights: true\naxes:"),
    );
    const run = await succeed(
      place,
      "run",
      file,
      "--port",
      String(await freePort()),
      "--checkpoint-seconds",
      "1",
    );
    expect(run.code).toBe(0);
    const made = readdirSync(join(place.directory, ".musweep"), { recursive: true }) as string[];
    expect(made).toEqual(
      expect.arrayContaining(["musweep.db", "token", "logs/worker.log", "redis/redis.log"]),
    );
    expect(
      made.filter((name) => name.endsWith("train.bin") || name.endsWith(".safetensors")).length,
    ).toBeGreaterThan(1);
    expect(open(join(place.directory, ".musweep"))).toEqual([]);
    await succeed(place, "report", "tiny", "--html", "report.html");
    expect(lstatSync(join(place.directory, "report.html")).mode & 0o777).toBe(0o666);
  });
});

describe("a password of Redis", () => {
  const PASSWORD = "hush/hush@it:is#secret%";

  it("is on no command line and in no output or log, with a worker at work and when it is no longer right", async () => {
    const place = scratch();
    const port = await freePort();
    const server = spawn((await ensureServer()).path, ["-"], {
      cwd: place.directory,
      stdio: ["pipe", "ignore", "ignore"],
    });
    onTestFinished(() => void server.kill("SIGKILL"));
    server.stdin.end(`port ${port}\nbind 127.0.0.1\nsave ""\nrequirepass ${PASSWORD}\n`);
    const url = `redis://127.0.0.1:${port}`;
    const withPassword = `redis://:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}`;
    await until(async () => expect(await probe(withPassword)).toBe("ready"));

    const { command, url: dashboard } = await serve(place, { REDIS_PASSWORD: PASSWORD }, "--redis", url);
    const worker = start(place, ["worker", "--slots", "1", "--json"], { REDIS_URL: withPassword });
    await worker.says(/worker ready/);
    await succeed(place, "submit", writeSweep(place, { name: "short" }));
    const status = start(place, ["status", "--redis", url], { REDIS_PASSWORD: PASSWORD });
    await until(() =>
      expect(
        place.processes().filter((line) => /workers\/main|trainers\/cpu\/main/.test(line)).length,
      ).toBeGreaterThan(1),
    );
    // Each of them could be seen by everybody.
    const commandLines = place.processes().join("\n");
    expect(commandLines).toMatch(/cli\.js serve/);
    expect((await status.ended).stdout).toContain("1 worker alive");

    await connected(withPassword, async (redis) => {
      await redis.config("SET", "requirepass", "another");
      await redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      await redis.call("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes");
    });
    await until(() => expect(command.stderr).toMatch(/Redis connection lost|WRONGPASS/));
    const headers = asOwner(place);
    const pages = await Promise.all(
      ["/workers", "/queues/api/queues", "/queues/api/redis/stats", "/metrics"].map(async (path) =>
        (await fetch(`${dashboard}${path}`, { headers })).text(),
      ),
    );
    const doctor = await musweep(place, "doctor", "--redis", url);
    expect(doctor.stdout).toContain("NOAUTH");
    worker.child.kill("SIGTERM");
    await worker.ended;
    expect(await command.signal("SIGTERM")).toMatchObject({ code: 0 });
    const said = [command, worker, status].flatMap(({ stdout, stderr }) => [stdout, stderr]);
    const everything = [commandLines, ...said, ...pages, doctor.stdout, doctor.stderr].join("\n");
    expect(everything).not.toMatch(/hush|another/);
  });

  it("as an argument is refused, without being said again", async () => {
    const place = scratch();
    for (const [command, url] of [
      ["serve", "redis://:hush@127.0.0.1:1"],
      ["worker", "rediss://me:hush@127.0.0.1:1"],
      ["status", "redis://127.0.0.1:1?password=hush"],
    ] as const) {
      const ended = await musweep(place, command, "--redis", url);
      expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining("REDIS_PASSWORD") });
      expect(ended.stdout + ended.stderr).not.toContain("hush");
    }
  });
});

/** What another user of this machine is answered. */
async function thief(url: string, init: RequestInit = {}): Promise<string> {
  const program = `
    const [url, init] = process.argv.slice(1);
    fetch(url, { ...JSON.parse(init), redirect: "manual" }).then((r) => console.log(r.status))`;
  const child = spawn(process.execPath, ["-e", program, url, JSON.stringify(init)], {
    uid: 65_534,
    gid: 65_534,
    cwd: "/",
  });
  let said = "";
  child.stdout.on("data", (text: Buffer) => {
    said += text.toString();
  });
  await once(child, "close");
  return said.trim();
}

describe("the dashboard on loopback", () => {
  it("answers nobody without the token, lets its owner's commands in, and gives the token to no other server", async () => {
    const place = scratch();
    const { url } = await serve(place);
    for (const path of ["/", "/api/sweeps", "/metrics", "/queues", "/sql"])
      expect([path, (await fetch(`${url}${path}`)).status]).toEqual([path, 401]);
    const file = writeSweep(place);
    await succeed(place, "submit", file, "--server", url);
    await succeed(place, "submit", file, "--server", url.replace("127.0.0.1", "localhost"));

    // Somebody else, who does not hold the state directory, and has a token of his own.
    const other = scratch();
    writeSweep(other);
    const refused = await musweep(other, "submit", file, "--server", url);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("asks for a token") });
    const wrong = new Musweep(other, ["submit", file, "--server", url], { MUSWEEP_TOKEN: "wrong" });
    expect(await wrong.ended).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("asks for another token"),
    });
    mkdirSync(join(other.directory, "keys"));
    const token = readFileSync(join(place.directory, ".musweep", "token"), "utf8");
    writeFileSync(join(other.directory, "keys", "t"), token);
    await succeed(other, "submit", file, "--server", url, "--token-file", "keys/t");

    const asked: IncomingMessage["headers"][] = [];
    const trap = createServer((request, response) => {
      asked.push(request.headers);
      response.writeHead(401).end();
    }).listen(0, "0.0.0.0");
    onTestFinished(() => void trap.close());
    await once(trap, "listening");
    const { port } = trap.address() as AddressInfo;
    for (const host of ["127.0.0.2", "0.0.0.0"])
      await musweep(place, "submit", file, "--server", `http://${host}:${port}`);
    await musweep(other, "submit", file, "--server", `http://127.0.0.1:${port}`);
    for (const host of ["127.0.0.1", "localhost"])
      await musweep(place, "submit", file, "--server", `http://${host}:${port}`);
    expect(asked.map((headers) => headers.authorization)).toEqual(new Array(5).fill(undefined));
  });

  it("takes localhost for its own address, and gives the token to nobody who has its port after it was killed", async () => {
    const place = scratch();
    const file = writeSweep(place);
    const { command, url } = await serve(place);
    const { port } = new URL(url);
    const asked: (string | undefined)[] = [];
    const trap = (host: string) => {
      const server = createServer((request, response) => {
        asked.push(request.headers.authorization);
        response.writeHead(401).end();
      });
      onTestFinished(() => void server.close());
      return new Promise<void>((resolve) => {
        // Some machines have no IPv6.
        server.on("error", () => resolve()).listen(Number(port), host, resolve);
      });
    };
    await trap("::1");
    await succeed(place, "submit", file, "--server", `http://localhost:${port}`);
    expect(asked).toEqual([]);

    await command.signal("SIGKILL");
    await serve(place, { MUSWEEP_TOKEN: "named" });
    await trap("127.0.0.1");
    expect(await musweep(place, "submit", file, "--server", url)).toMatchObject({ code: 2 });
    expect(asked).toEqual([undefined]);
  });

  it("keeps its token over restarts, and takes another that is named", async () => {
    const place = scratch();
    const first = await serve(place);
    const headers = asOwner(place);
    await first.command.signal("SIGTERM");
    const second = await serve(place);
    expect((await fetch(`${second.url}/api/sweeps`, { headers })).status).toBe(200);
    await second.command.signal("SIGTERM");
    const named = await serve(place, { MUSWEEP_TOKEN: "named" });
    expect((await fetch(`${named.url}/api/sweeps`, { headers })).status).toBe(401);
    const bearer = { authorization: "Bearer named" };
    expect((await fetch(`${named.url}/api/sweeps`, { headers: bearer })).status).toBe(200);
  });

  // Only root can be another user.
  it.runIf(asRoot("a stolen link or cookie"))(
    "takes a link or a cookie that another user has got hold of from its owner alone",
    async () => {
      const place = scratch();
      const { command, url } = await serve(place);
      const link = await linkOf(command);
      expect(await thief(link)).toBe("401");
      const response = await fetch(link, { redirect: "manual" });
      expect(response.status).toBe(303);
      const cookie = response.headers.get("set-cookie")!.split(";")[0]!;
      expect((await fetch(url, { headers: { cookie } })).status).toBe(200);
      // Whose own server on this machine was visited with that browser.
      expect(await thief(url, { headers: { cookie } })).toBe("401");
      // Nor does he get one, even if he should know the token: that is for scripts.
      const token = asOwner(place).authorization.replace("Bearer ", "");
      const form = { origin: url, "content-type": "application/x-www-form-urlencoded" };
      expect(await thief(`${url}/login`, { method: "POST", headers: form, body: `token=${token}` })).toBe(
        "403",
      );
      expect(
        (
          await fetch(`${url}/login`, {
            method: "POST",
            headers: form,
            body: `token=${token}`,
            redirect: "manual",
          })
        ).status,
      ).toBe(303);
    },
  );
});
