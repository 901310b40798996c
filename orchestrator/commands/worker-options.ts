/** The options of a worker, shared by `worker` and `run`, and the configuration they make. */
import type { Command } from "commander";
import { MAX_SLOTS, type WorkerConfig } from "../../schema/wire/worker.ts";
import { memoryBytesPerSlot } from "../machine/slot-memory.ts";
import type { StateDirectory } from "../machine/state-directory.ts";
import { parseCount, parseSeconds } from "./common.ts";
import type { Offer, TrainerOptions } from "./worker-trainer.ts";

export interface WorkerOptions extends TrainerOptions {
  threads: number;
  checkpointSeconds: number;
  silenceSeconds: number;
  lockSeconds: number;
}

export const workerOptions = (command: Command): Command =>
  command
    .option(
      "--slots <n>",
      "runs trained at the same time on the CPU (default: one per core); a GPU trains one",
      parseCount("--slots", MAX_SLOTS),
    )
    .option("--threads <n>", "threads per slot", parseCount("--threads"), 1)
    .option(
      "--trainer <name>",
      'who trains; may be given several times. musweep: embedded, needs nothing else; torch: the same in PyTorch, on GPUs too; name="command": a program that speaks the trainer protocol (default: musweep)',
      (name: string, before: string[] | undefined) => [...(before ?? []), name],
    )
    .option(
      "--trainers <file>",
      "registers trainers by name: command, devices, python (default: trainers.yaml in --dir); without --trainer all of them train",
    )
    .option("--python <path>", "for torch: a Python that has it (default: $MUSWEEP_PYTHON, .venv, python3)")
    .option(
      "--devices <list>",
      "for torch and your own: all, cpu, or cuda:0,cuda:1 (default of torch: all GPUs, else cpu; of your own: cpu)",
    )
    .option(
      "--checkpoint-seconds <n>",
      "time between checkpoints of a run",
      parseSeconds("--checkpoint-seconds"),
      60,
    )
    .option(
      "--silence-seconds <n>",
      "end a trainer that says nothing for so long",
      parseSeconds("--silence-seconds"),
      900,
    )
    .option(
      "--lock-seconds <n>",
      "how long a killed worker's runs stay locked",
      parseSeconds("--lock-seconds"),
      30,
    );

/** When a worker stops of itself, and how long it may take. */
export interface Limits {
  grace: number;
  untilEmpty: boolean;
  maxRuns: number;
  /** Unix time, milliseconds. */
  endsAt: number;
}

export const GRACE_SECONDS = 10;

export function workerConfig(
  state: StateDirectory,
  redisUrl: string,
  options: WorkerOptions,
  { trainers, cpu_slots }: Offer,
  alone: { givesBack: boolean; dataServer?: WorkerConfig["data_server"] } & Partial<Limits>,
): WorkerConfig {
  return {
    redis_url: redisUrl,
    trainers,
    cpu_slots,
    data_directory: state.data,
    data_server: alone.dataServer ?? null,
    checkpoint_directory: state.checkpoints,
    weights_directory: state.weights,
    checkpoint_seconds: options.checkpointSeconds,
    threads_per_slot: options.threads,
    silence_seconds: options.silenceSeconds,
    lock_seconds: options.lockSeconds,
    memory_bytes_per_slot: memoryBytesPerSlot(cpu_slots),
    gives_back: alone.givesBack,
    grace_seconds: alone.grace ?? GRACE_SECONDS,
    until_empty: alone.untilEmpty ?? false,
    max_runs: alone.maxRuns ?? null,
    ends_at: alone.endsAt ?? null,
    exit_with_stdin: true,
  };
}
