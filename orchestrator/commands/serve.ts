import { rmSync, writeFileSync } from "node:fs";
import { serve as listen } from "@hono/node-server";
import { Queue } from "bullmq";
import type { Command } from "commander";
import { pino } from "pino";
import { MusweepError } from "../../schema/errors.ts";
import { CAPABILITIES, queueName } from "../../schema/queue.ts";
import { connectRedis } from "../../schema/redis.ts";
import { loadSweep, submitSweep } from "../load-sweep.ts";
import { createApp } from "../server/app.ts";
import { type Service, startService } from "../service.ts";
import { type StateDirectory, stateDirectory } from "../state.ts";
import { parseSweep } from "../sweep/parse-sweep.ts";
import { type CommonOptions, common, parseCount, say, sayInstalling, withRedis } from "./common.ts";

interface Options extends CommonOptions {
  redis?: string;
  host: string;
  port: number;
  token?: string;
}

const LOOPBACK = new Set(["127.0.0.1", "::1", "localhost"]);

export function addServe(program: Command): void {
  withRedis(
    common(
      program
        .command("serve")
        .description(
          "collect results, put submitted runs on the queue, and show the queues at /queues, until stopped",
        )
        .option("--host <address>", "address to listen on; any but loopback needs a token", "127.0.0.1")
        .option("--port <n>", "port to listen on", parseCount("--port"), 4242)
        .option("--token <token>", "ask for it, as the password of user musweep", process.env.MUSWEEP_TOKEN),
      [
        "musweep serve                       # then: musweep worker, musweep submit FILE",
        "MUSWEEP_TOKEN=… musweep serve --host 0.0.0.0 --redis redis://queue-host:6379",
      ],
    ),
  ).action(serve);
}

async function serve(options: Options): Promise<void> {
  if (!LOOPBACK.has(options.host) && !options.token) {
    throw new MusweepError("token-needed", `listening on ${options.host} needs a token`, {
      kind: "usage",
      remedy: "Set MUSWEEP_TOKEN (or --token), or listen on 127.0.0.1.",
    });
  }
  const log = pino(
    { base: null, level: process.env.MUSWEEP_LOG ?? "info" },
    pino.destination({ fd: 2, sync: true }),
  );
  const state = stateDirectory(options);
  const stopping = new AbortController();
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.once(signal, () => {
        stopping.abort();
        resolve();
      });
    }
  });
  try {
    const service = await startService(state, {
      redisUrl: options.redis,
      onInstall: sayInstalling,
      log,
      signal: stopping.signal,
    });
    try {
      await answer(service, state, options, stopped);
    } finally {
      await service.close();
    }
  } catch (error) {
    // Stopped while it was starting.
    if (!stopping.signal.aborted || error instanceof MusweepError) throw error;
  }
}

/** Answers requests until it is to stop. */
async function answer(
  service: Service,
  state: StateDirectory,
  options: Options,
  stopped: Promise<void>,
): Promise<void> {
  const connection = connectRedis(service.redis.url);
  const queues = CAPABILITIES.map((c) => new Queue(queueName(c), { connection }));
  try {
    const app = createApp({
      db: service.db,
      queues,
      token: options.token || undefined,
      submit: async (text, file) => {
        const sweep = parseSweep(text, file);
        return submitSweep(service.db, await loadSweep({ sweep, text, directory: state.root }, state));
      },
    });
    const server = await listenOn(app.fetch, options);
    const url = `http://${options.host.includes(":") ? `[${options.host}]` : options.host}:${options.port}`;
    writeFileSync(state.server, JSON.stringify({ url, pid: process.pid }));
    if (options.json) process.stdout.write(`${JSON.stringify({ url, redis: service.redis.describe })}\n`);
    say(`musweep is at ${url} (queues: ${url}/queues), Redis: ${service.redis.describe}`);
    say(
      `Train with:  musweep worker --dir ${options.dir}\nSubmit with: musweep submit FILE --dir ${options.dir}`,
    );
    const broken = await Promise.race([stopped, service.broken]);
    if (!broken)
      say("Stopping; runs in progress go on in their workers and are collected by the next serve.");
    rmSync(state.server, { force: true });
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      if ("closeAllConnections" in server) server.closeAllConnections();
    });
    if (broken) throw broken;
  } finally {
    await Promise.all(queues.map((queue) => queue.close()));
    connection.disconnect();
  }
}

function listenOn(
  fetch: Parameters<typeof listen>[0]["fetch"],
  options: Options,
): Promise<ReturnType<typeof listen>> {
  return new Promise((resolve, reject) => {
    const server = listen({ fetch, hostname: options.host, port: options.port }, () => resolve(server));
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const why = cause.code === "EADDRINUSE" ? "is in use" : cause.message;
      reject(
        new MusweepError("port", `cannot listen on ${options.host}:${options.port}: ${why}`, {
          kind: "unavailable",
          remedy: "Choose another with --port.",
          cause,
        }),
      );
    });
  });
}
