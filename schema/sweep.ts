/**
 * The sweep file: one schema, from which come its types, the messages about mistakes in it, and the JSON Schema that
 * editors use (sweep.schema.json). Prose and examples are in docs/sweep-file.md.
 *
 * A value that an axis sets in every grid need not be given in its section; what must then be somewhere is checked when the
 * file is read (orchestrator/sweep/), as are all rules that involve more than one field.
 */
import { z } from "zod";
import { type Axes, axesSchema, axisShape, TAKEN } from "./axes.ts";
import { HYPERPARAMETERS as h, PAPER } from "./hyperparameters.ts";

const CORPORA = ["state-of-the-union", "moby-dick"] as const;
const TOKENIZERS = ["bytes", "gpt2"] as const;
const OPTIMIZERS = ["adamw"] as const;
export type Optimizer = (typeof OPTIMIZERS)[number];

/** The same schema with a default that its description names. */
const withDefault = <T extends z.ZodType>(
  schema: T,
  value: z.util.NoUndefined<z.output<T>>,
  reason?: string,
) =>
  schema
    .default(value)
    .describe(
      `${schema.description} Default ${JSON.stringify(value)}${reason === undefined ? "" : `: ${reason}`}.`,
    );

const tokenizer = z
  .enum(TOKENIZERS)
  .default("bytes")
  .describe("bytes: 256 ids, one per byte (default); gpt2: GPT-2's 50,257 byte pairs.");
const validationFraction = z
  .number()
  .gt(0)
  .max(0.5)
  .default(0.05)
  .describe("Fraction of the tokens held out for the validation loss, never trained on. Default 0.05.");

export const dataSchema = z
  .union(
    [
      z
        .strictObject({
          corpus: z
            .enum(CORPORA)
            .describe(
              "Text that comes with musweep: 10.8 MB of State of the Union addresses, or 1.2 MB of Moby Dick.",
            ),
          tokenizer,
          validation_fraction: validationFraction,
        })
        .describe("A shipped corpus."),
      z
        .strictObject({
          file: z
            .string()
            .regex(/\.(txt|jsonl)(\.(gz|zst))?$/, {
              error: "expected a .txt or .jsonl file, plain, .gz or .zst",
            })
            .describe("Path, relative to the sweep file: .txt or .jsonl, plain, .gz or .zst."),
          field: z
            .string()
            .min(1)
            .default("text")
            .describe("Field that holds the text of a .jsonl line. Default text."),
          tokenizer,
          validation_fraction: validationFraction,
        })
        .describe("Your own text."),
      z
        .strictObject({
          tokens: z
            .string()
            .regex(/\.bin$/, { error: "expected a .bin file of token ids" })
            .describe(
              "Path, relative to the sweep file: little-endian token ids and nothing else, as nanoGPT writes.",
            ),
          validation_tokens: z
            .string()
            .regex(/\.bin$/, { error: "expected a .bin file of token ids" })
            .optional()
            .describe(
              "A second such file to validate on. Without it, validation_fraction of the first is held out.",
            ),
          vocab_size: z
            .int()
            .min(2)
            .max(2 ** 32)
            .describe("Number of token ids; every id is below it."),
          dtype: z.enum(["uint16", "uint32"]).default("uint16").describe("Type of one id. Default uint16."),
          validation_fraction: validationFraction,
        })
        .describe("Token files."),
    ],
    { error: "{corpus: state-of-the-union}, {file: my.txt} or {tokens: train.bin, vocab_size: 50257}" },
  )
  .describe("What is trained on: `corpus`, `file` or `tokens`.");

const modelSection = z
  .strictObject({
    width: h.width.optional(),
    sparsity: withDefault(h.sparsity, 0),
    layers: h.layers.optional(),
    d_head: withDefault(h.d_head, 64, "the paper's"),
    ffn: z
      .union([
        z
          .strictObject({
            ratio: z
              .number()
              .positive()
              .default(8 / 3)
              .describe(
                "Feed-forward width over model width. Default 8/3: SwiGLU then costs what a 4× block does.",
              ),
            multiple_of: z
              .int()
              .positive()
              .default(1)
              .describe("The result is rounded to the nearest multiple of this. Default 1."),
          })
          .describe("A feed-forward width that follows the model's width."),
        z.strictObject({ width: h.ffn_width }).describe("One feed-forward width for every model."),
      ])
      .prefault({})
      .describe("Feed-forward width: {ratio, multiple_of} or {width}."),
    sequence_length: h.sequence_length.optional(),
    norm: withDefault(h.norm, "rmsnorm"),
    norm_eps: withDefault(h.norm_eps, 1e-5),
    positions: withDefault(h.positions, "alibi", "the paper's"),
    tied_embeddings: withDefault(h.tied_embeddings, true, "the paper's"),
    mask: withDefault(h.mask, "exact"),
  })
  .describe("The decoder language model: pre-norm blocks of attention and SwiGLU.");

const trainingSection = z
  .strictObject({
    steps: h.steps.optional(),
    tokens: h.tokens.optional(),
    batch_size: h.batch_size.optional(),
    micro_batch_size: z
      .int()
      .positive()
      .nullable()
      .default(null)
      .describe(
        "Sequences per forward and backward pass; divides batch_size. Default null: the trainer chooses. Changes speed and memory, not the method.",
      ),
    seed: withDefault(h.seed, 1),
    warmup_steps: h.warmup_steps.optional(),
    warmup_fraction: h.warmup_fraction
      .optional()
      .describe(`${h.warmup_fraction.description} Default 0.1 when warmup_steps is absent: the paper's.`),
    schedule: withDefault(h.schedule, "linear", "the paper's"),
    final_fraction: withDefault(h.final_fraction, 0.1, "the paper's; 0 decays to zero"),
    optimizer: z
      .strictObject({
        name: z
          .enum(OPTIMIZERS, {
            error: (issue) =>
              issue.code === "invalid_value"
                ? `no learning-rate rule is derived for ${JSON.stringify(issue.input)}; each optimizer needs its own (under SGD the hidden rate does not fall with width as Adam's does); expected ${OPTIMIZERS.join(", ")}`
                : undefined,
          })
          .default("adamw")
          .describe(
            "Learning-rate rules are derived per optimizer; there are rules for adamw. Default adamw.",
          ),
        beta1: withDefault(h.beta1, 0.9),
        beta2: withDefault(h.beta2, 0.95, "the paper's group's"),
        eps: withDefault(h.eps, 1e-8),
        weight_decay: withDefault(h.weight_decay, 0),
        decay_mode: withDefault(h.decay_mode, "none", "a sweep that decays says how"),
      })
      .prefault({})
      .describe("AdamW and its decay."),
    clip_norm: withDefault(h.clip_norm, 1),
    evaluation: z
      .strictObject({
        every_steps: z
          .int()
          .positive()
          .nullable()
          .default(null)
          .describe("Validation loss every so many steps. Default null: only after the last step."),
        sequences: z
          .int()
          .positive()
          .default(256)
          .describe("Validation sequences, evenly spaced over the held-out tokens. Default 256."),
      })
      .prefault({})
      .describe("When the validation loss is measured; always after the last step."),
    divergence: z
      .strictObject({
        patience_steps: z
          .int()
          .positive()
          .default(100)
          .describe(
            "A run whose training loss stays above its value at step 1 for this many steps in a row ends as diverged. Default 100.",
          ),
      })
      .prefault({})
      .describe("When a run is given up as diverged; a non-finite loss always ends it."),
  })
  .describe("Length, batch, schedule and optimizer.");

const overridesOf = <T extends z.ZodRawShape>(shape: T) =>
  z.strictObject(shape).partial().optional().describe("Values for this parameterization alone.");
const scaledOverrides = {
  learning_rate: h.learning_rate,
  init_std: h.init_std,
  alpha_input: h.alpha_input,
  alpha_output: h.alpha_output,
};

const baseSection = z
  .strictObject({
    width: h.base_width
      .optional()
      .describe(
        `${h.base_width.description} Needed by every parameterization but sp; the paper's proxy has ${PAPER.base_width}, and the default init_std, alpha_input and alpha_output belong to it.`,
      ),
    ffn_width: h.ffn_width
      .optional()
      .describe(
        "Feed-forward width of the proxy. Default: the model's ffn rule at the base width. Needed when ffn is a fixed width, or ffn_width an axis.",
      ),
    density: withDefault(h.density.describe("Density of the proxy's masked matrices."), 1, "a dense proxy"),
    learning_rate: h.learning_rate
      .optional()
      .describe(
        `${h.learning_rate.description} Used where it is no axis. The paper's proxy has ${PAPER.learning_rate}.`,
      ),
    init_std: h.init_std
      .optional()
      .describe(
        `${h.init_std.description} For every parameterization without an override. Default ${PAPER.init_std}, and ${PAPER.init_std_sp} for sp: the paper's.`,
      ),
    alpha_input: withDefault(h.alpha_input, PAPER.alpha_input, "the paper's"),
    alpha_output: withDefault(h.alpha_output, PAPER.alpha_output, "the paper's"),
    scale_residual_outputs: z
      .boolean()
      .default(true)
      .describe(
        "Divide the initial weights of the two matrices that write to the residual stream (attention output, feed-forward down) by √(2·layers), alike in all parameterizations. Default true.",
      ),
    overrides: z
      .strictObject({
        sp: overridesOf({ learning_rate: h.learning_rate, init_std: h.init_std }),
        mup: overridesOf(scaledOverrides),
        supar: overridesOf(scaledOverrides),
        "supar-init-only": overridesOf(scaledOverrides),
        "supar-lr-only": overridesOf(scaledOverrides),
      })
      .prefault({})
      .describe("Values for one parameterization in place of those above."),
  })
  .describe("The proxy model and the values tuned on it, from which the multipliers start.");

const phaseName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, {
  error: "expected a name of up to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit",
});

const extendSchema = z
  .strictObject({
    max: z.int().positive().max(100).describe("Learning rates that may be added to one curve."),
  })
  .optional()
  .describe(
    "Add learning rates, at the grid's own spacing, on the side where a curve's optimum is at the edge, until it is bracketed or `max` were added; never into divergence.",
  );
const refineSchema = z
  .strictObject({
    budget: z.int().positive().max(100_000).describe("Runs that may be added in all."),
  })
  .optional()
  .describe(
    "Add learning rates or seeds where noise or a gap of the grid leaves an optimum or a verdict undecided, until it is decided or the budget is spent.",
  );

const tuneSchema = z
  .enum(TAKEN)
  .optional()
  .describe(
    "What the curves are over, and whose optimum is sought on each: an axis of the phase. Default learning_rate.",
  );
const coordinateCheckSchema = z
  .strictObject({
    parameterization: axisShape.parameterization.optional(),
    width: axisShape.width.optional(),
    sparsity: axisShape.sparsity.optional(),
    density: axisShape.density.optional(),
    layers: axisShape.layers.optional(),
    heads: z
      .int()
      .positive()
      .optional()
      .describe("Along width, keep this many heads: d_head is width / heads. Default: d_head stays."),
    learning_rate: withDefault(
      h.learning_rate,
      2 ** -9,
      "low enough that ten steps without warm-up stay tame in small models",
    ),
    steps: z.int().positive().max(1000).default(10).describe("Updates. Default 10: the paper's."),
    seeds: z.int().positive().max(1000).default(5).describe("How many seeds, from 1. Default 5."),
    batch_size: withDefault(h.batch_size, 4, "the paper's"),
    tolerance: z
      .number()
      .positive()
      .default(0.25)
      .describe(
        "Slopes (octaves of size per octave of width, density or layers) up to this are flat. Default 0.25: half of the smallest exponent, ½, that a wrong rule leaves.",
      ),
    required: z
      .boolean()
      .default(false)
      .describe("A phase starts only when its check has passed. Default false: `musweep coord-check` alone."),
  })
  .meta({ id: "coordinate_check" })
  .optional()
  .describe(
    "Do activations keep their size as width, density or depth changes? Axes that are not given are those of the grid. In a file without axes it is all there is to do.",
  );
export type CoordinateCheck = NonNullable<z.output<typeof coordinateCheckSchema>>;

const phaseSchema = z
  .strictObject({
    name: phaseName.describe("What the phase is called in `from`, tables and SQL."),
    model: modelSection.optional().describe("Values in place of the sweep's model section."),
    training: trainingSection.optional().describe("Values in place of the sweep's training section."),
    base: baseSection.optional().describe("Values in place of the sweep's base section."),
    axes: axesSchema,
    tune: tuneSchema,
    extend: extendSchema,
    refine: refineSchema,
    coordinate_check: coordinateCheckSchema,
    allow_unbracketed: z
      .boolean()
      .default(false)
      .describe(
        "Take the best learning rate of the grid where the optimum of the source is not bracketed; otherwise the phase stops. Default false.",
      ),
  })
  .meta({ id: "phase", description: "One phase: axes of its own, and sections over the sweep's." });

export const sweepSchema = z
  .strictObject({
    name: phaseName.describe("What the sweep is called in commands, tables and pages."),
    data: dataSchema,
    model: modelSection.prefault({}),
    training: trainingSection.prefault({}),
    base: baseSection.prefault({}),
    axes: axesSchema.optional(),
    phases: z
      .array(phaseSchema)
      .min(1)
      .optional()
      .describe(
        "In place of `axes`: grids that are trained one after the other, a later one with what an earlier one found.",
      ),
    tune: tuneSchema,
    extend: extendSchema,
    refine: refineSchema,
    coordinate_check: coordinateCheckSchema,
    keep_weights: z
      .boolean()
      .default(false)
      .describe("Keep the trained weights of every run (safetensors). Default false."),
  })
  .describe("A musweep sweep file.");

/** A sweep file as written, every default filled in. */
export type SweepFile = z.output<typeof sweepSchema>;
export type SweepData = SweepFile["data"];

/** One phase with every section decided: the sweep's, and the phase's own over them. */
export interface Phase
  extends Pick<SweepFile, "model" | "training" | "base" | "tune" | "extend" | "refine" | "keep_weights"> {
  name: string;
  axes: Axes;
  allow_unbracketed: boolean;
  /** What the phase is, where it is a coordinate check: how long its runs are measured, and what counts as flat. */
  coordinates?: { steps: number; tolerance: number };
  /** The coordinate check that has to pass before the phase starts. */
  after?: string;
}

/** A sweep file as read. One without `phases` has a single phase, called "grid". */
export interface Sweep {
  name: string;
  data: SweepData;
  phases: [Phase, ...Phase[]];
  /** The coordinate check of each phase that has one. Those that are required are among the phases too. */
  checks: Phase[];
}
