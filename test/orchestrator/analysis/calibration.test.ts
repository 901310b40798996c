/**
 * The estimator's promise, held to on every change: bias and coverage on synthetic curves with fixed seeds. Limits leave
 * room for the draws' own scatter (600 draws: about ±1 point of coverage); `npm run bench:estimator` measures finely.
 */
import { expect, it } from "vitest";
import { drawCurve, drawTruth, gridOf, seededRandom } from "../../../bench/synthetic-curves.ts";
import { fitOptimum } from "../../../orchestrator/analysis/optimum.ts";

const DRAWS = 600;

function calibrate(setting: { rates: number; spacing: number; seeds: number; noise: number }) {
  const random = seededRandom(20240521);
  const grid = gridOf(setting.rates, setting.spacing);
  let [bracketed, covered, bias, argminSquares, squares] = [0, 0, 0, 0, 0];
  for (let i = 0; i < DRAWS; i++) {
    const truth = drawTruth(random, random.uniform(grid[0]!, grid.at(-1)!));
    const o = fitOptimum(
      drawCurve(random, truth, grid, setting.seeds, {
        independent: setting.noise,
        common: setting.noise,
        tilt: 0,
      }),
    );
    if (o.flag !== "bracketed") continue;
    bracketed++;
    if (o.log2_tuned_low! <= truth.optimum && truth.optimum <= o.log2_tuned_high!) covered++;
    bias += o.log2_tuned! - truth.optimum;
    squares += (o.log2_tuned! - truth.optimum) ** 2;
    argminSquares += (o.grid_log2_tuned! - truth.optimum) ** 2;
  }
  return {
    share: bracketed / DRAWS,
    coverage: covered / bracketed,
    bias: bias / bracketed,
    gain: Math.sqrt(argminSquares / squares),
  };
}

it("one octave, three seeds, 0.5%: bias within 0.05 octave, coverage as promised, far closer than the argmin", () => {
  const { share, coverage, bias, gain } = calibrate({ rates: 7, spacing: 1, seeds: 3, noise: 0.005 });
  expect(Math.abs(bias)).toBeLessThan(0.05);
  expect(coverage).toBeGreaterThan(0.93);
  expect(share).toBeGreaterThan(0.65);
  expect(gain).toBeGreaterThan(2);
});

it("one seed: the interval widens enough to keep its promise", () => {
  const { share, coverage } = calibrate({ rates: 7, spacing: 1, seeds: 1, noise: 0.005 });
  expect(coverage).toBeGreaterThan(0.93);
  expect(share).toBeGreaterThan(0.5);
});

it("noise of 2%: fewer curves are called bracketed, and those still keep the promise", () => {
  const { share, coverage } = calibrate({ rates: 7, spacing: 1, seeds: 3, noise: 0.02 });
  expect(coverage).toBeGreaterThan(0.92);
  expect(share).toBeLessThan(0.72);
});

it("an optimum outside the grid is hardly ever called bracketed", () => {
  const random = seededRandom(3);
  const grid = gridOf(7, 1);
  let wrong = 0;
  const EACH = 150;
  for (let i = 0; i < EACH; i++) {
    for (const optimum of [grid[0]! - random.uniform(0.3, 2), grid.at(-1)! + random.uniform(0.3, 2)]) {
      const truth = drawTruth(random, optimum);
      const curve = drawCurve(random, truth, grid, 3, { independent: 0.005, common: 0.005, tilt: 0 });
      if (fitOptimum(curve).flag === "bracketed") wrong++;
    }
  }
  expect(wrong / (2 * EACH)).toBeLessThan(0.05);
});
