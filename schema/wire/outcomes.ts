/**
 * What a trainer says of a run and a worker passes on: the fields that a message of the trainer protocol (protocol.ts) and the
 * event that the collector gets (events.ts) share.
 */
import { z } from "zod";
import { moduleSizeSchema } from "./coordinates.ts";

/** Why a run is called diverged. */
export const DIVERGENCE_REASONS = ["non-finite", "above-initial"] as const;

const step = z.int().nonnegative();
const count = z.int().nonnegative();
/** No float32 is larger: what is comes from no trainer. */
const MAX_FLOAT32 = 3.4028235e38;
export const finite = z.number().min(-MAX_FLOAT32).max(MAX_FLOAT32);
/** Tokens per second; no machine trains faster. */
export const speed = z.number().nonnegative().max(1e12);
const seconds = z.number().nonnegative();

/** Numbers that a trainer reports beside its losses are named as it likes, within reason. */
export const ownMetricName = z.string().regex(/^[\w./@%-]{1,64}$/);
/** Of a run. */
export const MAX_OWN_METRICS = 16;
/** By name: accuracy, perplexity, … */
export const ownMetricsSchema = z.record(ownMetricName, finite);

export const startedFields = {
  /** Steps already done by the checkpoint that was resumed; 0 from scratch. */
  resumed_from_step: step,
  parameters: count,
  /** Parameters that exist under the masks. */
  nonzero_parameters: count,
  /** For the attempt's record, such as a damaged checkpoint that was passed over. */
  notes: z.array(z.string().max(10_000)).max(100),
};

/** After `step` updates, 0: of the initial network. Only where the plan asks for coordinates. */
export const coordinatesFields = { step, modules: z.array(moduleSizeSchema).max(100_000) };

export const checkpointFields = { step, path: z.string().max(4096) };

export const finishedFields = {
  step,
  train_loss: finite,
  /** A cross-entropy: above 0. */
  validation_loss: finite.positive(),
  tokens: count,
  /** Floating-point operations of the whole run, dense count: 6 per parameter and token, plus attention. */
  flops: z.number().nonnegative(),
  /** Wall-clock seconds of training and evaluation over all attempts that this one continues. */
  seconds,
  weights_path: z.string().max(4096).nullable(),
};

export const divergedFields = {
  step,
  last_finite_loss: finite.nullable(),
  reason: z.enum(DIVERGENCE_REASONS),
  tokens: count,
  flops: z.number().nonnegative(),
  seconds,
};
