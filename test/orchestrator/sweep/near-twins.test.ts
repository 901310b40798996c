/** Values that are meant to be one number and are two get a warning with their place; what is meant to differ gets none. */
import { describe, expect, it } from "vitest";
import { parseSweepFile } from "../../../orchestrator/sweep/parse-sweep.ts";
import { marked, sweepText } from "./small-sweep.ts";

function warningsOf(axes: string) {
  const { text, places } = marked(sweepText({ axes }));
  const { warnings } = parseSweepFile(text, "small.yaml");
  expect(warnings.map(({ line, column }) => ({ line, column }))).toEqual(places);
  return warnings.map(({ path, message }) => `${path}: ${message}`);
}

describe("is warned of", () => {
  it("a power of two that was written in decimals, beside the power itself", () => {
    const axes = `axes:
  - {parameterization: [sp], learning_rate: {log2: {from: -11, to: -9}}}
  - {parameterization: [supar], learning_rate: [0.005, §0.00097656]}`;
    expect(warningsOf(axes)).toEqual([
      "axes[1].learning_rate[1]: 0.00097656 is nearly 0.0009765625 (2^-10), which is another point of learning_rate: both are trained; write one number for both",
    ]);
  });

  it("a sum of decimals beside what it should be; a sparsity that differs in the last digit", () => {
    expect(
      warningsOf(
        "axes: {parameterization: sp, learning_rate: [0.3, §0.30000000000000004], sparsity: [0.9375, §0.93749999]}",
      ),
    ).toEqual([
      expect.stringContaining("0.30000000000000004 is nearly 0.3,"),
      expect.stringContaining("sparsity[1]: 0.93749999"),
    ]);
  });

  it("in phases, at the phase that has it", () => {
    const text = marked(`${sweepText().replace(/axes:.*\n/, "")}phases:
  - {name: a, axes: {parameterization: [sp], learning_rate: [0.01, 0.02]}}
  - {name: b, axes: {parameterization: [sp], learning_rate: [0.01, §0.0100001]}}
`);
    const { warnings } = parseSweepFile(text.text, "small.yaml");
    expect(warnings).toEqual([
      expect.objectContaining({ ...text.places[0], path: "phases[1].axes.learning_rate[1]" }),
    ]);
  });
});

it.each([
  ["a fine range", "learning_rate: {log2: {from: -8, to: -7, step: 0.001}}"],
  ["densities of hundredths", "learning_rate: 0.1, sparsity: [0.9, 0.91, 0.92, 0, 0.001]"],
  ["numbers of steps", "learning_rate: 0.1, steps: [10000, 10001]"],
  ["β near 1", "learning_rate: 0.1, beta2: [0.999, 0.9995, 0.9999]"],
  ["the same number in two grids", "learning_rate: [0.25, 0.5]"],
  [
    "what chance has drawn",
    "random: {n: 500, distributions: {learning_rate: {uniform: {from: 0.1, to: 0.2}}}}",
  ],
])("%s is not", (_, axes) => {
  const grid = `{parameterization: sp, ${axes}}`;
  expect(warningsOf(`axes: [${grid}, ${grid.replace("sp", "supar")}]`)).toEqual([]);
});
