/** Repeated points are found by numbers; held against building every point and comparing its coordinates. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { product } from "../../../orchestrator/sweep/combinations.ts";
import { coordinateNames, coordinatesReader, expandPhase } from "../../../orchestrator/sweep/expand-sweep.ts";
import { findRepeats } from "../../../orchestrator/sweep/find-repeats.ts";
import { readGrids } from "../../../orchestrator/sweep/grids.ts";
import { settingsReader } from "../../../orchestrator/sweep/settings-of.ts";
import { smallSweep } from "./small-sweep.ts";

const some = <T>(...values: T[]) =>
  fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 3 });
/** Values that follow from others are among them: steps from tokens, the feed-forward width from the width, init_std from the parameterization. */
const grid = fc.record(
  {
    parameterization: some("sp", "mup", "supar"),
    width: some(32, 64, 128),
    sparsity: some(0, 0.25, 0.5),
    learning_rate: some(0.01, 0.02, 0.1),
    ffn_width: some(85, 171, 300),
    seed: some(1, 2),
    steps: some(10, 20, 100),
    batch_size: some(4, 8),
    warmup_steps: some(1, 2),
    clip_norm: some(1, null),
    init_std: some(0.02, 0.08665602),
  },
  { requiredKeys: ["parameterization"] },
);
const tied = fc.record({
  parameterization: some("sp", "mup"),
  together: fc.uniqueArray(
    fc.record({ width: fc.constantFrom(32, 64), learning_rate: fc.constantFrom(0.01, 0.02) }),
    {
      minLength: 1,
      maxLength: 3,
      selector: (row) => JSON.stringify(row),
    },
  ),
});
const byTokens = fc.record({
  parameterization: some("sp", "mup"),
  tokens: some(5120, 2560, 640),
  batch_size: some(4, 8),
  warmup_fraction: some(0.1, 0.2),
});

it("the same points as one by one", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(grid, tied, byTokens), { minLength: 1, maxLength: 5 }), (axes) => {
      const [phase] = smallSweep({
        axes: `axes: ${JSON.stringify(axes)}`,
        base: "base: {width: 64, ffn_width: 171, learning_rate: 0.01}",
        training: "training: {steps: 20, batch_size: 8, warmup_fraction: 0.05}",
      }).phases;
      const { grids } = readGrids(phase.axes);
      const settings = settingsReader(phase);
      const coordinatesAt = coordinatesReader(grids);
      const seen = new Set<string>();
      const expected = grids.map(({ dimensions }) =>
        [...product(dimensions)].map(({ values }) => {
          const key = JSON.stringify(coordinatesAt(settings, values));
          return seen.has(key) || !seen.add(key);
        }),
      );
      const repeats = findRepeats(grids, coordinateNames(grids), settings);
      const found = expected.map((points, g) => points.map((_, i) => repeats[g]!.has(i)));
      expect(found).toEqual(expected);
      const { cells } = expandPhase(phase, { hash: "0123456789abcdef", vocab_size: 256 }).counts();
      expect(cells).toBe(seen.size);
    }),
    { seed: 1, numRuns: 300 },
  );
});
