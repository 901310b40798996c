/**
 * The trainer protocol, version 2; trainers of version 1, which know one run at a time, go on working: JSON lines between the worker and a trainer process. Prose in docs/trainer-protocol.md.
 *
 * The worker writes commands on the trainer's stdin; the trainer writes events on its stdout, and free text on stderr
 * (kept as the attempt's log tail). A trainer runs one run at a time, or several that are sent together, stays warm between them, and
 * exits when stdin closes.
 */
import { z } from "zod";
import {
  checkpointFields,
  coordinatesFields,
  divergedFields,
  finishedFields,
  finite,
  ownMetricsSchema,
  speed,
  startedFields,
} from "./outcomes.ts";
import { planSchema, type RunPlan } from "./plan.ts";

/** Versions that a worker understands. */
export const PROTOCOL_VERSIONS: readonly number[] = [1, 2];
/** Runs that a trainer may be sent together. */
const MOST_RUNS = 64;
/** A line longer than this ends the trainer: it is not speaking the protocol. */
export const MAX_LINE_BYTES = 1 << 20;

const step = z.int().nonnegative();
const runId = z.string();

/** Those of version 1, as the trainer that ships reads them: its plans are those of its own model. */
export const commandSchema = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("run"),
    run: runId,
    plan: planSchema,
    /** Directory that holds <data.hash>/meta.json, train.bin and validation.bin. */
    data_directory: z.string(),
    /** Where this run's checkpoints live; null: none are written or read. The newest valid one is resumed from. */
    checkpoint: z.strictObject({ directory: z.string(), every_seconds: z.number().positive() }).nullable(),
    /** Write the finished weights (safetensors) to this path; null: do not. */
    weights_path: z.string().nullable(),
    /** Report training loss every so many steps (and at the first and last). */
    report_every_steps: z.int().positive(),
    /** Refuse a run estimated to need more than this, or runs sent together that need it in all; null: no limit. */
    memory_limit_bytes: z.number().positive().nullable(),
  }),
  /** Write a checkpoint if checkpoints are on, then answer `stopped`. */
  z.strictObject({ type: z.literal("stop"), run: runId }),
  /** Drop the run, then answer `stopped` with a null checkpoint. */
  z.strictObject({ type: z.literal("cancel"), run: runId }),
]);
type ModelCommand = z.infer<typeof commandSchema>;
export type ModelRunCommand = Extract<ModelCommand, { type: "run" }>;
/** To any trainer. */
export type RunCommand = Omit<ModelRunCommand, "plan"> & { plan: RunPlan };
/** Version 2, to a trainer that says `most_runs`: runs of one shape (shape-key.ts), to be trained at once; each as if it were alone. */
interface CohortCommand {
  type: "cohort";
  runs: Omit<RunCommand, "type">[];
}
/** Version 2, between runs: how many runs of this plan's shape at once, at most `most`? Answered by `capacity`. */
interface CapacityCommand {
  type: "capacity";
  plan: RunPlan;
  most: number;
  memory_limit_bytes: number | null;
}
export type TrainerCommand =
  | RunCommand
  | CohortCommand
  | CapacityCommand
  | Exclude<ModelCommand, { type: "run" }>;

/** What else a trainer reports: the last of each is kept with the run. Never a reason to fail one. */
const ownMetrics = ownMetricsSchema.optional().catch(undefined);

const finiteOrNull = (value: number): number | null => finite.safeParse(value).data ?? null;

/** What a trainer calls itself, its device, a code: it stands in tables. */
const word = z.string().max(200);

/**
 * Fields beyond these are a trainer's own affair and are left out, as are events of other types: a newer trainer may say more than
 * a worker knows.
 */
export const trainerEventSchema = z.discriminatedUnion("type", [
  /** First line of every trainer. */
  z.object({
    type: z.literal("ready"),
    protocol: z.int(),
    engine: word,
    engine_version: word,
    device: word,
    /** It ends with its run: the next one starts it anew. */
    single_run: z.boolean().optional(),
    /** Runs of one shape that it may be sent together; absent, and in version 1: one. */
    most_runs: z.int().min(1).max(MOST_RUNS).optional(),
  }),
  /** Version 2: the answer to `capacity`. As many as fit, and as pay. */
  z.object({ type: z.literal("capacity"), runs: z.int().min(1).max(MOST_RUNS) }),
  z.object({
    type: z.literal("started"),
    run: runId,
    ...startedFields,
    estimated_memory_bytes: z.number(),
  }),
  z.object({
    type: z.literal("step"),
    run: runId,
    step,
    /** Over this step's batch; of the trainer that ships nats per token. */
    train_loss: finite,
    /** Null when not finite. What it cannot be is not known, which is never a reason to fail a run; so it is with the speed. */
    gradient_norm: finite.nonnegative().nullable().default(null).catch(null),
    tokens_per_second: speed.default(0).catch(0),
    metrics: ownMetrics,
  }),
  z.object({
    type: z.literal("evaluation"),
    run: runId,
    step,
    /** Over the validation data, likewise; null when not finite. */
    validation_loss: z.number().transform(finiteOrNull).nullable(),
    metrics: ownMetrics,
  }),
  z.object({ type: z.literal("coordinates"), run: runId, ...coordinatesFields }),
  z.object({ type: z.literal("checkpoint"), run: runId, ...checkpointFields, bytes: z.int() }),
  z.object({ type: z.literal("finished"), run: runId, ...finishedFields }),
  z.object({ type: z.literal("diverged"), run: runId, ...divergedFields }),
  z.object({
    type: z.literal("stopped"),
    run: runId,
    step,
    checkpoint: z.string().nullable(),
  }),
  z.object({
    type: z.literal("failed"),
    run: runId,
    /** Stable code: data-missing, data-mismatch, memory, unsupported, disk, internal. */
    code: word,
    message: z.string(),
    /** Whether trying again can help. */
    retryable: z.boolean(),
  }),
]);
export type TrainerEvent = z.infer<typeof trainerEventSchema>;

export const TRAINER_EVENTS: ReadonlySet<string> = new Set(
  trainerEventSchema.options.map((option) => option.shape.type.value),
);
