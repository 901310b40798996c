/** Small sweep files made to keep whoever reads them busy: each is answered, and refused with a clear message or counted right. */
import { describe, expect, it } from "vitest";
import { expandPhase } from "../../../orchestrator/sweep/expand-sweep.ts";
import { parseSweep } from "../../../orchestrator/sweep/parse-sweep.ts";
import { HOSTILE_SWEEPS } from "../../support/hostile-sweeps.ts";
import { errorOf } from "./small-sweep.ts";

const data = { hash: "0123456789abcdef", vocab_size: 256 };
const countsOf = (name: keyof typeof HOSTILE_SWEEPS) =>
  parseSweep(HOSTILE_SWEEPS[name], "hostile.yaml").phases.map((phase) => expandPhase(phase, data).counts());

describe("refused", () => {
  it.each<[name: keyof typeof HOSTILE_SWEEPS, mistakes: number, first: RegExp]>([
    [
      "two axes of 100,000 that a rule compares",
      1,
      /axes: 10000000000 points \(.*width 100000 × d_head 100000.*\); expected at most 1000000 in one sweep$/,
    ],
    [
      "two axes of 1,000 that hardly ever fit",
      1,
      /axes\.width: width 1 is not divisible by d_head 2; .*\(and at least 999 more such values here\)/,
    ],
    ["four axes of 1,000", 1, /axes: 1000000000000 points/],
    ["20 random grids of 100,000", 1, /axes: 2000000 points \(.*; and 17 more grids\)/],
    ["200 grids of powers of two", 1, /axes: \d+ values of axes|axes: \d+ points/],
    [
      "more values of axes than points",
      1,
      /axes: \d+ values of axes \(.*expected at most 500000 in one sweep/,
    ],
    ["2,000 phases", 1, /phases: expected at most 100 values; the list has 2000/],
    [
      "a source of 900,000 curves",
      1,
      /phases\[0\]\.axes: the values of these axes meet in too many ways .*expected at most 200000 combinations/,
    ],
    ["a coordinate check of 100,000 widths", 1, /coordinate_check/],
    ["20,000 unknown keys", 20_000, /key0: unknown key "key0"; expected one of name/],
    ["20,000 unknown keys within a section", 20_000, /base\.overrides\.k0: unknown key "k0"/],
    ["20,000 keys given again", 20_000, /this key is given twice/],
    ["50,000 wrong items", 50_000, /axes\.learning_rate\[0\]: expected more than 0; got -1/],
    [
      "10,000 rows with unknown keys",
      10_000,
      /axes\.together\[0\]\.wdth: unknown key "wdth"; did you mean "width"/,
    ],
    ["10,000 wrong phases", 1, /phases: expected at most 100 values; the list has 10000/],
    ["more layers than atoms", 2, /axes\.layers\[0\]: expected at most 1000; got 9007199254740991/],
    ["a name of 300 kB", 1, /name: expected a name .*got the text "x{80}…"$/],
    ["lists in lists, 100,000 deep", 1, /too deep to be read/],
    ["20,000 lines that are no YAML", 1, /not valid YAML: Tabs are not allowed/],
    ["aliases of aliases", 1, /not valid YAML: Excessive alias count/],
  ])("%s: %i mistakes", (name, mistakes, first) => {
    const { problems, more, message } = errorOf(HOSTILE_SWEEPS[name]);
    expect(message.split("\n")[0]).toMatch(first);
    expect(problems.length + more).toBe(mistakes);
    expect(problems.length).toBe(Math.min(mistakes, 100));
  });

  it("of many mistakes the first hundred are told, and how many more there are", () => {
    const { message } = errorOf(HOSTILE_SWEEPS["20,000 unknown keys"]);
    const told = message.split("\n");
    expect(told).toHaveLength(101);
    expect(told[100]).toBe("and 19,900 more mistakes");
  });

  it.each(["10,000 wrong grids", "broken maps in maps"] as const)("%s", (name) => {
    expect(errorOf(HOSTILE_SWEEPS[name]).problems.length).toBeGreaterThan(0);
  });
});

describe("accepted, and counted without building a point", () => {
  it("grids that have most of their points in common", () => {
    // 4 parameterizations × 10 widths × 50 sparsities × 5 seeds, and rates 2^-16 … 2^-5.
    expect(countsOf("ten grids at the limit, much the same")).toEqual([
      { points: 1_000_000, duplicates: 880_000, cells: 120_000 },
    ]);
  });

  it("points that are drawn at random, and lists of thousands", () => {
    expect(countsOf("random grids at the limit")).toEqual([
      { points: 830_000, duplicates: 0, cells: 830_000 },
    ]);
    // 0.01 and 0.010 are one number.
    expect(countsOf("50,000 items")).toEqual([{ points: 50_000, duplicates: 5000, cells: 45_000 }]);
  });

  it("phases that each take from the one before", () => {
    const counts = countsOf("100 phases that each take from the one before");
    expect(counts.map(({ cells }) => cells)).toEqual([160, ...Array.from({ length: 99 }, () => 240)]);
  });
});
