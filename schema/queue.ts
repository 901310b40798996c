/**
 * What crosses Redis: names of keys, the job, and the events that workers report to the one collector.
 */
import { z } from "zod";
import { moduleSizeSchema } from "./coordinates.ts";

/** Kind of machine a run needs; one BullMQ queue each. */
export const CAPABILITIES = ["cpu", "cuda"] as const;
export type Capability = (typeof CAPABILITIES)[number];

export const queueName = (capability: Capability): string => `musweep-${capability}`;
/** Hash: job id → what the worker needs beside the job (see dispatchSchema). Jobs themselves stay small. */
export const DISPATCH_KEY = "musweep:dispatch";
/** Stream of worker events, trimmed by the collector once applied. */
export const EVENT_STREAM = "musweep:events";
/** Random id of the event stream: a new one means a new Redis, whose entry ids must not be compared with the old. */
export const STREAM_ID_KEY = "musweep:stream-id";
/** Pub/sub channel on which the orchestrator asks workers to cancel a run (message: run id). */
export const CANCEL_CHANNEL = "musweep:cancel";
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
/** How long the last heartbeat of a worker is kept; a worker that stops in order removes its own. */
export const HEARTBEAT_KEPT_MS = 3_600_000;
/** A worker that was not heard of for this long is lost: killed, or cut off from Redis. */
export const HEARTBEAT_LOST_MS = 20_000;

export const jobSchema = z.strictObject({
  run: z.string(),
  /** How many times the orchestrator has put this run on the queue. With the pick-up count it makes the attempt number. */
  dispatch: z.int().positive(),
});
export type Job = z.infer<typeof jobSchema>;

export const jobId = (run: string, dispatch: number): string => `${run}-${dispatch}`;

/**
 * The attempt number that fences writes: later pick-ups, and later dispatches above all, win.
 * @param pickups BullMQ's attemptsStarted, from 1
 */
export const attemptNumber = (dispatch: number, pickups: number): number =>
  dispatch * 1000 + Math.min(pickups, 999);

/** The dispatch that an attempt number belongs to. */
export const dispatchOf = (attempt: number): number => Math.floor(attempt / 1000);

export const dispatchSchema = z.strictObject({
  plan: z.string(),
  keep_weights: z.boolean(),
});
export type Dispatch = z.infer<typeof dispatchSchema>;

const shortText = z.string().max(500);

export const heartbeatSchema = z.strictObject({
  worker: shortText,
  host: shortText,
  pid: z.int(),
  capability: z.enum(CAPABILITIES),
  slots: z.int().positive(),
  /** What it trains with: onnx, or the command of another trainer. */
  engine: shortText,
  version: shortText,
  /** Unix time, milliseconds, at the worker; no later than a Date can hold. */
  started_at: z.int().nonnegative().max(8.64e15),
  /** One per busy slot. */
  running: z
    .array(
      z.strictObject({
        run: shortText,
        step: z.int().nonnegative(),
        steps: z.int().positive(),
        tokens_per_second: z.number().nonnegative(),
      }),
    )
    .max(10_000),
});
export type Heartbeat = z.infer<typeof heartbeatSchema>;

const metricPoint = z.strictObject({
  step: z.int(),
  train_loss: z.number().nullable(),
  validation_loss: z.number().nullable(),
  gradient_norm: z.number().nullable(),
  tokens_per_second: z.number().nullable(),
});
export type MetricPoint = z.infer<typeof metricPoint>;

const workerEventBody = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("claimed") }),
  z.strictObject({
    type: z.literal("started"),
    engine: z.string(),
    engine_version: z.string(),
    device: z.string(),
    resumed_from_step: z.int(),
    parameters: z.int(),
    nonzero_parameters: z.int(),
    notes: z.array(z.string()),
  }),
  z.strictObject({ type: z.literal("metrics"), points: z.array(metricPoint) }),
  z.strictObject({ type: z.literal("coordinates"), step: z.int(), modules: z.array(moduleSizeSchema) }),
  z.strictObject({ type: z.literal("checkpoint"), step: z.int(), path: z.string() }),
  z.strictObject({
    type: z.literal("finished"),
    step: z.int(),
    train_loss: z.number(),
    validation_loss: z.number().positive(),
    tokens: z.int(),
    flops: z.number(),
    seconds: z.number(),
    weights_path: z.string().nullable(),
    log_tail: z.string(),
  }),
  z.strictObject({
    type: z.literal("diverged"),
    step: z.int(),
    last_finite_loss: z.number().nullable(),
    reason: z.enum(["non-finite", "above-initial"]),
    tokens: z.int(),
    flops: z.number(),
    seconds: z.number(),
    log_tail: z.string(),
  }),
  z.strictObject({
    type: z.literal("failed"),
    code: z.string(),
    message: z.string(),
    /** No further attempt follows by itself. */
    final: z.boolean(),
    log_tail: z.string(),
  }),
  /** Given back unfinished because the worker is stopping (reason shutdown) or the run was cancelled. */
  z.strictObject({
    type: z.literal("released"),
    step: z.int(),
    reason: z.enum(["shutdown", "cancelled"]),
    checkpoint: z.string().nullable(),
  }),
]);
export type WorkerEventBody = z.infer<typeof workerEventBody>;

export const workerEventSchema = z.strictObject({
  run: z.string(),
  attempt: z.int().positive(),
  /** Random per attempt: tells apart two workers that, after Redis lost its state, count to the same attempt number. */
  token: z.string(),
  /** From 1 within the attempt; an event is applied once. */
  sequence: z.int().positive(),
  /** Unix time, milliseconds, at the worker. */
  at: z.number(),
  worker: z.string(),
  host: z.string(),
  body: workerEventBody,
});
export type WorkerEvent = z.infer<typeof workerEventSchema>;
