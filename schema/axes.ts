/**
 * Axes: the values over which a sweep varies a hyperparameter, as a value, a list, or a range; tied together in rows; or
 * drawn at random. Only shapes here; their meaning is in orchestrator/sweep/.
 */
import { z } from "zod";
import { HYPERPARAMETERS as h } from "./hyperparameters.ts";

/** Hyperparameters that are tuned: their optimum can be sought, and a phase can take it from an earlier one. */
export const TAKEN = ["learning_rate", "init_std", "alpha_input", "alpha_output"] as const;
export type TakenName = (typeof TAKEN)[number];

/** Points a range or a random draw may have at most; a sweep's total is limited when it is read. */
export const MAX_AXIS_POINTS = 100_000;

const exponents = z
  .strictObject({
    from: z.number().min(-1000).max(1000).describe("First exponent."),
    to: z.number().min(-1000).max(1000).describe("Last exponent, included when a step falls on it."),
    step: z.number().positive().default(1).describe("Distance of two exponents, octaves."),
  })
  .meta({ id: "exponents", description: "Exponents of two." });

const logRange = z.strictObject({ log2: exponents }).meta({
  id: "powers_of_two",
  description: "Exact powers of two: {log2: {from: -3, to: -1}} is 1/8, 1/4, 1/2.",
});
const multiples = z
  .strictObject({
    multiples_of: z.number().positive().describe("The value at exponent 0."),
    log2: exponents,
  })
  .meta({
    id: "multiples_of",
    description: "One value times powers of two: {multiples_of: 1.62e-2, log2: {from: -3, to: 3}}.",
  });
const linearRange = z
  .strictObject({
    linear: z.strictObject({
      from: z.number(),
      to: z.number().describe("Included when a step falls on it."),
      step: z.number().positive(),
    }),
  })
  .meta({ id: "linear", description: "Evenly spaced values." });
const seedCount = z
  .strictObject({
    count: z.int().positive().max(10_000).describe("How many seeds."),
    first: z.int().nonnegative().default(1).describe("The first of them."),
  })
  .describe("Consecutive seeds: {count: 3} is 1, 2, 3.");

const rangeSchema = z.union([logRange, multiples, linearRange]);
export type Range = z.output<typeof rangeSchema> | z.output<typeof seedCount>;

const list = <T extends z.ZodType>(value: T) => z.array(value).min(1);
const choices = <T extends z.ZodType>(value: T) =>
  z.union([value, list(value)]).describe(`${value.description}\n\nOne value or a list.`);
const numbers = <T extends z.ZodType>(value: T) =>
  z
    .union([value, list(value), ...rangeSchema.options])
    .describe(`${value.description}\n\nOne value, a list, or a range.`);

/** What an earlier phase found, times some factors; `multiples` has its default where the axes are read. */
const takenSchema = z
  .strictObject({
    from: z.string().describe("Name of the earlier phase."),
    at: z
      .strictObject(h)
      .partial()
      .prefault({})
      .describe(
        "Which of its curves, such as {sparsity: 0}. The parameterization is the same one unless given here. Default {}: there is only one.",
      ),
    multiples: list(z.number().positive())
      .optional()
      .describe(
        "The value found is multiplied by each of these. Default [0.5, 1, 2] for learning_rate, and [1] for the others.",
      ),
  })
  .meta({
    id: "taken",
    description:
      "From an earlier phase, per parameterization: {from: proxy, at: {sparsity: 0}, multiples: [0.5, 1, 2]}.",
  });
export type Taken = z.output<typeof takenSchema>;
const takeable = <T extends z.ZodType>(value: T) =>
  z
    .union([value, list(value), ...rangeSchema.options, takenSchema])
    .describe(`${value.description}\n\nOne value, a list, a range, or what an earlier phase found.`);

export const axisShape = {
  parameterization: choices(h.parameterization),
  width: numbers(h.width),
  sparsity: numbers(h.sparsity),
  density: numbers(h.density),
  learning_rate: takeable(h.learning_rate),
  seed: z
    .union([list(h.seed), seedCount], {
      error: "a list of seeds such as [1, 2], or {count: 3} for three of them",
    })
    .describe(`${h.seed.description}\n\nA list, or {count: 3} for three seeds.`),
  init_std: takeable(h.init_std),
  alpha_input: takeable(h.alpha_input),
  alpha_output: takeable(h.alpha_output),
  weight_decay: numbers(h.weight_decay),
  decay_mode: choices(h.decay_mode),
  layers: numbers(h.layers),
  d_head: numbers(h.d_head),
  ffn_width: numbers(h.ffn_width),
  sequence_length: numbers(h.sequence_length),
  norm: choices(h.norm),
  norm_eps: numbers(h.norm_eps),
  positions: choices(h.positions),
  tied_embeddings: choices(h.tied_embeddings),
  mask: choices(h.mask),
  steps: numbers(h.steps),
  tokens: numbers(h.tokens),
  batch_size: numbers(h.batch_size),
  warmup_steps: numbers(h.warmup_steps),
  warmup_fraction: numbers(h.warmup_fraction),
  schedule: choices(h.schedule),
  final_fraction: numbers(h.final_fraction),
  beta1: numbers(h.beta1),
  beta2: numbers(h.beta2),
  eps: numbers(h.eps),
  clip_norm: numbers(h.clip_norm),
  base_width: numbers(h.base_width),
};

const bounds = z.strictObject({ from: z.number(), to: z.number() });
const positiveBounds = z.strictObject({ from: z.number().positive(), to: z.number().positive() });
const uniform = z
  .strictObject({ uniform: bounds })
  .meta({ id: "uniform", description: "Every value between from and to equally likely." });
const logUniform = z
  .strictObject({ log_uniform: positiveBounds })
  .meta({ id: "log_uniform", description: "Every octave between from and to equally likely." });

const choice = <T extends z.ZodType>(value: T) =>
  z.strictObject({ choice: list(value) }).describe("Each listed value equally likely.");
const continuous = <T extends z.ZodType>(value: T) =>
  z.union([logUniform, uniform, choice(value)]).describe(`${value.description}

A distribution.`);

/** Real-valued hyperparameters have densities to draw from; the rest are drawn from a list. */
const distributionShape = {
  parameterization: choice(h.parameterization),
  width: choice(h.width),
  sparsity: continuous(h.sparsity),
  density: continuous(h.density),
  learning_rate: continuous(h.learning_rate),
  seed: choice(h.seed),
  init_std: continuous(h.init_std),
  alpha_input: continuous(h.alpha_input),
  alpha_output: continuous(h.alpha_output),
  weight_decay: continuous(h.weight_decay),
  decay_mode: choice(h.decay_mode),
  layers: choice(h.layers),
  d_head: choice(h.d_head),
  ffn_width: choice(h.ffn_width),
  sequence_length: choice(h.sequence_length),
  norm: choice(h.norm),
  norm_eps: continuous(h.norm_eps),
  positions: choice(h.positions),
  tied_embeddings: choice(h.tied_embeddings),
  mask: choice(h.mask),
  steps: choice(h.steps),
  tokens: choice(h.tokens),
  batch_size: choice(h.batch_size),
  warmup_steps: choice(h.warmup_steps),
  warmup_fraction: continuous(h.warmup_fraction),
  schedule: choice(h.schedule),
  final_fraction: continuous(h.final_fraction),
  beta1: continuous(h.beta1),
  beta2: continuous(h.beta2),
  eps: continuous(h.eps),
  clip_norm: continuous(h.clip_norm),
  base_width: choice(h.base_width),
};

const gridSchema = z
  .strictObject({
    ...z.strictObject(axisShape).partial().shape,
    together: z
      .array(z.strictObject(h).partial())
      .min(1)
      .optional()
      .describe(
        "Hyperparameters varied in step: a list of rows, each giving a value to the same names, such as {width: 768, sparsity: 0}, {width: 1088, sparsity: 0.5}.",
      ),
    random: z
      .strictObject({
        n: z.int().positive().max(MAX_AXIS_POINTS).describe("How many points are drawn."),
        seed: z
          .int()
          .nonnegative()
          .default(1)
          .describe("Of the drawing; the same seed gives the same points, and a larger n only adds points."),
        distributions: z
          .strictObject(distributionShape)
          .partial()
          .describe("Per hyperparameter: {log_uniform: {from, to}}, {uniform: {from, to}} or {choice: […]}."),
      })
      .optional()
      .describe("Points drawn at random; each is crossed with every other axis of the grid."),
  })
  .meta({ id: "grid", description: "One grid: every combination of its axes." });
export type GridFile = z.output<typeof gridSchema>;

export const axesSchema = z
  .union([gridSchema, z.array(gridSchema).min(1)], { error: "a map of axes, or a list of such maps" })
  .describe("What is varied: one grid, or a list of grids whose union is trained.");
export type Axes = z.output<typeof axesSchema>;
