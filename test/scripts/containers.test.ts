/** docker-compose.yml and Dockerfile agree with the program: no Docker engine is needed to see it. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { checkRedis, probe } from "../../orchestrator/redis/probe.ts";
import { ROOT } from "../../scripts/setup.mjs";
import { freePort } from "../support/musweep.ts";
import { scratch, until } from "../support/scratch.ts";

const service = z.object({
  image: z.string(),
  environment: z.record(z.string(), z.string()).default({}),
  command: z.array(z.string()),
  ports: z.array(z.string()).default([]),
  volumes: z.array(z.string()),
});
const compose = z
  .strictObject({
    services: z.strictObject({ redis: service, serve: service, worker: service }),
    volumes: z.record(z.string(), z.unknown()),
  })
  .parse(parse(readFileSync(path.join(ROOT, "docker-compose.yml"), "utf8")));

it.each(["serve", "worker"] as const)("%s is started with options that the command has", (name) => {
  const [command, ...args] = compose.services[name].command;
  const cli = path.join(ROOT, "orchestrator", "cli.ts");
  const help = execFileSync(process.execPath, ["--import", "tsx", cli, command!, "--help"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  const options = args.filter((arg) => arg.startsWith("--"));
  expect(options.length).toBeGreaterThan(1);
  expect(options.filter((option) => !help.includes(`${option} <`))).toEqual([]);
});

it("serve is published on this host's loopback address alone, and nothing else is", () => {
  expect(compose.services.serve.ports).toEqual(["127.0.0.1:4242:4242"]);
  expect([...compose.services.redis.ports, ...compose.services.worker.ports]).toEqual([]);
});

it("serve and workers share one state volume, and every volume is declared", () => {
  const mounts = [compose.services.serve.volumes, compose.services.worker.volumes];
  expect(mounts).toEqual([["state:/state"], ["state:/state"]]);
  const used = Object.values(compose.services).flatMap(({ volumes }) => volumes.map((v) => v.split(":")[0]));
  expect([...new Set(used)].sort()).toEqual(Object.keys(compose.volumes).sort());
});

it("Redis keeps what it is told: an append-only file, and no eviction", () => {
  const command = compose.services.redis.command.join(" ");
  expect(command).toContain("--appendonly yes");
  expect(command).toContain("--maxmemory-policy noeviction");
});

it("Redis wants the password that serve and workers have, and no command line shows it", async () => {
  const { redis, serve, worker } = compose.services;
  const password = serve.environment.REDIS_PASSWORD;
  expect(password).toMatch(/^\$\{REDIS_PASSWORD:\?/);
  expect([worker.environment.REDIS_PASSWORD, redis.environment.REDISCLI_AUTH]).toEqual([password, password]);
  for (const { command } of [redis, serve, worker])
    expect(command.join(" ")).not.toContain("${REDIS_PASSWORD");

  // The very command, with the image's entry point gone and a port of the test's own.
  const port = await freePort();
  const [shell, flag, script] = redis.command.map((text) => text.replaceAll("$$", "$"));
  const own = script!.replace(
    "docker-entrypoint.sh redis-server",
    `redis-server --port ${port} --bind 127.0.0.1`,
  );
  const { directory, env } = scratch();
  const child = spawn(shell!, [flag!, own], {
    cwd: directory,
    env: { ...env, REDISCLI_AUTH: "0a1b2c" },
    stdio: "ignore",
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await until(async () => expect(await probe(`redis://:0a1b2c@127.0.0.1:${port}`)).toBe("ready"));
  await expect(checkRedis(`redis://127.0.0.1:${port}`)).rejects.toThrow("NOAUTH");
  expect(execFileSync("ps", ["-A", "-o", "args="], { encoding: "utf8" })).not.toContain("0a1b2c");
  // The shell has become the server: it is the server that is asked to stop.
  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([0, null]);
});

it("every file that the Dockerfile copies is there and let through by .dockerignore", () => {
  const dockerfile = readFileSync(path.join(ROOT, "Dockerfile"), "utf8");
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap((match) =>
    match[1]!.split(" "),
  );
  const ignore = readFileSync(path.join(ROOT, ".dockerignore"), "utf8").split("\n");
  expect(copied.length).toBeGreaterThan(5);
  expect(copied.filter((file) => !existsSync(path.join(ROOT, file)))).toEqual([]);
  const isLetThrough = (file: string): boolean =>
    ignore.some((line) => line.startsWith("!") && `${file}/`.startsWith(`${line.slice(1)}/`));
  expect(copied.filter((file) => !isLetThrough(file))).toEqual([]);
});
