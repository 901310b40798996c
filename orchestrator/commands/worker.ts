import type { Command } from "commander";
import { EXIT_CODES, MusweepError } from "../../schema/wire/errors.ts";
import { printable } from "../../schema/wire/printable.ts";
import { onStopSignal } from "../../schema/wire/stop-signals.ts";
import { EXIT_WITHOUT_REDIS, slotsOf } from "../../schema/wire/worker.ts";
import { startLocalWorker } from "../machine/local-worker.ts";
import { openState } from "../machine/open-state.ts";
import { stateDirectory } from "../machine/state-directory.ts";
import { type NamedToken, namedToken } from "../machine/token.ts";
import { workerDisk } from "../machine/worker-disk.ts";
import { findRedis } from "../redis/open-redis.ts";
import { checkRedis, withoutPassword } from "../redis/probe.ts";
import { type CommonOptions, common, withRedis, withToken } from "./common.ts";
import { serverUrl } from "./submit.ts";
import { type LimitOptions, limitOptions, limitsOf } from "./worker-limits.ts";
import { type WorkerOptions, workerConfig, workerOptions } from "./worker-options.ts";
import { resolveTrainers } from "./worker-trainer.ts";

interface Options extends CommonOptions, WorkerOptions, LimitOptions, NamedToken {
  redis?: string;
  server?: string;
}

/** Where data sets come from that this host lacks. */
function dataServerOf(options: Options): { dataServer?: { url: string; token: string | null } } {
  if (options.server === undefined) return {};
  return { dataServer: { url: serverUrl(options.server).origin, token: namedToken(options) ?? null } };
}

export function addWorker(program: Command): void {
  withToken(
    limitOptions(
      workerOptions(
        withRedis(
          common(
            program
              .command("worker")
              .description("train runs from the queue until stopped; any number, on any host"),
            [
              "musweep worker --slots 2                                  # beside a `musweep serve` on this machine",
              "musweep worker --redis redis://queue-host:6379 --slots 8",
              "musweep worker --trainer torch                            # one slot per GPU that PyTorch sees",
              'musweep worker --trainer mine="python3 train.py"             # for sweeps that say trainer: mine',
              "musweep worker --until-empty --grace 60                   # as a job of a cluster: docs/many-machines.md",
            ],
          ),
        ),
      ),
    ).option(
      "--server <url>",
      "fetch data sets that this host lacks from a `musweep serve`: no shared file system is needed",
    ),
  ).action(async (options: Options) => {
    const state = stateDirectory(options);
    const offer = await resolveTrainers(options);
    const redisUrl = options.redis ?? (await findRedis(state.redis))?.url;
    if (redisUrl === undefined) {
      throw new MusweepError("no-redis", `no Redis is running for ${state.root}`, {
        kind: "unavailable",
        remedy: "Start `musweep serve` with the same --dir first, or name a Redis with --redis or REDIS_URL.",
      });
    }
    await checkRedis(redisUrl);
    openState(options);
    const worker = startLocalWorker(
      workerConfig(state, redisUrl, options, offer, {
        givesBack: true,
        ...dataServerOf(options),
        ...limitsOf(options),
      }),
      undefined,
    );
    if (options.json)
      process.stdout.write(
        printable(
          `${JSON.stringify({ redis: withoutPassword(redisUrl), slots: slotsOf(offer).length, threads: options.threads })}\n`,
        ),
      );
    let stopped = false;
    onStopSignal((signal, again) => {
      stopped = true;
      if (again) worker.kill();
      else void worker.stop(signal);
    });
    const code = await worker.ended;
    if (code === null && !stopped) {
      throw new MusweepError("worker-died", "the worker process was killed", {
        kind: "unavailable",
        remedy:
          "Its runs are taken over by other workers, or by the next one. Was the machine out of memory?",
      });
    }
    if (code === EXIT_WITHOUT_REDIS)
      throw new MusweepError("redis-unreachable", `Redis at ${withoutPassword(redisUrl)} has not come back`, {
        kind: "unavailable",
        remedy:
          "Start it again; without --until-empty a worker waits for it. Runs go on from their last checkpoints.",
      });
    if (code === EXIT_CODES.unavailable) throw workerDisk(state);
    process.exitCode = code ?? EXIT_CODES.interrupted;
  });
}
