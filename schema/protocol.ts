/**
 * The trainer protocol, version 1: JSON lines between the worker and a trainer process. Prose in docs/trainer-protocol.md.
 *
 * The worker writes commands on the trainer's stdin; the trainer writes events on its stdout, and free text on stderr
 * (kept as the attempt's log tail). A trainer runs one run at a time, stays warm between runs, and exits when stdin closes.
 */
import { z } from "zod";
import { moduleSizeSchema } from "./coordinates.ts";
import { planSchema } from "./plan.ts";

export const PROTOCOL_VERSION = 1;
/** A line longer than this ends the trainer: it is not speaking the protocol. */
export const MAX_LINE_BYTES = 1 << 20;

const step = z.int().nonnegative();
const runId = z.string();

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
    /** Refuse a run estimated to need more than this; null: no limit. */
    memory_limit_bytes: z.number().positive().nullable(),
  }),
  /** Write a checkpoint if checkpoints are on, then answer `stopped`. */
  z.strictObject({ type: z.literal("stop"), run: runId }),
  /** Drop the run, then answer `stopped` with a null checkpoint. */
  z.strictObject({ type: z.literal("cancel"), run: runId }),
]);
export type TrainerCommand = z.infer<typeof commandSchema>;
export type RunCommand = Extract<TrainerCommand, { type: "run" }>;

const finite = z.number();

export const trainerEventSchema = z.discriminatedUnion("type", [
  /** First line of every trainer. */
  z.strictObject({
    type: z.literal("ready"),
    protocol: z.int(),
    engine: z.string(),
    engine_version: z.string(),
    device: z.string(),
  }),
  z.strictObject({
    type: z.literal("started"),
    run: runId,
    /** Steps already done by the checkpoint that was resumed; 0 from scratch. */
    resumed_from_step: step,
    parameters: z.int(),
    /** Parameters that exist under the masks. */
    nonzero_parameters: z.int(),
    estimated_memory_bytes: z.number(),
    /** For the attempt's record, such as a damaged checkpoint that was passed over. */
    notes: z.array(z.string()),
  }),
  z.strictObject({
    type: z.literal("step"),
    run: runId,
    step,
    /** Nats per token over this step's batch. */
    train_loss: finite,
    gradient_norm: finite.nullable(),
    tokens_per_second: finite,
  }),
  z.strictObject({
    type: z.literal("evaluation"),
    run: runId,
    step,
    /** Nats per token over the validation sequences; null when not finite. */
    validation_loss: finite.nullable(),
  }),
  /** After `step` updates, 0: of the initial network. Only where the plan asks for coordinates. */
  z.strictObject({
    type: z.literal("coordinates"),
    run: runId,
    step,
    modules: z.array(moduleSizeSchema),
  }),
  z.strictObject({
    type: z.literal("checkpoint"),
    run: runId,
    step,
    path: z.string(),
    bytes: z.int(),
  }),
  z.strictObject({
    type: z.literal("finished"),
    run: runId,
    step,
    train_loss: finite,
    /** A cross-entropy: above 0. */
    validation_loss: z.number().positive(),
    tokens: z.int(),
    /** Floating-point operations of the whole run, dense count: 6 per parameter and token, plus attention. */
    flops: finite,
    /** Wall-clock seconds of training and evaluation over all attempts that this one continues. */
    seconds: finite,
    weights_path: z.string().nullable(),
  }),
  z.strictObject({
    type: z.literal("diverged"),
    run: runId,
    step,
    last_finite_loss: finite.nullable(),
    reason: z.enum(["non-finite", "above-initial"]),
    tokens: z.int(),
    flops: finite,
    seconds: finite,
  }),
  z.strictObject({
    type: z.literal("stopped"),
    run: runId,
    step,
    checkpoint: z.string().nullable(),
  }),
  z.strictObject({
    type: z.literal("failed"),
    run: runId,
    /** Stable code: data-missing, data-mismatch, memory, unsupported, internal. */
    code: z.string(),
    message: z.string(),
    /** Whether trying again can help. */
    retryable: z.boolean(),
  }),
]);
export type TrainerEvent = z.infer<typeof trainerEventSchema>;
