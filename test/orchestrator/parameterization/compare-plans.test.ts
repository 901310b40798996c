/** What differs between the plans of two grid points: checked against what the parameterization's rules say must differ. */
import { describe, expect, it } from "vitest";
import { comparePlans } from "../../../orchestrator/parameterization/compare-plans.ts";
import { cellsOf, gridText } from "../../support/database.ts";

const plansOf = (grid: Parameters<typeof gridText>[0]) => cellsOf(gridText(grid)).map((cell) => cell.plan);

describe("plans", () => {
  it("that are the same have no differences", () => {
    const [plan] = plansOf({ rates: "[0.01]" });
    expect(comparePlans([plan!, plan!])).toEqual([]);
  });

  it("of two seeds differ in the seed", () => {
    expect(comparePlans(plansOf({ rates: "[0.01]", seeds: "[3, 8]" }))).toEqual([
      { name: "seed", groups: [], values: [3, 8] },
    ]);
  });

  it("of two learning rates differ in every group's rate by that factor, groups of one rate together", () => {
    const plans = plansOf({ rates: "[0.25, 0.5]" });
    const differences = comparePlans(plans).filter(({ name }) => name === "learning_rate");
    expect(differences.flatMap(({ groups }) => groups).sort()).toEqual(
      plans[0]!.groups.map((g) => g.name).sort(),
    );
    for (const { values } of differences) expect(Number(values[1]) / Number(values[0])).toBeCloseTo(2, 12);
    const tuples = differences.map(({ values }) => JSON.stringify(values));
    expect(new Set(tuples).size).toBe(tuples.length);
  });

  it("of two sparsities under SμPar differ in density, init and rate of the masked groups", () => {
    const masked = [
      "attention_key",
      "attention_output",
      "attention_query",
      "attention_value",
      "ffn_down",
      "ffn_gate",
      "ffn_up",
    ];
    const differences = comparePlans(plansOf({ sparsity: "[0, 0.75]", rates: "[0.01]" }));
    const density = differences.find(({ name }) => name === "density")!;
    expect(density.values).toEqual([1, 0.25]);
    expect([...density.groups].sort()).toEqual(masked);
    // arXiv 2405.15743, table 1: hidden init variance and learning rate scale with 1 / density.
    for (const { values } of differences.filter((d) => d.name === "learning_rate"))
      expect(Number(values[1]) / Number(values[0])).toBeCloseTo(4, 12);
    for (const { values } of differences.filter((d) => d.name === "init_std"))
      expect(Number(values[1]) / Number(values[0])).toBeCloseTo(2, 12);
    expect(new Set(differences.map(({ name }) => name))).toEqual(
      new Set(["density", "init_std", "learning_rate"]),
    );
  });
});
