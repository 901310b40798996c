import type { Command } from "commander";
import { EXIT_CODES, MusweepError } from "../../schema/errors.ts";
import { startLocalWorker } from "../local-worker.ts";
import { findRedis } from "../redis/open-redis.ts";
import { checkRedis, withoutPassword } from "../redis/probe.ts";
import { stateDirectory } from "../state.ts";
import { type CommonOptions, common, withRedis } from "./common.ts";
import { type WorkerOptions, workerConfig, workerOptions } from "./worker-options.ts";

interface Options extends CommonOptions, WorkerOptions {
  redis?: string;
}

export function addWorker(program: Command): void {
  workerOptions(
    withRedis(
      common(
        program
          .command("worker")
          .description("train runs from the queue until stopped; any number, on any host"),
        [
          "musweep worker --slots 2                                  # beside a `musweep serve` on this machine",
          "musweep worker --redis redis://queue-host:6379 --slots 8",
          'musweep worker --trainer-command "python3 my_trainer.py"',
        ],
      ),
    ),
  ).action(async (options: Options) => {
    const state = stateDirectory(options);
    const redisUrl = options.redis ?? (await findRedis(state.redis))?.url;
    if (redisUrl === undefined) {
      throw new MusweepError("no-redis", `no Redis is running for ${state.root}`, {
        kind: "unavailable",
        remedy: "Start `musweep serve` with the same --dir first, or name a Redis with --redis or REDIS_URL.",
      });
    }
    await checkRedis(redisUrl);
    const worker = startLocalWorker(workerConfig(state, redisUrl, options, true), undefined);
    if (options.json)
      process.stdout.write(
        `${JSON.stringify({ redis: withoutPassword(redisUrl), slots: options.slots, threads: options.threads })}\n`,
      );
    let signals = 0;
    const stop = (): void => {
      signals++;
      if (signals === 1) void worker.stop();
      else worker.kill();
    };
    process.on("SIGINT", stop);
    process.on("SIGTERM", stop);
    const code = await worker.ended;
    if (code === null && signals === 0) {
      throw new MusweepError("worker-died", "the worker process was killed", {
        kind: "unavailable",
        remedy:
          "Its runs are taken over by other workers, or by the next one. Was the machine out of memory?",
      });
    }
    process.exitCode = code ?? EXIT_CODES.interrupted;
  });
}
