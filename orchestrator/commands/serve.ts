import type { Command } from "commander";
import { pino } from "pino";
import { EXIT_CODES, MusweepError } from "../../schema/wire/errors.ts";
import { logStream } from "../../schema/wire/log.ts";
import { printable } from "../../schema/wire/printable.ts";
import { onStopSignal } from "../../schema/wire/stop-signals.ts";
import type { DashboardOptions } from "../dashboard/listen.ts";
import { openState } from "../machine/open-state.ts";
import type { StateDirectory } from "../machine/state-directory.ts";
import { type NamedToken, namedToken, ownToken } from "../machine/token.ts";
import { type Service, startService } from "../queue/service.ts";
import { withoutPassword } from "../redis/probe.ts";
import {
  type CommonOptions,
  commandLine,
  common,
  parsePort,
  say,
  sayInstalling,
  withRedis,
  withToken,
} from "./common.ts";

interface Options extends CommonOptions, NamedToken {
  redis?: string;
  host: string;
  port: number;
  dataRoot?: string;
}

/** From SIGTERM on; each of the things that are closed has a limit of its own, which together are less. */
const END_MS = 4500;

/** Only when it is wanted: its libraries would slow every other command down. */
const loadDashboard = () => import("../dashboard/listen.ts");

export function addServe(program: Command): void {
  withToken(
    withRedis(
      common(
        program
          .command("serve")
          .description(
            "collect results, put submitted runs on the queue, and show the dashboard, until stopped",
          )
          .option(
            "--host <address>",
            "address to listen on; any but loopback needs a token that you name",
            "127.0.0.1",
          )
          .option("--port <n>", "port to listen on", parsePort, 4242)
          .option(
            "--data-root <path>",
            "sweeps submitted over HTTP may name the data files in this directory (default: none; shipped corpora and prepared data sets always)",
          ),
        [
          "musweep serve                       # then: musweep worker, musweep submit FILE",
          "MUSWEEP_TOKEN=… musweep serve --host 0.0.0.0 --redis redis://queue-host:6379",
        ],
      ),
    ),
  ).action(serve);
}

async function serve(options: Options): Promise<void> {
  const { checkAddress } = await loadDashboard();
  const named = namedToken(options);
  checkAddress(options.host, named);
  const log = pino({ base: null, level: process.env.MUSWEEP_LOG ?? "info" }, logStream(2));
  const state = openState(options);
  const stopping = new AbortController();
  const stopped = new Promise<void>((resolve) => {
    onStopSignal((_signal, again) => {
      if (again) process.exit(EXIT_CODES.interrupted);
      stopping.abort();
      resolve();
      setTimeout(() => {
        log.warn("what is still under way is broken off");
        process.exit(EXIT_CODES.ok);
      }, END_MS).unref();
    });
  });
  try {
    const service = await startService(state, {
      redisUrl: options.redis,
      onInstall: sayInstalling,
      log,
      signal: stopping.signal,
    });
    try {
      const dashboard = {
        token: named ?? ownToken(state),
        ownerOnly: named === undefined,
        dataRoot: options.dataRoot,
        log,
      };
      await answer(service, state, options, dashboard, stopped);
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
  settings: DashboardOptions,
  stopped: Promise<void>,
): Promise<void> {
  const { serveDashboard } = await loadDashboard();
  const dashboard = await serveDashboard(service, state, options, settings);
  const { url } = dashboard;
  try {
    if (options.json)
      process.stdout.write(printable(`${JSON.stringify({ url, redis: service.redis.describe })}\n`));
    say(`musweep is at ${url} (queues: ${url}/queues), Redis: ${service.redis.describe}`);
    say(`Log in with: ${dashboard.link("/")} (once, within an hour)`);
    const where = [
      ...(options.redis === undefined ? [] : ["--redis", withoutPassword(options.redis)]),
      ...["--dir", options.dir],
      ...(options.shared === undefined ? [] : ["--shared", options.shared]),
    ];
    say(`Train with:  ${commandLine(["worker", ...where])}`);
    say(`Submit with: ${commandLine(["submit", "FILE", "--dir", options.dir])}`);
    const broken = await Promise.race([stopped, service.broken]);
    if (broken) throw broken;
    say("Stopping; runs in progress go on in their workers and are collected by the next serve.");
  } finally {
    await dashboard.close();
  }
}
