/** The options of a worker, shared by `worker` and `run`, and the configuration they make. */
import { availableParallelism, totalmem } from "node:os";
import type { Command } from "commander";
import type { WorkerConfig } from "../../schema/worker.ts";
import type { StateDirectory } from "../state.ts";
import { parseCount } from "./common.ts";

export interface WorkerOptions {
  slots: number;
  threads: number;
  trainerCommand?: string;
  checkpointSeconds: number;
  silenceSeconds: number;
  lockSeconds: number;
}

/** Of the machine's memory, what all slots together may use. */
const MEMORY_SHARE = 0.85;

export const workerOptions = (command: Command): Command =>
  command
    .option("--slots <n>", "runs trained at the same time", parseCount("--slots"), availableParallelism())
    .option("--threads <n>", "threads per slot", parseCount("--threads"), 1)
    .option(
      "--trainer-command <command>",
      "another trainer than the built-in one: a program and its arguments",
    )
    .option(
      "--checkpoint-seconds <n>",
      "time between checkpoints of a run",
      parseCount("--checkpoint-seconds"),
      60,
    )
    .option(
      "--silence-seconds <n>",
      "end a trainer that says nothing for so long",
      parseCount("--silence-seconds"),
      900,
    )
    .option(
      "--lock-seconds <n>",
      "how long a killed worker's runs stay locked",
      parseCount("--lock-seconds"),
      30,
    );

export function workerConfig(
  state: StateDirectory,
  redisUrl: string,
  options: WorkerOptions,
  exitWithStdin: boolean,
): WorkerConfig {
  return {
    redis_url: redisUrl,
    capability: "cpu",
    slots: options.slots,
    data_directory: state.data,
    checkpoint_directory: state.checkpoints,
    weights_directory: state.weights,
    checkpoint_seconds: options.checkpointSeconds,
    trainer:
      options.trainerCommand === undefined ? "onnx" : options.trainerCommand.split(/\s+/).filter(Boolean),
    threads_per_slot: options.threads,
    silence_seconds: options.silenceSeconds,
    lock_seconds: options.lockSeconds,
    memory_bytes_per_slot: Math.floor((totalmem() * MEMORY_SHARE) / options.slots),
    exit_with_stdin: exitWithStdin,
  };
}
