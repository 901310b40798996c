/**
 * Every hyperparameter a sweep file can set and vary: its values, its unit, its reason. One table, from which the sections
 * of the file, the axes, the coordinates of a run and the editor's help all take their shape.
 */
import { z } from "zod";

const positive = z.number().positive();
const count = z.int().positive();

export const PARAMETERIZATIONS = ["sp", "mup", "supar", "supar-init-only", "supar-lr-only"] as const;
export type Parameterization = (typeof PARAMETERIZATIONS)[number];

const DECAY_MODES = ["none", "constant", "independent"] as const;

/**
 * Values tuned on a dense proxy of width 256 by a random search of 350 configurations (arXiv 2405.15743, table 3), and the
 * 0.02 the paper gives SP.
 */
export const PAPER = {
  init_std: 0.08665602,
  init_std_sp: 0.02,
  learning_rate: 1.62e-2,
  alpha_input: 9.1705,
  alpha_output: 1.0951835,
  base_width: 256,
} as const;

export const HYPERPARAMETERS = {
  parameterization: z
    .enum(PARAMETERIZATIONS)
    .describe(
      "How initial weights and learning rates follow width and density: sp (standard), mup (corrects for width), supar (for width and density), or one of supar's two corrections alone.",
    ),
  width: count.describe("d_model, the width of the residual stream. Divisible by d_head."),
  sparsity: z
    .number()
    .min(0)
    .lt(1)
    .describe(
      "Fraction of the weights absent from every attention and feed-forward matrix. Embeddings and norms stay dense.",
    ),
  density: z
    .number()
    .gt(0)
    .max(1)
    .describe("1 − sparsity: the fraction of weights present. {log2: {from: -7, to: 0}} gives 1/128 … 1."),
  learning_rate: positive.describe(
    "Base learning rate η: the schedule's peak, before the multipliers of the parameterization.",
  ),
  seed: z
    .int()
    .nonnegative()
    .max(0xffffffff)
    .describe("Keys every random draw: initial weights, masks, order of the data."),
  init_std: positive.describe(
    "Base standard deviation σ of the normal initial weights, before the multipliers of the parameterization.",
  ),
  alpha_input: positive.describe("Multiplier α_in of the embedding's output. Unused by sp, where it is 1."),
  alpha_output: positive.describe("Multiplier α_out of the logits. Unused by sp, where it is 1."),
  weight_decay: z.number().nonnegative().describe("AdamW's λ. Above 0 it needs a decay_mode."),
  decay_mode: z
    .enum(DECAY_MODES)
    .describe(
      "What λ multiplies, per step: constant: the tensor's own learning rate (after its multiplier); independent: the base learning rate, so that decay does not depend on width or density; none: no decay. Norm gains never decay.",
    ),
  layers: count.describe("Transformer blocks."),
  d_head: count.describe("Width of one attention head."),
  ffn_width: count.describe("Hidden width of the feed-forward block."),
  sequence_length: count.describe("Context length, tokens."),
  norm: z.enum(["rmsnorm", "layernorm"]).describe("Normalization before each block and before the logits."),
  norm_eps: positive.describe("Added to the variance inside the norm."),
  positions: z.enum(["alibi", "none"]).describe("Positional information: linear attention biases, or none."),
  tied_embeddings: z.boolean().describe("The logits reuse the embedding's matrix."),
  mask: z
    .enum(["exact", "bernoulli"])
    .describe(
      "exact: every matrix keeps the nearest integer to density × size; bernoulli: each weight is kept with probability density.",
    ),
  steps: count.describe("Optimizer steps."),
  tokens: count.describe("Training tokens; rounded up to whole steps."),
  batch_size: count.describe("Sequences per optimizer step."),
  warmup_steps: z.int().nonnegative().describe("Steps of linear warm-up from 0 to the peak."),
  warmup_fraction: z
    .number()
    .min(0)
    .lt(1)
    .describe("Warm-up as a fraction of the run's steps, rounded down to whole steps."),
  schedule: z
    .enum(["linear", "cosine", "constant"])
    .describe("How the learning rate goes from its peak to final_fraction of it after warm-up."),
  final_fraction: z
    .number()
    .min(0)
    .max(1)
    .describe("Learning rate at the last step, as a fraction of the peak."),
  beta1: z.number().min(0).lt(1).describe("AdamW's decay rate of the first moment."),
  beta2: z.number().min(0).lt(1).describe("AdamW's decay rate of the second moment."),
  eps: positive.describe("AdamW's ε. Not scaled with width or density."),
  clip_norm: positive
    .nullable()
    .describe("Largest global gradient norm, over the weights that exist; null: no clipping."),
  base_width: count.describe("Width of the proxy model, at which learning_rate and init_std hold unchanged."),
} as const;

export type HyperparameterName = keyof typeof HYPERPARAMETERS;
export const HYPERPARAMETER_NAMES = Object.keys(HYPERPARAMETERS) as HyperparameterName[];
export type Hyperparameters = { [K in HyperparameterName]: z.output<(typeof HYPERPARAMETERS)[K]> };
