/**
 * Axes: the values over which a sweep varies a hyperparameter, as a value, a list, or a range; tied together in rows; or
 * drawn at random. Only shapes here; their meaning is in orchestrator/sweep/.
 */
import { z } from "zod";
import { settingNameSchema, settingSchema } from "../wire/plan.ts";
import {
  HYPERPARAMETER_NAMES,
  type HyperparameterName,
  HYPERPARAMETERS as h,
  orPower,
  rowOf,
  TABLE,
  TAKEN,
  type Table,
} from "./hyperparameters.ts";

/** Points a list, a range or a random draw may have at most; a sweep's total is limited when it is read. */
export const MAX_AXIS_POINTS = 100_000;
/** Grids of one phase. */
const MAX_GRIDS = 1000;

/** @param largest beyond which a power is no number any more */
const exponentsOf = (largest: number, step: string) =>
  z.strictObject({
    from: z.number().min(-largest).max(largest).describe("First exponent."),
    to: z.number().min(-largest).max(largest).describe("Last exponent, included when a step falls on it."),
    step: z.number().positive().default(1).describe(step),
  });
const exponents = exponentsOf(1000, "Distance of two exponents, octaves.").meta({
  id: "exponents",
  description: "Exponents of two.",
  examples: [{ from: -9, to: -5 }],
});

const logRange = z.strictObject({ log2: exponents }).meta({
  id: "powers_of_two",
  description: "Exact powers of two: {log2: {from: -3, to: -1}} is 1/8, 1/4, 1/2.",
});
const decades = z
  .strictObject({
    log10: exponentsOf(300, "Distance of two exponents, decades: 0.5 gives about three values in ten.").meta({
      id: "exponents_of_ten",
      description: "Exponents of ten.",
      examples: [{ from: -4, to: -2 }],
    }),
  })
  .meta({
    id: "powers_of_ten",
    description: "Powers of ten: {log10: {from: -4, to: -2}} is 0.0001, 0.001, 0.01.",
  });
const multiples = z
  .strictObject({
    multiples_of: orPower(z.number().positive()).describe("The value at exponent 0."),
    log2: exponents,
  })
  .meta({
    id: "multiples_of",
    description: "One value times powers of two: {multiples_of: 1.62e-2, log2: {from: -3, to: 3}}.",
  });
const linearRange = z
  .strictObject({
    linear: z
      .strictObject({
        from: z.number(),
        to: z.number().describe("Included when a step falls on it."),
        step: z.number().positive(),
      })
      .meta({ examples: [{ from: 0, to: 0.75, step: 0.25 }] }),
  })
  .meta({ id: "linear", description: "Evenly spaced values." });
const seedCount = z
  .strictObject({
    count: z.int().positive().max(10_000).describe("How many seeds."),
    first: z.int().nonnegative().default(1).describe("The first of them."),
  })
  .describe("Consecutive seeds: {count: 3} is 1, 2, 3.");

export const rangeSchema = z.union([logRange, decades, multiples, linearRange]);
export type Range = z.output<typeof rangeSchema> | z.output<typeof seedCount>;

const list = <T extends z.ZodType>(value: T) => z.array(value).min(1).max(MAX_AXIS_POINTS);
const choices = <T extends z.ZodType>(value: T) =>
  z.union([value, list(value)]).describe(`${value.description}\n\nOne value or a list.`);
const numbers = <T extends z.ZodType>(value: T) =>
  z
    .union([value, list(value), ...rangeSchema.options])
    .describe(`${value.description}\n\nOne value, a list, or a range.`);

const factor = z
  .number()
  .positive()
  .max(1e6)
  .refine((value) => value <= 0 || value >= 1e-6, { error: "expected at least 1e-6" });

const settings = z.record(settingNameSchema, settingSchema);
const OWN_SETTINGS = "Settings of a script's own, by name";
/** For editors: the file's reader takes such keys for what stands in `settings`. */
const DOTTED = {
  patternProperties: { "^settings\\.": { description: "settings.dropout is dropout in settings." } },
};

/** What an earlier phase found, times some factors; `multiples` has its default where the axes are read. */
const takenSchema = z
  .strictObject({
    from: z.string().describe("Name of the earlier phase."),
    at: z
      .strictObject({ ...h, settings: settings.describe(`${OWN_SETTINGS}.`) })
      .partial()
      .prefault({})
      .describe(
        "Which of its curves, such as {sparsity: 0}. The parameterization is the same one unless given here. Default {}: there is only one.",
      ),
    multiples: list(factor)
      .optional()
      .describe(
        `The value found is multiplied by each of these. Default ${TAKEN.map((name) => `${JSON.stringify(rowOf(name).multiples)} for ${name}`).join(", ")}.`,
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

const seeds = <T extends z.ZodType>(value: T) =>
  z
    .union([list(value), seedCount], {
      error: "a list of seeds such as [1, 2], or {count: 3} for three of them",
    })
    .describe(`${value.description}\n\nA list, or {count: 3} for three seeds.`);

/** By the kind of values that a row of the table says. */
const AXIS_KINDS = { choices, numbers, tuned: takeable, seeds };
type AxisSchema<Kind, T extends z.ZodType> = Kind extends "choices"
  ? ReturnType<typeof choices<T>>
  : Kind extends "numbers"
    ? ReturnType<typeof numbers<T>>
    : Kind extends "tuned"
      ? ReturnType<typeof takeable<T>>
      : ReturnType<typeof seeds<T>>;

export const axisShape = Object.fromEntries(
  HYPERPARAMETER_NAMES.map((name) => [name, AXIS_KINDS[TABLE[name].axis](h[name] as z.ZodType)]),
) as { [K in HyperparameterName]: AxisSchema<Table[K]["axis"], Table[K]["schema"]> };

const boundsOf = (schema: z.ZodNumber) => z.strictObject({ from: orPower(schema), to: orPower(schema) });
const uniform = z
  .strictObject({ uniform: boundsOf(z.number()) })
  .meta({ id: "uniform", description: "Every value between from and to equally likely." });
const logUniform = z
  .strictObject({ log_uniform: boundsOf(z.number().positive()) })
  .meta({ id: "log_uniform", description: "Every octave between from and to equally likely." });

const choice = <T extends z.ZodType>(value: T) =>
  z.strictObject({ choice: list(value) }).describe("Each listed value equally likely.");
const continuous = <T extends z.ZodType>(value: T) =>
  z.union([logUniform, uniform, choice(value)]).describe(`${value.description}

A distribution.`);

type DrawnSchema<Kind, T extends z.ZodType> = Kind extends "range"
  ? ReturnType<typeof continuous<T>>
  : ReturnType<typeof choice<T>>;

/** Real-valued hyperparameters have densities to draw from; the rest are drawn from a list. */
const distributionShape = Object.fromEntries(
  HYPERPARAMETER_NAMES.map((name) => {
    const schema = h[name] as z.ZodType;
    return [name, TABLE[name].drawn === "range" ? continuous(schema) : choice(schema)];
  }),
) as { [K in HyperparameterName]: DrawnSchema<Table[K]["drawn"], Table[K]["schema"]> };

/** Hyperparameters, and settings of a script's own. */
const rowSchema = z
  .strictObject({ ...h, settings: settings.describe(`${OWN_SETTINGS}.`) })
  .partial()
  .meta({ ...DOTTED, examples: [{ width: 256, sparsity: 0.75 }] });

const gridSchema = z
  .strictObject({
    ...z.strictObject(axisShape).partial().shape,
    settings: z
      .record(settingNameSchema, z.union([settingSchema, list(settingSchema), ...rangeSchema.options]))
      .meta({ examples: [{ dropout: [0, 0.1] }] })
      .optional()
      .describe(`${OWN_SETTINGS}: one value, a list, or a range each, such as {dropout: [0, 0.1]}.`),
    together: z
      .array(rowSchema)
      .min(1)
      .max(MAX_AXIS_POINTS)
      .meta({
        examples: [
          [
            { width: 128, sparsity: 0 },
            { width: 256, sparsity: 0.75 },
          ],
        ],
      })
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
          .meta({ examples: [{ learning_rate: { log_uniform: { from: 0.001, to: 0.1 } } }] })
          .describe("Per hyperparameter: {log_uniform: {from, to}}, {uniform: {from, to}} or {choice: […]}."),
      })
      .meta({
        examples: [{ n: 20, distributions: { learning_rate: { log_uniform: { from: 0.001, to: 0.1 } } } }],
      })
      .optional()
      .describe("Points drawn at random; each is crossed with every other axis of the grid."),
  })
  .meta({ id: "grid", description: "One grid: every combination of its axes.", ...DOTTED });
export type GridFile = z.output<typeof gridSchema>;

export const axesSchema = z
  .union([gridSchema, z.array(gridSchema).min(1).max(MAX_GRIDS)], {
    error: "a map of axes, or a list of such maps",
  })
  .describe("What is varied: one grid, or a list of grids whose union is trained.");
export type Axes = z.output<typeof axesSchema>;
