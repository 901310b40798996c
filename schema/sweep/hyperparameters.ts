/**
 * Every hyperparameter that a sweep file can set and vary: one row each. The sections of the file, the axes, the distributions,
 * the coordinates of a run, titles, pages and the editor's help all follow from it; so does what a coordinate check carries over
 * from a grid. To add one, add a row, and the field of the plan that a trainer obeys (orchestrator/parameterization/resolve-plan.ts).
 */
import { z } from "zod";
import { LIMITS, MASKS, NORMS, POSITIONS, PRECISIONS, SCHEDULES } from "../wire/plan.ts";
import { PAPER, PARAMETERIZATIONS, type Parameterization, RULES } from "./rules.ts";

/** 2^k: exact for whole k, and 2^(k+1) is twice 2^k for any k. */
export function powerOfTwo(k: number): number {
  const whole = Math.floor(k);
  return 2 ** whole * 2 ** (k - whole);
}

const POWER = /^2\^([+-]?\d+(?:\.\d+)?)$/;

/** "2^-8", as titles have it (`power`), is 0.00390625; anything else is as it was. */
export function readPower(value: unknown): unknown {
  const [, exponent] = (typeof value === "string" && POWER.exec(value)) || [];
  return exponent === undefined ? value : powerOfTwo(Number(exponent));
}

/** Takes the number written as a power of two as well. */
export function orPower(schema: z.ZodNumber) {
  return z.preprocess(readPower, schema).meta({ type: ["number", "string"], pattern: POWER.source });
}

const count = (most: number) => z.int().positive().max(most);

/** Every product of such numbers in a plan is one that a double holds. */
const AMOUNTS = { least: 1e-30, most: 1e30 };
/** A number above 0, neither of a size that would vanish in arithmetic nor one that would overflow. */
const positive = orPower(
  z
    .number()
    .positive()
    .max(AMOUNTS.most)
    .refine((value) => value <= 0 || value >= AMOUNTS.least, { error: `expected at least ${AMOUNTS.least}` }),
);

/** Sections of the file, as paths; null: only an axis can set it. */
type Section = "model" | "model.ffn" | "training" | "training.optimizer" | "base" | null;

/** How people call the curves' axis, where the hyperparameter is what a phase seeks the optimum of. */
export interface Words {
  /** In headings of columns and axes: "log2 LR*". */
  short: string;
  /** "add higher …" */
  plural: string;
  long: string;
  /** "a single …" */
  one: string;
}

interface Row {
  schema: z.ZodType;
  section: Section;
  /** Its key there, where that is not its name. */
  key?: string;
  /** What it is where neither the file nor an axis says; without, an axis or the file has to, or code decides. */
  default?: unknown;
  /** Where the default comes from, or what it does. */
  reason?: string;
  /** Said of the field in its section alone. */
  note?: string;
  /**
   * Values that an axis takes. choices: one or a list; numbers: ranges too; tuned: what an earlier phase found too, and its
   * optimum can be sought; seeds: a list or a count.
   */
  axis: "choices" | "numbers" | "tuned" | "seeds";
  /** What a random search draws it from. range: (log-)uniform distributions or a list; list: a list alone. */
  drawn: "range" | "list";
  /** Of what is tuned: an earlier phase's value is multiplied by each of these, unless the file says otherwise. */
  multiples?: readonly number[];
  words?: Words;
  /** How a run's title writes a value; without, "name value". */
  title?: (value: never) => string;
  /** In front of a value on pages and in tables; without, the name. */
  label?: string;
  /** A coordinate check takes the first value of a grid's axis. */
  carried?: true;
}

/** As a power of two where two digits of its exponent give it back: 2^-8, 2^-5.5; else as it is, so that no two are written alike. */
function power(value: number): string {
  const log2 = Number(Math.log2(value).toFixed(2));
  return Math.abs(2 ** log2 / value - 1) < 1e-12 ? `2^${log2}` : String(value);
}

const tunedWords = (name: string, long = name): Words => ({
  short: name,
  plural: `values of ${name}`,
  long,
  one: `value of ${name}`,
});

export const TABLE = {
  parameterization: {
    schema: z
      .enum(PARAMETERIZATIONS)
      .describe(
        `How initial weights and learning rates follow width, density and depth. ${PARAMETERIZATIONS.map((p) => `${p}: ${RULES[p].about}`).join("; ")}.`,
      ),
    section: null,
    axis: "choices",
    drawn: "list",
    title: (value: Parameterization) => RULES[value].title,
  },
  width: {
    schema: count(LIMITS.width).describe("d_model, the width of the residual stream. Divisible by d_head."),
    section: "model",
    axis: "numbers",
    drawn: "list",
    title: (value: number) => `d${value}`,
  },
  sparsity: {
    schema: z
      .number()
      .min(0)
      .lt(1)
      .describe(
        "Fraction of the weights absent from every attention and feed-forward matrix. Embeddings and norms stay dense.",
      ),
    section: "model",
    default: 0,
    axis: "numbers",
    drawn: "range",
    title: (value: number) => `s${value}`,
  },
  density: {
    schema: z
      .number()
      .gt(0)
      .max(1)
      .refine((value) => value <= 0 || value >= 1e-9, { error: "expected at least 1e-9" })
      .describe("1 − sparsity: the fraction of weights present. {log2: {from: -7, to: 0}} gives 1/128 … 1."),
    section: null,
    axis: "numbers",
    drawn: "range",
  },
  learning_rate: {
    schema: positive.describe(
      "Base learning rate η: the schedule's peak, before the multipliers of the parameterization.",
    ),
    section: "base",
    note: `Used where it is no axis. The paper's proxy has ${PAPER.learning_rate}.`,
    axis: "tuned",
    drawn: "range",
    // A confirmation brackets a learning rate; the other values are taken as they are.
    multiples: [0.5, 1, 2],
    words: { short: "LR", plural: "learning rates", long: "base learning rate", one: "learning rate" },
    title: (value: number) => `lr ${power(value)}`,
    label: "LR",
  },
  seed: {
    schema: z
      .int()
      .nonnegative()
      .max(0xffffffff)
      .describe("Keys every random draw: initial weights, masks, order of the data."),
    section: "training",
    default: 1,
    axis: "seeds",
    drawn: "list",
  },
  init_std: {
    schema: positive.describe(
      "Base standard deviation σ of the normal initial weights, before the multipliers of the parameterization.",
    ),
    section: "base",
    note: `For every parameterization without an override. Default ${PAPER.init_std}, and ${PAPER.init_std_sp} for sp and its relatives: the paper's.`,
    axis: "tuned",
    drawn: "range",
    multiples: [1],
    words: tunedWords("init_std", "base init_std"),
  },
  alpha_input: {
    schema: positive.describe("Multiplier α_in of the embedding's output. Unused by sp, where it is 1."),
    section: "base",
    default: PAPER.alpha_input,
    reason: "the paper's",
    axis: "tuned",
    drawn: "range",
    multiples: [1],
    words: tunedWords("alpha_input"),
  },
  alpha_output: {
    schema: positive.describe("Multiplier α_out of the logits. Unused by sp, where it is 1."),
    section: "base",
    default: PAPER.alpha_output,
    reason: "the paper's",
    axis: "tuned",
    drawn: "range",
    multiples: [1],
    words: tunedWords("alpha_output"),
  },
  weight_decay: {
    schema: z.number().nonnegative().max(AMOUNTS.most).describe("AdamW's λ. Above 0 it needs a decay_mode."),
    section: "training.optimizer",
    default: 0,
    axis: "numbers",
    drawn: "range",
    carried: true,
  },
  decay_mode: {
    schema: z
      .enum(["none", "constant", "independent"])
      .describe(
        "What λ multiplies, per step: constant: the tensor's own learning rate (after its multiplier; completep and its relative scale λ with width here); independent: the base learning rate, so that decay does not depend on width or density; none: no decay. Norm gains never decay.",
      ),
    section: "training.optimizer",
    default: "none",
    reason: "a sweep that decays says how",
    axis: "choices",
    drawn: "list",
    carried: true,
  },
  layers: {
    schema: count(LIMITS.layers).describe("Transformer blocks."),
    section: "model",
    axis: "numbers",
    drawn: "list",
    title: (value: number) => `L${value}`,
  },
  d_head: {
    schema: count(LIMITS.width).describe("Width of one attention head."),
    section: "model",
    default: 64,
    reason: "the paper's",
    axis: "numbers",
    drawn: "list",
    carried: true,
  },
  ffn_width: {
    schema: count(LIMITS.ffn_width).describe("Hidden width of the feed-forward block."),
    section: "model.ffn",
    key: "width",
    axis: "numbers",
    drawn: "list",
    carried: true,
  },
  sequence_length: {
    schema: count(LIMITS.sequence_length).describe("Context length, tokens."),
    section: "model",
    axis: "numbers",
    drawn: "list",
    carried: true,
  },
  norm: {
    schema: z.enum(NORMS).describe("Normalization before each block and before the logits."),
    section: "model",
    default: "rmsnorm",
    axis: "choices",
    drawn: "list",
    carried: true,
  },
  norm_eps: {
    schema: positive.describe("Added to the variance inside the norm."),
    section: "model",
    default: 1e-5,
    axis: "numbers",
    drawn: "range",
    carried: true,
  },
  positions: {
    schema: z.enum(POSITIONS).describe("Positional information: linear attention biases, or none."),
    section: "model",
    default: "alibi",
    reason: "the paper's",
    axis: "choices",
    drawn: "list",
    carried: true,
  },
  tied_embeddings: {
    schema: z.boolean().describe("The logits reuse the embedding's matrix."),
    section: "model",
    default: true,
    reason: "the paper's",
    axis: "choices",
    drawn: "list",
    carried: true,
  },
  mask: {
    schema: z
      .enum(MASKS)
      .describe(
        "exact: every matrix keeps the nearest integer to density × size; bernoulli: each weight is kept with probability density.",
      ),
    section: "model",
    default: "exact",
    axis: "choices",
    drawn: "list",
    carried: true,
  },
  precision: {
    schema: z
      .enum(PRECISIONS)
      .describe(
        "float32, or bfloat16: products in bfloat16, weights and moments in float32. A trainer that has no bfloat16 refuses the run.",
      ),
    section: "training",
    default: "float32",
    axis: "choices",
    drawn: "list",
    carried: true,
  },
  steps: {
    schema: count(LIMITS.steps).describe("Optimizer steps."),
    section: "training",
    axis: "numbers",
    drawn: "list",
  },
  tokens: {
    schema: count(LIMITS.tokens).describe("Training tokens; rounded up to whole steps."),
    section: "training",
    axis: "numbers",
    drawn: "list",
  },
  batch_size: {
    schema: count(LIMITS.batch_size).describe("Sequences per optimizer step."),
    section: "training",
    axis: "numbers",
    drawn: "list",
  },
  warmup_steps: {
    schema: z.int().nonnegative().max(LIMITS.steps).describe("Steps of linear warm-up from 0 to the peak."),
    section: "training",
    axis: "numbers",
    drawn: "list",
  },
  warmup_fraction: {
    schema: z
      .number()
      .min(0)
      .lt(1)
      .describe("Warm-up as a fraction of the run's steps, rounded down to whole steps."),
    section: "training",
    note: "Default 0.1 when warmup_steps is absent: the paper's.",
    axis: "numbers",
    drawn: "range",
  },
  schedule: {
    schema: z
      .enum(SCHEDULES)
      .describe("How the learning rate goes from its peak to final_fraction of it after warm-up."),
    section: "training",
    default: "linear",
    reason: "the paper's",
    axis: "choices",
    drawn: "list",
  },
  final_fraction: {
    schema: z.number().min(0).max(1).describe("Learning rate at the last step, as a fraction of the peak."),
    section: "training",
    default: 0.1,
    reason: "the paper's; 0 decays to zero",
    axis: "numbers",
    drawn: "range",
  },
  beta1: {
    schema: z.number().min(0).lt(1).describe("AdamW's decay rate of the first moment."),
    section: "training.optimizer",
    default: 0.9,
    axis: "numbers",
    drawn: "range",
    carried: true,
  },
  beta2: {
    schema: z.number().min(0).lt(1).describe("AdamW's decay rate of the second moment."),
    section: "training.optimizer",
    default: 0.95,
    reason: "the paper's group's",
    axis: "numbers",
    drawn: "range",
    carried: true,
  },
  eps: {
    schema: positive.describe(
      "AdamW's ε. completep and its relative divide it by the width and depth multipliers; the others leave it.",
    ),
    section: "training.optimizer",
    default: 1e-8,
    axis: "numbers",
    drawn: "range",
    carried: true,
  },
  clip_norm: {
    schema: positive
      .nullable()
      .describe("Largest global gradient norm, over the weights that exist; null: no clipping."),
    section: "training",
    default: 1,
    axis: "numbers",
    drawn: "range",
    carried: true,
  },
  base_width: {
    schema: count(LIMITS.width).describe(
      "Width of the proxy model, at which learning_rate and init_std hold unchanged.",
    ),
    section: "base",
    key: "width",
    note: `Needed by every parameterization but sp; the paper's proxy has ${PAPER.base_width}, and the default init_std, alpha_input and alpha_output belong to it.`,
    axis: "numbers",
    drawn: "list",
    carried: true,
  },
  base_layers: {
    schema: count(LIMITS.layers).describe(
      "Layers of the proxy model. Needed by completep and its relative alone.",
    ),
    section: "base",
    key: "layers",
    axis: "numbers",
    drawn: "list",
    carried: true,
  },
} as const satisfies Record<string, Row>;

export type Table = typeof TABLE;
export type HyperparameterName = keyof Table;
export const HYPERPARAMETER_NAMES = Object.keys(TABLE) as HyperparameterName[];
/** A setting of a sweep's own, as coordinates name it. */
export type SettingName = `settings.${string}`;
/** What an axis can be over. */
export type AxisName = HyperparameterName | SettingName;
export const isSettingName = (name: string): name is SettingName => name.startsWith("settings.");
export type Hyperparameters = { [K in HyperparameterName]: z.output<Table[K]["schema"]> };

/** The rows as plain data, for whoever goes through all of them. */
export const rowOf = (name: HyperparameterName): Row => TABLE[name];

/** The schemas alone, by name. */
export const HYPERPARAMETERS = Object.fromEntries(
  HYPERPARAMETER_NAMES.map((name) => [name, TABLE[name].schema]),
) as { [K in HyperparameterName]: Table[K]["schema"] };

/** Hyperparameters that are tuned: their optimum can be sought, and a phase can take it from an earlier one. */
export type TakenName = {
  [K in HyperparameterName]: Table[K]["axis"] extends "tuned" ? K : never;
}[HyperparameterName];
export const TAKEN = HYPERPARAMETER_NAMES.filter((name) => TABLE[name].axis === "tuned") as [
  TakenName,
  ...TakenName[],
];
export const wordsOf = (name: TakenName): Words => TABLE[name].words;

/** Where the file holds its one value, when no axis varies it. */
export function homeOf(name: HyperparameterName): string[] | undefined {
  const { section, key } = rowOf(name);
  return section === null ? undefined : [...section.split("."), key ?? name];
}

/** "d128", "init_std 0.02", "dropout 0.1" (a setting of a sweep's own): a value as a run's title has it. */
export function titleOfValue(name: string, value: unknown): string {
  if (isSettingName(name)) return `${name.slice("settings.".length)} ${value}`;
  const { title } = rowOf(name as HyperparameterName);
  return title === undefined ? `${name} ${value}` : (title as (value: unknown) => string)(value);
}

/** The same schema with a default that its description names. */
export const withDefault = <T extends z.ZodType>(
  schema: T,
  value: z.util.NoUndefined<z.output<T>>,
  reason?: string,
): z.ZodDefault<T> =>
  schema.default(value).meta({
    description: `${schema.description} Default ${JSON.stringify(value)}${reason === undefined ? "" : `: ${reason}`}.`,
    // zod leaves it out where a value has two ways to be written.
    default: value,
  });

type Fields<S> = {
  [K in HyperparameterName as Table[K]["section"] extends S
    ? Table[K] extends { key: infer Key extends string }
      ? Key
      : K
    : never]: Table[K] extends { default: unknown }
    ? z.ZodDefault<Table[K]["schema"]>
    : z.ZodOptional<Table[K]["schema"]>;
};

/** The fields of one section of the file: what has a default has it, the rest may be left out. */
export function fieldsOf<S extends NonNullable<Section>>(section: S): Fields<S> {
  const fields = HYPERPARAMETER_NAMES.flatMap((name) => {
    const row = rowOf(name);
    if (row.section !== section) return [];
    const { schema, note } = row;
    const field =
      row.default === undefined
        ? schema
            .optional()
            .describe(note === undefined ? schema.description! : `${schema.description} ${note}`)
        : withDefault(schema, row.default as never, row.reason);
    return [[row.key ?? name, field]];
  });
  return Object.fromEntries(fields) as Fields<S>;
}
