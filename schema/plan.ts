/**
 * The plan: everything a trainer has to know about one run, as explicit numbers. A trainer knows no parameterization; it
 * applies these init standard deviations, learning rates, decays, densities and multipliers as they are.
 *
 * A run's id is the hash of its plan, so two grid points that mean the same training (SμPar and μP at density 1) are one
 * run, trained once.
 */
import { createHash } from "node:crypto";
import { configure } from "safe-stable-stringify";
import { z } from "zod";

const positive = z.number().positive();
const count = z.int().positive();

/** Every parameter tensor of the model belongs to exactly one of these groups. */
const TENSOR_GROUPS = [
  "embedding",
  "attention_norm",
  "attention_query",
  "attention_key",
  "attention_value",
  "attention_output",
  "ffn_norm",
  "ffn_gate",
  "ffn_up",
  "ffn_down",
  "final_norm",
  "unembedding",
] as const;
export type TensorGroup = (typeof TENSOR_GROUPS)[number];

const groupSchema = z.strictObject({
  name: z.enum(TENSOR_GROUPS),
  /** Inputs of each neuron. Matrices are stored [fan_in, fan_out] and used as x·W; the embedding and unembedding [vocab_size, d_model]. */
  fan_in: count,
  fan_out: count,
  /** Standard deviation of the normal initial weights. Norm gains start at 1 and have null here. */
  init_std: z.number().nonnegative().nullable(),
  /** Peak learning rate, every multiplier applied; the schedule's factor multiplies it. */
  learning_rate: positive,
  /** Fraction of the weight removed per step at the schedule's peak; the schedule's factor multiplies it. */
  decay_per_step: z.number().nonnegative(),
  /** Fraction of weights that exist; 1 means no mask. */
  density: z.number().gt(0).max(1),
});
export type PlanGroup = z.infer<typeof groupSchema>;

export const planSchema = z.strictObject({
  version: z.literal(1),
  /** Keys every random draw: initial weights, masks, data order. */
  seed: z.int().nonnegative().max(0xffffffff),
  data: z.strictObject({
    /** Content hash of the tokenized data set; the trainer finds it as <data directory>/<hash>/. */
    hash: z.string().regex(/^[0-9a-f]{16,64}$/),
    vocab_size: count,
  }),
  shape: z.strictObject({
    layers: count,
    d_model: count,
    d_head: count,
    d_ffn: count,
    sequence_length: count,
    norm: z.enum(["rmsnorm", "layernorm"]),
    norm_eps: positive,
    positions: z.enum(["alibi", "none"]),
    tied_embeddings: z.boolean(),
  }),
  forward: z.strictObject({
    /** x = embedding_multiplier · W_emb[token] */
    embedding_multiplier: positive,
    /** softmax(attention_scale · q·k + bias) */
    attention_scale: positive,
    /** logits = logits_multiplier · x W_unembᵀ */
    logits_multiplier: positive,
  }),
  groups: z.array(groupSchema),
  /** exact: round(density · fan_in · fan_out) weights of each matrix; bernoulli: each weight with probability density. */
  mask: z.enum(["exact", "bernoulli"]),
  optimizer: z.strictObject({
    name: z.literal("adamw"),
    beta1: z.number().min(0).lt(1),
    beta2: z.number().min(0).lt(1),
    eps: positive,
  }),
  /** Global-norm gradient clip over the unmasked gradient entries; null for none. */
  clip_norm: positive.nullable(),
  schedule: z.strictObject({
    warmup_steps: z.int().nonnegative(),
    decay: z.enum(["linear", "cosine", "constant"]),
    /** Factor at the last step, as a fraction of the peak. */
    final_fraction: z.number().min(0).max(1),
  }),
  steps: count,
  /** Sequences per optimizer step. */
  batch_size: count,
  /** Sequences per forward and backward pass; null lets the engine choose. Divides batch_size. */
  micro_batch_size: count.nullable(),
  evaluation: z.strictObject({
    /** Validation loss every so many steps, and always after the last; null: only after the last. */
    every_steps: count.nullable(),
    /** Validation sequences, evenly spaced over the held-out split. */
    sequences: count,
  }),
  divergence: z.strictObject({
    /** Training loss above its value at step 1 for this many steps in a row ends the run as diverged. */
    patience_steps: count,
  }),
  /** Sizes of activations on the evaluation sequences, before and after each of the first `steps` updates; absent: none. */
  coordinates: z.strictObject({ steps: count }).optional(),
});
export type Plan = z.infer<typeof planSchema>;

const sorted = configure({ circularValue: TypeError });

/** JSON with sorted keys: equal values give equal text, whatever order they were built in. */
export const canonicalJson = (value: unknown): string => sorted(value)!;

/** The run's id: "r" and 20 hex digits of SHA-256 over the plan. The letter keeps it from being a number to the queue. */
export function runIdOf(plan: Plan): string {
  return `r${createHash("sha256").update(canonicalJson(plan)).digest("hex").slice(0, 20)}`;
}
