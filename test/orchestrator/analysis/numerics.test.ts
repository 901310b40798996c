/** The parts under the fit: seed levels, interpolation, valley shapes. */
import { describe, expect, it } from "vitest";
import { readCurve } from "../../../orchestrator/analysis/curve.ts";
import { LognormalMixture } from "../../../orchestrator/analysis/distribution.ts";
import { monotoneCubic } from "../../../orchestrator/analysis/interpolate.ts";
import { exponentialValley, halfParabolas } from "../../../orchestrator/analysis/shapes.ts";

describe("seed levels", () => {
  const runs = (losses: Record<number, number>) =>
    Object.entries(losses).map(([seed, log]) => ({
      seed: Number(seed),
      loss: Math.exp(log),
      diverged: false,
    }));

  it("are taken out of a table with a run missing, so that the rates compare", () => {
    // Additive by construction: rates 0, 0.02, 0.05; seeds −0.01, 0, +0.01; the last seed has no run at the last rate.
    const curve = readCurve({
      points: [
        { log2_tuned: 1, missing: 0, seeds: runs({ 1: -0.01, 2: 0, 3: 0.01 }) },
        { log2_tuned: 2, missing: 0, seeds: runs({ 1: 0.01, 2: 0.02, 3: 0.03 }) },
        { log2_tuned: 3, missing: 1, seeds: runs({ 1: 0.04, 2: 0.05 }) },
      ],
    });
    expect(curve.stable[1]!.y - curve.stable[0]!.y).toBeCloseTo(0.02, 10);
    expect(curve.stable[2]!.y - curve.stable[1]!.y).toBeCloseTo(0.03, 10);
    expect(curve.residual_ss).toBeCloseTo(0, 12);
    // 8 runs, 3 rates, 3 seeds: 8 − 3 − 2.
    expect(curve.residual_df).toBe(3);
  });
});

describe("monotone cubic", () => {
  const points = [
    { x: 0, y: 0 },
    { x: 1, y: 1 },
    { x: 2, y: 4 },
    { x: 3, y: 4 },
  ];
  it("passes through its points", () => {
    for (const p of points) expect(monotoneCubic(points, p.x)).toBeCloseTo(p.y, 12);
  });
  it("uses the harmonic mean of the slopes: 1.5 at the second point, 0 before the plateau", () => {
    // Hermite at the middle of [1, 2]: (1 + 4)/2 + (1.5 − 0)/8.
    expect(monotoneCubic(points, 1.5)).toBeCloseTo(2.6875, 12);
  });
  it("never leaves the range of its neighbours", () => {
    for (let x = 2; x <= 3; x += 0.05) expect(monotoneCubic(points, x)).toBeCloseTo(4, 12);
  });
});

describe("valley shapes", () => {
  it("are parabolas without skew", () => {
    for (const valley of [halfParabolas(0), exponentialValley(0)])
      for (const u of [-2, -0.5, 1, 3]) expect(valley.excess(u)).toBeCloseTo(u * u, 6);
  });
  it("reach a level where they say they do", () => {
    for (const skew of [-0.6, 0.55, 1.7]) {
      for (const valley of [halfParabolas(skew), exponentialValley(skew)]) {
        expect(valley.excess(valley.right(0.7))).toBeCloseTo(0.7, 8);
        expect(valley.excess(-valley.left(0.7))).toBeCloseTo(0.7, 8);
      }
    }
  });
  it("are steeper on the right when skewed", () => {
    for (const valley of [halfParabolas(0.5), exponentialValley(0.5)])
      expect(valley.excess(1)).toBeGreaterThan(valley.excess(-1));
  });
});

describe("mixture of lognormals", () => {
  it("has the quantiles of a lognormal: e^(mean + z·sd), z from a table of the normal distribution", () => {
    const one = new LognormalMixture([{ weight: 2, mean_log: -5, sd_log: 0.4 }]);
    expect(Math.log(one.quantile(0.975))).toBeCloseTo(-5 + 0.4 * 1.959964, 6);
    expect(Math.log(one.quantile(0.5))).toBeCloseTo(-5, 6);
  });

  it("is symmetric where its parts are, finds a far part's tail, and counts what is zero for certain", () => {
    const far = { mean_log: -15, sd_log: 0.1 };
    const near = { mean_log: -3, sd_log: 0.1 };
    const two = new LognormalMixture([
      { weight: 1, ...far },
      { weight: 1, ...near },
    ]);
    // Half of the upper part lies above its middle.
    expect(Math.log(two.quantile(0.75))).toBeCloseTo(-3, 6);
    expect(Math.log(two.quantile(0.25))).toBeCloseTo(-15, 6);
    const zero = new LognormalMixture([
      { weight: 1, mean_log: Math.log(1e-12), sd_log: 0 },
      { weight: 1, ...near },
    ]);
    expect(zero.quantile(0.4)).toBe(0);
    expect(Math.log(zero.quantile(0.75))).toBeCloseTo(-3, 6);
  });
});
