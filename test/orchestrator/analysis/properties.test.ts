/** What must hold for every curve: symmetries of the estimate, and flags that never overstate. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { drawCurve, drawTruth, gridOf, seededRandom } from "../../../bench/synthetic-curves.ts";
import { fitOptimum } from "../../../orchestrator/analysis/optimum.ts";
import type { CurveInput, Optimum } from "../../../orchestrator/analysis/types.ts";

const curves = fc
  .record({
    seed: fc.integer({ min: 1, max: 1e6 }),
    rates: fc.integer({ min: 4, max: 9 }),
    seeds: fc.integer({ min: 1, max: 4 }),
    noise: fc.constantFrom(0.001, 0.005, 0.02),
  })
  .map(({ seed, rates, seeds, noise }) => {
    const random = seededRandom(seed);
    const grid = gridOf(rates, 1);
    const truth = drawTruth(random, random.uniform(grid[0]!, grid.at(-1)!));
    return drawCurve(random, truth, grid, seeds, { independent: noise, common: noise, tilt: 0 });
  });

const mapPoints = (c: CurveInput, f: (p: CurveInput["points"][number]) => CurveInput["points"][number]) => ({
  points: c.points.map(f),
});
const NUMBERS = [
  "log2_tuned",
  "log2_tuned_low",
  "log2_tuned_high",
  "log2_tuned_low_90",
  "log2_tuned_high_90",
  "valley_low",
  "valley_high",
] as const;

function expectSame(a: Optimum, b: Optimum, shift = 0): void {
  expect(b.flag).toBe(a.flag);
  for (const key of NUMBERS) {
    if (a[key] === null) expect(b[key]).toBeNull();
    else expect(b[key]!).toBeCloseTo(a[key] + shift, 6);
  }
}

const RUNS = { numRuns: 40 };

describe("for every curve", () => {
  it("moving the rates moves the optimum", () => {
    fc.assert(
      fc.property(curves, fc.integer({ min: -64, max: 64 }), (curve, eighths) => {
        const shift = eighths / 8;
        const moved = mapPoints(curve, (p) => ({ ...p, log2_tuned: p.log2_tuned + shift }));
        expectSame(fitOptimum(curve), fitOptimum(moved), shift);
      }),
      RUNS,
    );
  });

  it("the unit of the loss does not matter", () => {
    fc.assert(
      fc.property(curves, fc.double({ min: 0.1, max: 10, noNaN: true }), (curve, unit) => {
        const scaled = mapPoints(curve, (p) => ({
          ...p,
          seeds: p.seeds.map((s) => ({ ...s, loss: s.loss === null ? null : s.loss * unit })),
        }));
        const [a, b] = [fitOptimum(curve), fitOptimum(scaled)];
        expectSame(a, b);
        if (a.loss !== null) expect(b.loss! / a.loss).toBeCloseTo(unit, 6);
      }),
      RUNS,
    );
  });

  it("the order of points and seeds, and the seeds' numbers, do not matter", () => {
    fc.assert(
      fc.property(curves, (curve) => {
        const shuffled = {
          points: [...curve.points]
            .reverse()
            .map((p) => ({ ...p, seeds: [...p.seeds].reverse().map((s) => ({ ...s, seed: 100 - s.seed })) })),
        };
        expectSame(fitOptimum(curve), fitOptimum(shuffled));
      }),
      RUNS,
    );
  });

  it("a planned rate beside the best without results makes it incomplete", () => {
    fc.assert(
      fc.property(curves, fc.constantFrom(-0.5, 0.5), (curve, offset) => {
        const best = fitOptimum(curve).grid_log2_tuned;
        fc.pre(best !== null);
        const hole = { log2_tuned: best! + offset, seeds: [], missing: 2 };
        expect(fitOptimum({ points: [...curve.points, hole] }).flag).toBe("incomplete");
      }),
      RUNS,
    );
  });

  it("only a bracketed optimum carries an estimate, and it lies inside its interval and the grid", () => {
    fc.assert(
      fc.property(curves, (curve) => {
        const o = fitOptimum(curve);
        expect(o.log2_tuned !== null).toBe(o.flag === "bracketed");
        if (o.flag !== "bracketed") return;
        const order = [
          gridOf(1, 1)[0]!,
          o.log2_tuned_low!,
          o.log2_tuned_low_90!,
          o.log2_tuned!,
          o.log2_tuned_high_90!,
          o.log2_tuned_high!,
          curve.points.at(-1)!.log2_tuned,
        ];
        expect(order).toEqual([...order].sort((a, b) => a - b));
        expect(o.loss_low!).toBeLessThan(o.loss!);
        expect(o.loss!).toBeLessThan(o.loss_high!);
        expect(o.valley_low!).toBeLessThan(o.valley_high!);
      }),
      RUNS,
    );
  });
});
