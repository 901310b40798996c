/** Sweep files of every kind of wrong: each is read, or refused with places and messages; what is read expands to sound plans. */
import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { expandPhase } from "../../orchestrator/sweep/expand-sweep.ts";
import { parseSweepFile } from "../../orchestrator/sweep/parse-sweep.ts";
import { MAX_TOLD, SweepFileError } from "../../orchestrator/sweep/problems.ts";
import { takenAxes } from "../../orchestrator/sweep/taken-axes.ts";
import { SWEEP_TEMPLATE } from "../../orchestrator/sweep/template.ts";
import { HYPERPARAMETER_NAMES } from "../../schema/sweep/hyperparameters.ts";
import { parameterCount, trainingFlops } from "../../schema/wire/cost.ts";
import { modelPlan, planSchema, runIdOf } from "../../schema/wire/plan.ts";
import { HOSTILE_SWEEPS } from "../support/hostile-sweeps.ts";
import { changed, damaged, oddNumber, oddText, oddValue } from "./arbitraries.ts";
import { FUZZ } from "./runs.ts";

const directory = new URL("../../sweeps/", import.meta.url);
const SHIPPED = [
  SWEEP_TEMPLATE,
  ...readdirSync(directory).map((name) => readFileSync(new URL(name, directory), "utf8")),
];
const PIECES = [
  " ",
  "\n",
  "  ",
  ":",
  "- ",
  "{",
  "}",
  "[",
  "]",
  ",",
  "&a ",
  "*a",
  "!!str ",
  "|",
  ">",
  "'",
  '"',
  "#",
  "\t",
  "---\n",
  "%",
  "0",
  "-1",
  ".nan",
  ".inf",
  "1e400",
  "~",
  "log2",
  "from: 1",
  "\u001b",
  "\0",
  "é",
];

/** Axes of every kind, over every name, with bounds and values that nobody would write. */
const exponents = fc.record(
  { from: oddNumber, to: oddNumber, step: oddNumber },
  { requiredKeys: ["from", "to"] },
);
const axis = fc.oneof(
  oddNumber,
  oddText,
  fc.array(fc.oneof(oddNumber, oddText), { maxLength: 5 }),
  fc.record({ log2: exponents }),
  fc.record({ multiples_of: oddNumber, log2: exponents }),
  fc.record({ linear: exponents }),
  fc.record({ count: oddNumber, first: oddNumber }, { requiredKeys: ["count"] }),
  fc.record(
    {
      from: fc.constantFrom("grid", "a", "b"),
      at: fc.dictionary(fc.constantFrom(...HYPERPARAMETER_NAMES), oddNumber),
      multiples: fc.array(oddNumber, { maxLength: 3 }),
    },
    { requiredKeys: ["from"] },
  ),
);
const distribution = fc.oneof(
  fc.record({ log_uniform: fc.record({ from: oddNumber, to: oddNumber }) }),
  fc.record({ uniform: fc.record({ from: oddNumber, to: oddNumber }) }),
  fc.record({ choice: fc.array(fc.oneof(oddNumber, oddText), { maxLength: 3 }) }),
);
const name = fc.constantFrom(...HYPERPARAMETER_NAMES);
const grid = fc
  .tuple(
    fc.dictionary(name, axis, { maxKeys: 5 }),
    fc.record(
      {
        parameterization: fc.constantFrom("sp", ["mup", "supar"], ["completep"], "nonsense"),
        together: fc.array(fc.dictionary(name, oddNumber, { maxKeys: 3 }), { maxLength: 3 }),
        random: fc.record(
          {
            n: fc.oneof(oddNumber, fc.nat(50)),
            seed: oddNumber,
            distributions: fc.dictionary(name, distribution, { maxKeys: 3 }),
          },
          { requiredKeys: ["n", "distributions"] },
        ),
      },
      { requiredKeys: [] },
    ),
  )
  .map(([axes, more]) => ({ ...axes, ...more }));
const section = fc.dictionary(
  fc.oneof(
    name,
    oddText,
    fc.constantFrom("ffn", "ratio", "optimizer", "evaluation", "overrides", "tolerance", "required", "heads"),
  ),
  oddValue,
  { maxKeys: 3 },
);
const sound = {
  name: "fuzz",
  data: { corpus: "moby-dick" },
  model: { width: 64, layers: 2, d_head: 16, sequence_length: 32 },
  training: { steps: 100, batch_size: 8 },
  base: { width: 64, layers: 2, learning_rate: 0.01 },
};
const made = fc
  .record(
    {
      model: section.map((own) => ({ ...sound.model, ...own })),
      training: section.map((own) => ({ ...sound.training, ...own })),
      base: section.map((own) => ({ ...sound.base, ...own })),
      axes: fc.oneof(grid, fc.array(grid, { maxLength: 4 })),
      phases: fc.array(
        fc.record(
          { name: fc.constantFrom("a", "b", "c"), axes: grid, model: section, coordinate_check: section },
          { requiredKeys: ["name", "axes"] },
        ),
        { maxLength: 4 },
      ),
      coordinate_check: section,
      tune: fc.oneof(name, oddText),
      extend: oddValue,
      refine: oddValue,
    },
    { requiredKeys: [] },
  )
  .map((own) => ({ ...sound, ...own }));

/** Files as people mean them. */
const meant = fc
  .record({
    parameterization: fc.subarray(["sp", "mup", "supar", "completep"], { minLength: 1 }),
    sparsity: fc.subarray([0, 0.25, 0.5, 0.875], { minLength: 1 }),
    learning_rate: fc.record({
      log2: fc.record({ from: fc.integer({ min: -14, max: -8 }), to: fc.integer({ min: -7, max: 0 }) }),
    }),
    seed: fc.record({ count: fc.integer({ min: 1, max: 5 }) }),
  })
  .map((axes) => ({ ...sound, axes }));

const text = fc.oneof(
  { arbitrary: meant.map((value) => stringify(value)), weight: 1 },
  { arbitrary: damaged(fc.constantFrom(...SHIPPED), PIECES), weight: 4 },
  {
    arbitrary: changed(fc.constantFrom(...SHIPPED).map((file) => parse(file) as unknown)).map((value) =>
      stringify(value),
    ),
    weight: 4,
  },
  { arbitrary: fc.oneof(made, changed(made)).map((value) => stringify(value)), weight: 4 },
  { arbitrary: oddValue.map((value) => stringify(value)), weight: 1 },
  { arbitrary: fc.string({ unit: "binary", maxLength: 200 }), weight: 1 },
);

/** Every promise about a file, whatever is in it. */
function check(file: string): "read" | "refused" {
  let read: ReturnType<typeof parseSweepFile>;
  try {
    read = parseSweepFile(file, "fuzz.yaml");
  } catch (error) {
    if (!(error instanceof SweepFileError)) throw error;
    expect(error.problems.length).toBeGreaterThan(0);
    expect(error.problems.length).toBeLessThanOrEqual(MAX_TOLD);
    for (const { line, column, message, path } of error.problems) {
      expect(Math.min(line, column)).toBeGreaterThanOrEqual(1);
      expect(message.length + path.length).toBeLessThan(3000);
      expect(message).not.toMatch(/\n|undefined|NaN,|\[object/);
    }
    return "refused";
  }
  // What crosses between processes is JSON.
  expect(JSON.parse(JSON.stringify(read))).toEqual(read);
  for (const phase of [...read.sweep.phases, ...read.sweep.checks]) {
    const expansion = expandPhase(phase, { hash: "0123456789abcdef", vocab_size: 50_257 });
    const { points, cells, duplicates } = expansion.counts();
    expect(points).toBe(cells + duplicates);
    expect(points).toBeLessThanOrEqual(1_000_000);
    if (takenAxes(phase.axes).length > 0) continue;
    let seen = 0;
    for (const { plan: any, run } of expansion.cells()) {
      const plan = modelPlan(any);
      expect(runIdOf(planSchema.parse(JSON.parse(JSON.stringify(plan))))).toBe(run);
      expect(Number.isSafeInteger(parameterCount(plan))).toBe(true);
      expect(Number.isFinite(trainingFlops(plan))).toBe(true);
      if (++seen === 5) break;
    }
    expect(seen).toBe(Math.min(cells, 5));
  }
  return "read";
}

describe("any sweep file", () => {
  it(
    "is read or refused, never anything else",
    () => {
      const outcomes = { read: 0, refused: 0 };
      fc.assert(
        fc.property(text, (file) => {
          outcomes[check(file)]++;
        }),
        FUZZ,
      );
      // Neither half is left untried.
      expect(Math.min(outcomes.read, outcomes.refused)).toBeGreaterThan(10);
    },
    FUZZ.timeout,
  );

  it.each(Object.keys(HOSTILE_SWEEPS) as (keyof typeof HOSTILE_SWEEPS)[])("made to hang: %s", (one) => {
    check(HOSTILE_SWEEPS[one]);
  });
});
