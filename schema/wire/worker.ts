/** A worker as others see it: what its process is told when it starts, its name, its heartbeat. */
import { z } from "zod";
import { type DeviceKind, ENGINES, needSchema } from "./need.ts";
import { speed } from "./outcomes.ts";
import { runIdSchema, trainerNameSchema } from "./plan.ts";

/** As PyTorch calls it. */
export const deviceSchema = z.string().regex(/^(cpu|cuda:\d+)$/);

export const kindOfDevice = (device: string): DeviceKind => (device === "cpu" ? "cpu" : "cuda");

/** A trainer that this host offers. How it is started comes from the host's own command line only, never from a job. */
const offeredTrainerSchema = z.strictObject({
  /** As sweeps name it. */
  name: trainerNameSchema,
  /** Of the trainer that ships: which of its engines. */
  engine: z.enum(ENGINES).nullable(),
  /** The embedded engine; the path of a Python that has PyTorch; or a command line. */
  start: z.union([
    z.literal("embedded"),
    z.strictObject({ python: z.string().min(1) }),
    z.strictObject({ command: z.array(z.string()).min(1) }),
  ]),
  /** What it trains on. */
  devices: z.array(deviceSchema).min(1),
});
export type OfferedTrainer = z.infer<typeof offeredTrainerSchema>;
/** What is left of a worker's grace when its trainers are ended: to say so, and to leave. */
export const LEAVING_SECONDS = 4;
export const MIN_GRACE_SECONDS = LEAVING_SECONDS + 1;

/** How a worker process ends that has given up waiting for its Redis. */
export const EXIT_WITHOUT_REDIS = 5;
/** How one ends none of whose trainers of a kind has ever been ready: its runs are given back. */
export const EXIT_WITHOUT_TRAINER = 6;

/** What a worker process is told: one JSON object, the first line of its standard input. */
export const workerConfigSchema = z.strictObject({
  redis_url: z.string(),
  /** A run that several of them can train goes to the first. */
  trainers: z.array(offeredTrainerSchema).min(1),
  /** Runs at once on the CPU, where a trainer has it; each GPU trains one. */
  cpu_slots: z.int().positive(),
  /** Where tokenized data sets lie (schema/wire/data.ts). */
  data_directory: z.string(),
  /** `serve`, which sends data sets that this host lacks, and its token; null: they are to be here. */
  data_server: z.strictObject({ url: z.string(), token: z.string().nullable() }).nullable(),
  /** Checkpoints, one folder per run. Workers that share it resume each other's runs. */
  checkpoint_directory: z.string(),
  weights_directory: z.string(),
  checkpoint_seconds: z.number().positive(),
  threads_per_slot: z.int().positive(),
  /** A trainer that says nothing for this long is ended and its attempt fails. */
  silence_seconds: z.number().positive(),
  /** How long a dead worker's runs stay locked; a live worker renews well before. */
  lock_seconds: z.number().positive(),
  /** Per slot on the CPU; a run estimated to need more is refused. Null: no limit. What counts on a GPU is its own memory. */
  memory_bytes_per_slot: z.number().positive().nullable(),
  /** Whether runs that this worker cannot train are left to others; else they fail: there are no others. */
  gives_back: z.boolean(),
  /** Seconds from being asked to stop to its end: runs are checkpointed in that time, or go on from their last checkpoints. */
  grace_seconds: z.number().min(MIN_GRACE_SECONDS),
  /** Stop when nothing waits any more. */
  until_empty: z.boolean(),
  /** Stop after so many runs; null: no limit. */
  max_runs: z.int().positive().nullable(),
  /** Unix time, milliseconds, by which this process has to be gone; null: none. */
  ends_at: z.number().positive().nullable(),
  /** Shut down when standard input ends: set by a parent that must not be outlived. */
  exit_with_stdin: z.boolean(),
});
export type WorkerConfig = z.infer<typeof workerConfigSchema>;

/** Runs that the worker trains at once, by what on: "cpu" once for each slot there, and each GPU once. */
export function slotsOf({ trainers, cpu_slots }: Pick<WorkerConfig, "trainers" | "cpu_slots">): string[] {
  const devices = [...new Set(trainers.flatMap((trainer) => trainer.devices))];
  return devices.flatMap((device) =>
    device === "cpu" ? Array.from({ length: cpu_slots }, () => device) : device,
  );
}

/** Set of the names of workers that have a heartbeat. */
export const WORKERS_KEY = "musweep:workers";
/** A worker's heartbeat as JSON. The key's time to live says how old it is, whatever the clocks of the hosts say. */
export const workerKey = (worker: string): string => `musweep:worker:${worker}`;
/** A worker's name says which process of which host it is; the last part tells it from an earlier one with the same id. */
export const workerName = (host: string, pid: number, unique: string): string => `${host}-${pid}-${unique}`;
/** The process id in a worker's name; undefined in one that is not made as above. */
export function processOfWorker(name: string): number | undefined {
  const pid = /-(\d+)-[^-]+$/.exec(name)?.[1];
  return pid === undefined ? undefined : Number(pid);
}
/** The host in a worker's name; undefined in one that is not made as above. */
export const hostOfWorker = (name: string): string | undefined => /^(.+)-\d+-[^-]+$/.exec(name)?.[1];
/** How often a worker says that it is there. */
export const HEARTBEAT_MS = 2000;
/** How long the last heartbeat of a worker is kept; a worker that stops in order removes its own. */
export const HEARTBEAT_KEPT_MS = 3_600_000;
/** A worker that was not heard of for this long is lost: killed, halted, or cut off from Redis. Its runs go to others. */
export const HEARTBEAT_LOST_MS = 7000;

/** Of what a worker says of itself. */
export const SHORT_CHARACTERS = 500;
const shortText = z.string().max(SHORT_CHARACTERS);
/** Kinds of runs that a worker says it cannot train. */
export const MAX_INABILITIES = 50;

/** Runs that a worker gives back, because its host or its trainer cannot train them. */
const inabilitySchema = z.strictObject({
  /** "data set 1a2b…", "models of width 4096, …", a run's id, or "anything". */
  what: shortText,
  /** data-missing, memory, version, … */
  code: shortText,
  why: shortText,
});
export type Inability = z.infer<typeof inabilitySchema>;
/** More than any machine has cores. */
export const MAX_SLOTS = 1024;
/** More than anybody offers. */
const MAX_NEEDS = 200;
/** Of a heartbeat with all of them busy, and as many inabilities as there may be. */
export const MAX_HEARTBEAT_BYTES = 256 << 10;

export const heartbeatSchema = z.strictObject({
  worker: shortText,
  host: shortText,
  pid: z.int().positive(),
  /** The needs that it meets, whose queues it reads. */
  needs: z.array(needSchema.max(100)).min(1).max(MAX_NEEDS),
  slots: z.int().positive().max(MAX_SLOTS),
  /** What it trains with: musweep, or the command of another trainer. */
  engine: shortText,
  version: shortText,
  /** Unix time, milliseconds, at the worker; before the year 2100. */
  started_at: z.int().nonnegative().max(Date.UTC(2100, 0)),
  /** One per busy slot. */
  running: z
    .array(
      z.strictObject({
        run: runIdSchema,
        step: z.int().nonnegative(),
        steps: z.int().positive(),
        tokens_per_second: speed,
      }),
    )
    .max(MAX_SLOTS),
  unable: z.array(inabilitySchema).max(MAX_INABILITIES),
});
export type Heartbeat = z.infer<typeof heartbeatSchema>;
