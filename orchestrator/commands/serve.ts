import type { Command } from "commander";
import { pino } from "pino";
import { MusweepError } from "../../schema/errors.ts";
import type { Address } from "../dashboard/listen.ts";
import { type Service, startService } from "../service.ts";
import { type StateDirectory, stateDirectory } from "../state.ts";
import { type CommonOptions, common, parseCount, say, sayInstalling, withRedis } from "./common.ts";

interface Options extends CommonOptions {
  redis?: string;
  host: string;
  port: number;
  token?: string;
}

/** Only when it is wanted: its libraries would slow every other command down. */
const loadDashboard = () => import("../dashboard/listen.ts");

const addressOf = ({ host, port, token }: Options): Address => ({ host, port, token: token || undefined });

export function addServe(program: Command): void {
  withRedis(
    common(
      program
        .command("serve")
        .description(
          "collect results, put submitted runs on the queue, and show the dashboard, until stopped",
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
  const { checkAddress } = await loadDashboard();
  checkAddress(addressOf(options));
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
  const { serveDashboard } = await loadDashboard();
  const dashboard = await serveDashboard(service, state, addressOf(options));
  const { url } = dashboard;
  try {
    if (options.json) process.stdout.write(`${JSON.stringify({ url, redis: service.redis.describe })}\n`);
    say(`musweep is at ${url} (queues: ${url}/queues), Redis: ${service.redis.describe}`);
    say(
      `Train with:  musweep worker --dir ${options.dir}\nSubmit with: musweep submit FILE --dir ${options.dir}`,
    );
    const broken = await Promise.race([stopped, service.broken]);
    if (broken) throw broken;
    say("Stopping; runs in progress go on in their workers and are collected by the next serve.");
  } finally {
    await dashboard.close();
  }
}
