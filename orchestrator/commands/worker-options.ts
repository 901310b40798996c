/** The options of a worker, shared by `worker` and `run`, and the configuration they make. */
import { type Command, Option } from "commander";
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

const OPTIONS: Record<keyof WorkerOptions, () => Option> = {
  slots: () =>
    new Option(
      "--slots <n>",
      "runs trained at the same time on the CPU (default: one per core); a GPU trains one",
    ).argParser(parseCount("--slots", MAX_SLOTS)),
  threads: () =>
    new Option("--threads <n>", "threads per slot").argParser(parseCount("--threads")).default(1),
  trainer: () =>
    new Option(
      "--trainer <name>",
      'who trains; may be given several times. musweep: embedded, needs nothing else; torch: the same in PyTorch, on GPUs too; name="command": a program that speaks the trainer protocol (default: musweep)',
    ).argParser((name: string, before: string[] | undefined) => [...(before ?? []), name]),
  trainers: () =>
    new Option(
      "--trainers <file>",
      "registers trainers by name: command, devices, python (default: trainers.yaml in --dir); without --trainer all of them train",
    ),
  python: () =>
    new Option(
      "--python <path>",
      "for torch: a Python that has it (default: $MUSWEEP_PYTHON, .venv, python3)",
    ),
  devices: () =>
    new Option(
      "--devices <list>",
      "for torch and your own: all, cpu, or cuda:0,cuda:1 (default of torch: all GPUs, else cpu; of your own: cpu)",
    ),
  checkpointSeconds: () =>
    new Option("--checkpoint-seconds <n>", "time between checkpoints of a run")
      .argParser(parseSeconds("--checkpoint-seconds"))
      .default(60),
  silenceSeconds: () =>
    new Option("--silence-seconds <n>", "end a trainer that says nothing for so long")
      .argParser(parseSeconds("--silence-seconds"))
      .default(900),
  lockSeconds: () =>
    new Option("--lock-seconds <n>", "how long a killed worker's runs stay locked")
      .argParser(parseSeconds("--lock-seconds"))
      .default(30),
};

/** @param unused taken all the same, so that the options of a `run` can be given, but not in --help */
export function workerOptions(command: Command, unused: readonly (keyof WorkerOptions)[] = []): Command {
  for (const [name, option] of Object.entries(OPTIONS))
    command.addOption(option().hideHelp(unused.some((hidden) => hidden === name)));
  return command;
}

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
