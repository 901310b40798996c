/**
 * The sweep file: one schema, from which come its types, the messages about mistakes in it, and the JSON Schema that
 * editors use (sweep.schema.json). Prose and examples are in docs/sweep-file.md.
 *
 * A value that an axis sets in every grid need not be given in its section; what must then be somewhere is checked when the
 * file is read (orchestrator/sweep/), as are all rules that involve more than one field.
 */
import { z } from "zod";
import { DEVICES, ENGINES, type Placement } from "../wire/need.ts";
import {
  BUILT_IN_TRAINER,
  LIMITS,
  OPTIMIZERS,
  revisionSchema,
  type Setting,
  settingNameSchema,
  settingSchema,
  trainerNameSchema,
} from "../wire/plan.ts";
import { type Axes, axesSchema, axisShape } from "./axes.ts";
import {
  fieldsOf,
  type HyperparameterName,
  HYPERPARAMETERS as h,
  TAKEN,
  withDefault,
} from "./hyperparameters.ts";
import { questionShape } from "./question.ts";
import { PARAMETERIZATIONS, type Parameterization, RULES, STANDARD_PARAMETERIZATION } from "./rules.ts";
import { searchSchema } from "./search.ts";

const CORPORA = ["state-of-the-union", "moby-dick"] as const;
const TOKENIZERS = ["bytes", "gpt2"] as const;

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

const limitTokens = z
  .int()
  .min(4)
  .optional()
  .describe(
    "Only so many tokens are made, of the beginning of the source, both splits together. Default: all.",
  );
const ownText = {
  field: z
    .string()
    .min(1)
    .default("text")
    .describe("Field that holds the text of a .jsonl line. Default text."),
  max_expansion: z
    .number()
    .min(1)
    .optional()
    .describe(
      "How many times as long as its .gz or .zst file a text may be. Default 200; 64 MiB are always allowed.",
    ),
  tokenizer,
  validation_fraction: validationFraction,
  limit_tokens: limitTokens,
};
/** A path or a pattern of paths, as it is: nothing is fetched, and no shell has been at it. */
const path = () =>
  z
    .string()
    .refine((text) => !/^[a-z][a-z0-9+.-]*:\/\//i.test(text), {
      abort: true,
      error: "expected a file of this machine: nothing is downloaded",
    })
    .refine((text) => !text.startsWith("~"), {
      abort: true,
      error: "expected a path from / or from the sweep file's directory: only a shell knows what ~ is",
    });
const pattern = path().min(1).max(4096);

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
          limit_tokens: limitTokens,
        })
        .describe("A shipped corpus."),
      z
        .strictObject({
          file: path()
            .regex(/\.(txt|jsonl|ndjson|json)(\.(gz|zst))?$/, {
              error:
                "expected a .txt, .jsonl, .ndjson or .json file, plain, .gz or .zst; any other text, such as notes.md, is read by {files: notes.md}; a table (.parquet, .csv) is written as lines first, such as pandas.read_parquet(FILE).to_json(OUT, orient='records', lines=True)",
            })
            .describe(
              "Path, relative to the sweep file: .txt, or .jsonl, .ndjson or .json with an object on each line; plain, .gz or .zst.",
            ),
          ...ownText,
        })
        .describe("Your own text."),
      z
        .strictObject({
          files: z
            .union([pattern, z.array(pattern).min(1).max(100)])
            .describe(
              "A folder, or a pattern such as texts/**/*.txt, or a list of them, relative to the sweep file: each file a document, in the order of their paths. Plain, .gz or .zst; of .jsonl files each line is a document.",
            ),
          ...ownText,
        })
        .describe("Your own texts, in many files."),
      z
        .strictObject({
          tokens: path()
            .regex(/\.bin$/, { error: "expected a .bin file of token ids" })
            .describe(
              "Path, relative to the sweep file: little-endian token ids and nothing else, as nanoGPT writes.",
            ),
          validation_tokens: path()
            .regex(/\.bin$/, { error: "expected a .bin file of token ids" })
            .optional()
            .describe(
              "A second such file to validate on. Without it, validation_fraction of the first is held out.",
            ),
          vocab_size: z
            .int()
            .min(2)
            .max(LIMITS.vocab_size)
            .describe("Number of token ids; every id is below it."),
          dtype: z.enum(["uint16", "uint32"]).default("uint16").describe("Type of one id. Default uint16."),
          header_bytes: z
            .int()
            .nonnegative()
            .max(2 ** 20)
            .optional()
            .describe(
              "Bytes before the first id, which are passed over; llm.c's files have 1024. Default 0.",
            ),
          validation_fraction: validationFraction,
          limit_tokens: limitTokens,
        })
        .describe("Token files."),
    ],
    {
      error:
        "{corpus: state-of-the-union}, {file: my.txt}, {files: texts/**/*.txt} or {tokens: train.bin, vocab_size: 50257}",
    },
  )
  .describe("What is trained on: `corpus`, `file`, `files` or `tokens`.");

const modelSection = z
  .strictObject({
    ...fieldsOf("model"),
    ffn: z
      .union(
        [
          z
            .strictObject({
              ratio: z
                .number()
                .positive()
                .max(1000)
                .default(8 / 3)
                .describe(
                  "Feed-forward width over model width. Default 8/3: SwiGLU then costs what a 4× block does.",
                ),
              multiple_of: z
                .int()
                .positive()
                .max(LIMITS.ffn_width)
                .default(1)
                .describe("The result is rounded to the nearest multiple of this. Default 1."),
            })
            .describe("A feed-forward width that follows the model's width."),
          z.strictObject({ width: h.ffn_width }).describe("One feed-forward width for every model."),
        ],
        { error: "{ratio: 4}, or {width: 512} for all models" },
      )
      .prefault({})
      .describe("Feed-forward width: {ratio, multiple_of} or {width}."),
  })
  .meta({ examples: [{ width: 128, layers: 2, sequence_length: 128 }] })
  .describe("The decoder language model: pre-norm blocks of attention and SwiGLU.");

const trainingSection = z
  .strictObject({
    ...fieldsOf("training"),
    micro_batch_size: z
      .int()
      .positive()
      .max(LIMITS.batch_size)
      .nullable()
      .default(null)
      .describe(
        "Sequences per forward and backward pass; divides batch_size. Default null: the trainer chooses. Changes speed and memory, not the method.",
      ),
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
        ...fieldsOf("training.optimizer"),
      })
      .meta({ examples: [{ name: "adamw", beta2: 0.95 }] })
      .prefault({})
      .describe("AdamW and its decay."),
    evaluation: z
      .strictObject({
        every_steps: z
          .int()
          .positive()
          .max(LIMITS.steps)
          .nullable()
          .default(null)
          .describe("Validation loss every so many steps. Default null: only after the last step."),
        sequences: z
          .int()
          .positive()
          .max(LIMITS.evaluation_sequences)
          .default(256)
          .describe("Validation sequences, evenly spaced over the held-out tokens. Default 256."),
      })
      .meta({ examples: [{ every_steps: 100 }] })
      .prefault({})
      .describe("When the validation loss is measured; always after the last step."),
    divergence: z
      .strictObject({
        patience_steps: z
          .int()
          .positive()
          .max(LIMITS.steps)
          .default(100)
          .describe(
            "A run whose training loss stays above its value at step 1 for this many steps in a row ends as diverged. Default 100.",
          ),
      })
      .meta({ examples: [{ patience_steps: 100 }] })
      .prefault({})
      .describe("When a run is given up as diverged; a non-finite loss always ends it."),
  })
  .meta({ examples: [{ steps: 300, batch_size: 16 }] })
  .describe("Length, batch, schedule and optimizer.");

const overrideFields = { learning_rate: h.learning_rate, init_std: h.init_std };
const alphaFields = { alpha_input: h.alpha_input, alpha_output: h.alpha_output };
type Override = z.ZodOptional<
  z.ZodObject<
    { [K in keyof (typeof overrideFields & typeof alphaFields)]: z.ZodOptional<(typeof h)[K]> },
    z.core.$strict
  >
>;

const overridesShape = Object.fromEntries(
  PARAMETERIZATIONS.map((parameterization) => [
    parameterization,
    z
      .strictObject(
        RULES[parameterization].has_alphas ? { ...overrideFields, ...alphaFields } : overrideFields,
      )
      .partial()
      .meta({ examples: [{ init_std: 0.02 }] })
      .optional()
      .describe("Values for this parameterization alone."),
  ]),
) as unknown as Record<Parameterization, Override>;

const baseSection = z
  .strictObject({
    ...fieldsOf("base"),
    ffn_width: h.ffn_width
      .optional()
      .describe(
        "Feed-forward width of the proxy. Default: the model's ffn rule at the base width. Needed when ffn is a fixed width, or ffn_width an axis.",
      ),
    density: withDefault(h.density.describe("Density of the proxy's masked matrices."), 1, "a dense proxy"),
    scale_residual_outputs: z
      .boolean()
      .default(true)
      .describe(
        "Divide the initial weights of the two matrices that write to the residual stream (attention output, feed-forward down) by √(2·layers), alike in all parameterizations but completep and its relative, which never do. Default true.",
      ),
    overrides: z
      .strictObject(overridesShape)
      .meta({ examples: [{ [STANDARD_PARAMETERIZATION]: { init_std: 0.02 } }] })
      .prefault({})
      .describe("Values for one parameterization in place of those above."),
  })
  .meta({ examples: [{ width: 256 }] })
  .describe("The proxy model and the values tuned on it, from which the multipliers start.");

export const sweepNameSchema = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, {
  error: "expected a name of up to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit",
});

const extendSchema = z
  .strictObject({
    max: z.int().positive().max(100).describe("Values of what is tuned that may be added to one curve."),
  })
  .meta({ examples: [{ max: 3 }] })
  .optional()
  .describe(
    "Add values of what is tuned, at the grid's own spacing, on the side where a curve's optimum is at the edge, until it is bracketed or `max` were added; never into divergence.",
  );
const refineSchema = z
  .strictObject({
    budget: z.int().positive().max(100_000).describe("Runs that may be added in all."),
  })
  .meta({ examples: [{ budget: 100 }] })
  .optional()
  .describe(
    "Add values of what is tuned, or seeds, where noise or a gap of the grid leaves an optimum or a verdict undecided, until it is decided or the budget is spent.",
  );

const tuneSchema = z
  .enum(TAKEN, {
    error: `expected ${TAKEN.join(", ")}; any other number can be an axis beside it: the report says how the optimum moves along it`,
  })
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
      .max(LIMITS.width)
      .optional()
      .describe("Along width, keep this many heads: d_head is width / heads. Default: d_head stays."),
    learning_rate: withDefault(
      h.learning_rate,
      2 ** -9,
      "low enough that ten steps without warm-up stay tame in small models",
    ),
    steps: z
      .int()
      .positive()
      .max(LIMITS.coordinate_steps)
      .default(10)
      .describe("Updates. Default 10: the paper's."),
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
  .meta({ id: "coordinate_check", examples: [{ width: [64, 128, 256], seeds: 3 }] })
  .optional()
  .describe(
    "Do activations keep their size as width, density or depth changes? Axes that are not given are those of the grid. In a file without axes it is all there is to do.",
  );
export type CoordinateCheck = NonNullable<z.output<typeof coordinateCheckSchema>>;

/** Phases of one sweep: a chain of them takes weeks long before there are so many. */
const MAX_PHASES = 100;

/** The sections of the file that a phase may have of its own, over those of the file. */
export const sectionsSchema = z.strictObject({
  model: modelSection.prefault({}),
  training: trainingSection.prefault({}),
  base: baseSection.prefault({}),
  tune: tuneSchema,
  extend: extendSchema,
  refine: refineSchema,
  search: searchSchema,
  ...questionShape,
  coordinate_check: coordinateCheckSchema,
});
export type Sections = z.output<typeof sectionsSchema>;

const placement = {
  device: z
    .enum([...DEVICES, "any"])
    .optional()
    .describe(
      "Where the runs are trained: cpu, cuda, or any. Default any: whatever worker is free. It changes no run, only who takes it.",
    ),
  engine: z
    .enum(ENGINES)
    .optional()
    .describe(
      "Of the trainer that comes with musweep, the engine that trains the runs: musweep-cpu or musweep-torch. Default: whichever can; bfloat16 needs musweep-torch.",
    ),
};

const phaseSchema = z
  .strictObject({
    name: sweepNameSchema.describe("What the phase is called in `from`, tables and SQL."),
    ...placement,
    model: modelSection.optional().describe("Values in place of the sweep's model section."),
    training: trainingSection.optional().describe("Values in place of the sweep's training section."),
    base: baseSection.optional().describe("Values in place of the sweep's base section."),
    axes: axesSchema,
    tune: tuneSchema,
    extend: extendSchema,
    refine: refineSchema,
    search: searchSchema,
    ...questionShape,
    coordinate_check: coordinateCheckSchema,
    allow_unbracketed: z
      .boolean()
      .default(false)
      .describe(
        "Take the best learning rate of the grid where the optimum of the source is not bracketed; otherwise the phase stops. Default false.",
      ),
  })
  .meta({
    id: "phase",
    description: "One phase: axes of its own, and sections over the sweep's.",
    examples: [
      { name: "proxy", axes: { parameterization: [STANDARD_PARAMETERIZATION], learning_rate: [0.01, 0.02] } },
    ],
  });

export const sweepSchema = z
  .strictObject({
    name: sweepNameSchema.describe("What the sweep is called in commands, tables and pages."),
    data: dataSchema.optional(),
    trainer: trainerNameSchema
      .refine((name) => ![...ENGINES, "torch"].includes(name), {
        error:
          "is an engine of musweep, no trainer of another name; write engine: musweep-torch, or musweep-cpu",
      })
      .default(BUILT_IN_TRAINER)
      .describe(
        `Who trains the runs. Default ${BUILT_IN_TRAINER}: the one that comes with musweep, on whichever engine. Another trainer's runs are other runs.`,
      ),
    revision: revisionSchema
      .default("1")
      .describe('A word for the trainer\'s state: a new one trains everything anew. Default "1".'),
    priority: z
      .number()
      .min(0.01)
      .max(100)
      .default(1)
      .describe(
        "Its share of the workers beside other sweeps that wait: 2 gets twice the computation of 1. Changes when runs are trained, not what they are. Default 1.",
      ),
    ...placement,
    settings: z
      .record(settingNameSchema, settingSchema)
      .meta({ examples: [{ dropout: 0.1 }] })
      .optional()
      .describe(
        "Anything else that the script of another trainer reads, by name, such as {dropout: 0.1}; any of them can be an axis. For trainers with a model and data of their own: without data.",
      ),
    data_version: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .describe("A word for the data of such a trainer: other words are other runs."),
    ...sectionsSchema.shape,
    axes: axesSchema.optional(),
    phases: z
      .array(phaseSchema)
      .min(1)
      .max(MAX_PHASES)
      .meta({
        examples: [
          [
            {
              name: "proxy",
              axes: { parameterization: [STANDARD_PARAMETERIZATION], learning_rate: [0.01, 0.02] },
            },
          ],
        ],
      })
      .optional()
      .describe(
        "In place of `axes`: grids that are trained one after the other, a later one with what an earlier one found.",
      ),
    keep_weights: z
      .boolean()
      .default(false)
      .describe("Keep the trained weights of every run (safetensors). Default false."),
  })
  .describe("A musweep sweep file.");

/** A sweep file as written, every default filled in. */
export type SweepFile = z.output<typeof sweepSchema>;
export type SweepData = NonNullable<SweepFile["data"]>;

/** What a file says to a trainer with a model and data of its own, beside the numbers that follow from the rules. */
export interface Script {
  settings: Record<string, Setting>;
  data_version: string | null;
  /** Names of hyperparameters that the file gives a value; the others have defaults, which are for the model that ships. */
  said: HyperparameterName[];
  /** Where the file says it. */
  patience_steps: number | null;
}

/** One phase with every section decided: the sweep's, and the phase's own over them. */
export interface Phase
  extends Placement,
    Pick<
      SweepFile,
      | "trainer"
      | "revision"
      | "model"
      | "training"
      | "base"
      | "tune"
      | "extend"
      | "refine"
      | "search"
      | keyof typeof questionShape
      | "keep_weights"
    > {
  name: string;
  axes: Axes;
  allow_unbracketed: boolean;
  /** Absent: its runs train the model that ships. */
  script?: Script;
  /** What the phase is, where it is a coordinate check: how long its runs are measured, and what counts as flat. */
  coordinates?: { steps: number; tolerance: number };
  /** The coordinate check that has to pass before the phase starts. */
  after?: string;
}

/** A sweep file as read. One without `phases` has a single phase, called "grid". */
export interface Sweep {
  name: string;
  /** Its share of the workers beside other sweeps. */
  priority: number;
  /** Absent: the trainer has its own. */
  data?: SweepData;
  phases: [Phase, ...Phase[]];
  /** The coordinate check of each phase that has one. Those that are required are among the phases too. */
  checks: Phase[];
}
