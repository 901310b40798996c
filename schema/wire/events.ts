/** What workers report to the one collector, through a Redis stream. */
import { z } from "zod";
import {
  checkpointFields,
  coordinatesFields,
  divergedFields,
  finishedFields,
  finite,
  MAX_OWN_METRICS,
  ownMetricsSchema,
  startedFields,
} from "./outcomes.ts";
import { runIdSchema } from "./plan.ts";

/** Stream of worker events, trimmed by the collector once applied. */
export const EVENT_STREAM = "musweep:events";
/** Random id of the event stream: a new one means a new Redis, whose entry ids must not be compared with the old. */
export const STREAM_ID_KEY = "musweep:stream-id";

/** As JSON; the longest that a program of ours writes, a thousand points with metrics of a script's own, is shorter. */
export const MAX_EVENT_BYTES = 1 << 22;

/** What a worker says of itself or its trainer, in a few words. */
const shortText = z.string().max(500);
/** Longer than anybody reads is cut, not refused. */
const longText = z.string().transform((text) => text.slice(-20_000));

/** What a script reports beside its losses. */
const ownMetrics = ownMetricsSchema
  .refine((values) => Object.keys(values).length <= MAX_OWN_METRICS, {
    error: `expected at most ${MAX_OWN_METRICS} metrics`,
  })
  .optional();

const metricPoint = z.strictObject({
  step: z.int().nonnegative(),
  train_loss: finite.nullable(),
  validation_loss: finite.nullable(),
  gradient_norm: finite.nonnegative().nullable(),
  tokens_per_second: finite.nonnegative().nullable(),
  own_metrics: ownMetrics,
});
export type MetricPoint = z.infer<typeof metricPoint>;

const workerEventBody = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("claimed") }),
  z.strictObject({
    type: z.literal("started"),
    engine: shortText,
    engine_version: shortText,
    device: shortText,
    ...startedFields,
  }),
  z.strictObject({ type: z.literal("metrics"), points: z.array(metricPoint).max(10_000) }),
  z.strictObject({ type: z.literal("coordinates"), ...coordinatesFields }),
  z.strictObject({ type: z.literal("checkpoint"), ...checkpointFields }),
  z.strictObject({
    type: z.literal("finished"),
    ...finishedFields,
    /** The last value of each. */
    own_metrics: ownMetrics,
    log_tail: longText,
  }),
  z.strictObject({
    type: z.literal("diverged"),
    ...divergedFields,
    own_metrics: ownMetrics,
    log_tail: longText,
  }),
  z.strictObject({
    type: z.literal("failed"),
    code: shortText,
    message: longText,
    /** No further attempt follows by itself. */
    final: z.boolean(),
    log_tail: longText,
  }),
  /** Given back unfinished because the worker is stopping (reason shutdown), cannot train it (unable), or it was cancelled. */
  z.strictObject({
    type: z.literal("released"),
    step: z.int().nonnegative(),
    reason: z.enum(["shutdown", "unable", "cancelled"]),
    checkpoint: z.string().max(4096).nullable(),
    /** Of reason unable: what the worker lacks. */
    inability: z.strictObject({ code: shortText, message: longText, log_tail: longText }).optional(),
  }),
]);
export type WorkerEventBody = z.infer<typeof workerEventBody>;

export const workerEventSchema = z.strictObject({
  run: runIdSchema,
  attempt: z.int().positive(),
  /** Random per attempt: tells apart two workers that, after Redis lost its state, count to the same attempt number. */
  token: shortText,
  /** From 1 within the attempt; an event is applied once. */
  sequence: z.int().positive(),
  /** Unix time, milliseconds, at the worker. */
  at: z.number().nonnegative().max(8.64e15),
  worker: shortText,
  host: shortText,
  body: workerEventBody,
});
export type WorkerEvent = z.infer<typeof workerEventSchema>;
