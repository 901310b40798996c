/** Which runs `extend` and `refine` add, worked out by hand. */
import { describe, expect, it } from "vitest";
import {
  extendCurve,
  type PlannedCurve,
  refineCurve,
  refineVerdict,
} from "../../../orchestrator/analysis/more-runs.ts";
import { fitOptimum } from "../../../orchestrator/analysis/optimum.ts";
import type { Optimum } from "../../../orchestrator/analysis/types.ts";

/** A curve over powers of two (exponent → loss, null: diverges), the same for every seed; what the fit says may be replaced. */
function planned(
  losses: Record<number, number | null>,
  options: { seeds?: number[]; optimum?: Partial<Optimum> } = {},
): PlannedCurve {
  const seeds = options.seeds ?? [1];
  const exponents = Object.keys(losses)
    .map(Number)
    .sort((a, b) => a - b);
  const curve = {
    points: exponents.map((log2_tuned) => ({
      log2_tuned,
      missing: 0,
      seeds: seeds.map((seed) => ({
        seed,
        loss: losses[log2_tuned]!,
        diverged: losses[log2_tuned] === null,
      })),
    })),
  };
  return {
    curve,
    optimum: { ...fitOptimum(curve), ...options.optimum },
    rates: exponents.map((x) => 2 ** x),
    seeds,
  };
}

describe("extend", () => {
  it("adds the next rate below when the lowest is best, at every seed", () => {
    const more = extendCurve(planned({ [-8]: 2, [-7]: 2.5, [-6]: 3.2 }, { seeds: [1, 2] }));
    expect(more).toEqual({
      points: [
        { tuned_value: 2 ** -9, seed: 1 },
        { tuned_value: 2 ** -9, seed: 2 },
      ],
      reason: "extend: optimum at the low edge of 2^-8 to 2^-6",
    });
  });

  it("adds the next rate above when the highest is best, at the grid's own spacing", () => {
    const more = extendCurve(planned({ [-10]: 3.2, [-8]: 2.5, [-6]: 2 }));
    expect(more).toEqual({
      points: [{ tuned_value: 2 ** -4, seed: 1 }],
      reason: "extend: optimum at the high edge of 2^-10 to 2^-6",
    });
  });

  it("is never spent between two ways to write one rate", () => {
    const edge = planned({ [-8]: 2, [-7]: 2.5, [-6]: 3.2 });
    const twins = { ...edge, rates: [0.0039062, 2 ** -8, 2 ** -7, 2 ** -6] };
    // A neighbour at 2^-8 · 0.9999 would be an octave that is none.
    expect(extendCurve(twins)!.points[0]!.tuned_value).toBeCloseTo(2 ** -9, 5);
  });

  it("adds nothing into divergence, nor where the wall is the edge", () => {
    const beside = planned({ [-8]: 3.2, [-7]: 2.5, [-6]: 2, [-5]: null });
    expect(beside.optimum.flag).toBe("edge is divergence");
    expect(extendCurve(beside)).toBeNull();
    const known = planned({ [-8]: 3.2, [-7]: 2.5, [-6]: 2 }, { optimum: { stability_edge: -5 } });
    expect(known.optimum.flag).toBe("at high edge");
    expect(extendCurve(known)).toBeNull();
  });

  it.each([
    [{ [-8]: null, [-7]: null, [-6]: null }, "all of 2^-8 to 2^-6 diverge"],
    [{ [-8]: 2, [-7]: null, [-6]: null }, "all but 1 of 2^-8 to 2^-6 diverge"],
    [{ [-8]: 2.1, [-7]: 2, [-6]: null }, "all but 2 of 2^-8 to 2^-6 diverge"],
  ])("goes below rates that diverge: %o", (losses, why) => {
    expect(extendCurve(planned(losses))).toEqual({
      points: [{ tuned_value: 2 ** -9, seed: 1 }],
      reason: `extend: ${why}`,
    });
    expect(extendCurve(planned({ [-8]: 2.1, [-7]: 2 }))).toBeNull();
  });

  it("goes on above a rate at which one seed diverged and that a higher one has passed", () => {
    const whole = planned({ [-8]: 3.2, [-7]: 2.8, [-6]: 2.4, [-5]: 2 }, { seeds: [1, 2, 3] });
    const points = whole.curve.points.map((point) =>
      point.log2_tuned === -7
        ? { ...point, seeds: [{ seed: 1, loss: null, diverged: true }, ...point.seeds.slice(1)] }
        : point,
    );
    const unlucky = { ...whole, curve: { points }, optimum: fitOptimum({ points }) };
    expect(unlucky.optimum).toMatchObject({ flag: "at high edge", stability_edge: -7 });
    expect(extendCurve(unlucky)!.points[0]).toEqual({ tuned_value: 2 ** -4, seed: 1 });
  });

  it("adds nothing to a curve that is bracketed, or lacks points", () => {
    const bracketed = planned({ [-9]: 3.8, [-8]: 2.45, [-7]: 2, [-6]: 2.45, [-5]: 3.8 });
    expect(bracketed.optimum.flag).toBe("bracketed");
    expect(extendCurve(bracketed)).toBeNull();
    expect(extendCurve(planned({ [-8]: 2, [-7]: 2.1 }))).toBeNull();
  });
});

describe("refine, one curve", () => {
  it("puts a rate halfway between the best and the wall", () => {
    const more = refineCurve(planned({ [-8]: 3.2, [-7]: 2.5, [-6]: 2, [-5]: null }, { seeds: [4, 5] }));
    // √(2^-6 · 2^-5) = 2^-5.5
    expect(more?.points.map((p) => [Math.log2(p.tuned_value), p.seed])).toEqual([
      [-5.5, 4],
      [-5.5, 5],
    ]);
    expect(more?.reason).toBe("refine: between 2^-6 and 2^-5, the optimum lies beside a rate that diverges");
  });

  it("goes to the wall where noise leaves open that the optimum is there, with seeds once there is no room", () => {
    const open = planned({ [-8]: 2.3, [-7]: 2.05, [-6]: 2, [-5]: 2.001, [-4]: null });
    expect(open.optimum.flag).toBe("edge is divergence");
    const more = refineCurve(open);
    expect(more?.points.map((p) => [Math.log2(p.tuned_value), p.seed])).toEqual([[-4.5, 1]]);
    expect(more?.reason).toBe("refine: between 2^-5 and 2^-4, the optimum lies beside a rate that diverges");
    const narrow = planned(
      { [-8]: 2.3, [-7]: 2.03, [-6]: 2, [-5]: 2.0005, [-4.6]: null },
      { optimum: { flag: "edge is divergence" } },
    );
    expect(refineCurve(narrow)).toMatchObject({
      points: [-7, -6, -5].map((x) => ({ tuned_value: 2 ** x, seed: 2 })),
      reason: "refine: another seed, the optimum may lie beside a rate that diverges",
    });
  });

  it("stops halving when the rates would come closer than a quarter octave", () => {
    const curve = planned({ [-8]: 3.2, [-7]: 2.5, [-6]: 2, [-5.6]: null });
    expect(curve.optimum.flag).toBe("edge is divergence");
    expect(refineCurve(curve)).toBeNull();
  });

  it("adds another seed where noise hides the optimum, only at rates within 10% of the best", () => {
    const flat = planned(
      { [-9]: 2.5, [-8]: 2.001, [-7]: 2, [-6]: 2.001 },
      { seeds: [1, 2], optimum: { flag: "too noisy" } },
    );
    expect(refineCurve(flat)).toEqual({
      // 2.5 is 25% above 2: it would not count.
      points: [-8, -7, -6].map((x) => ({ tuned_value: 2 ** x, seed: 3 })),
      reason: "refine: another seed, noise hides the optimum",
    });
  });

  it("adds another seed where two places may be the optimum", () => {
    const two = planned({ [-8]: 2.05, [-7]: 2, [-6]: 2.05, [-5]: 2.001 }, { optimum: { flag: "ambiguous" } });
    expect(refineCurve(two)?.reason).toBe("refine: another seed, two places may be the optimum");
    expect(refineCurve(two)?.points.map((p) => p.seed)).toEqual([2, 2, 2, 2]);
  });

  it("leaves alone what is bracketed, and edges, which are for extend", () => {
    expect(refineCurve(planned({ [-9]: 3.8, [-8]: 2.45, [-7]: 2, [-6]: 2.45, [-5]: 3.8 }))).toBeNull();
    expect(refineCurve(planned({ [-8]: 2, [-7]: 2.5, [-6]: 3.2 }))).toBeNull();
  });
});

describe("refine, an undecided verdict", () => {
  const losses = { [-9]: 3.8, [-8]: 2.45, [-7]: 2, [-6]: 2.1, [-5]: 3.8 };

  it("adds a seed when seeds would decide it", () => {
    // 2.1 is 5% above 2; 2.45 and 3.8 are more than 10% above.
    expect(refineVerdict(planned(losses), { more_seeds: 4 })).toEqual({
      points: [
        { tuned_value: 2 ** -7, seed: 2 },
        { tuned_value: 2 ** -6, seed: 2 },
      ],
      reason: "refine: another seed, about 4 more would decide the verdict",
    });
  });

  it("else a rate in the widest gap in which the optimum may lie, the nearest of equal ones", () => {
    const interval = {
      flag: "bracketed" as const,
      log2_tuned: -6.6,
      log2_tuned_low: -7.2,
      log2_tuned_high: -6.2,
    };
    const more = refineVerdict(planned(losses, { optimum: interval }), { more_seeds: null });
    // The gaps −8 to −7 and −7 to −6 reach into the interval; the centre of the second is nearer to −6.6.
    expect(more?.points.map((p) => Math.log2(p.tuned_value))).toEqual([-6.5]);
    expect(more?.reason).toBe("refine: between 2^-7 and 2^-6, the verdict needs points near the optimum");
  });

  it("in no gap that has a rate already, whose runs failed or diverged: it would be asked for for ever", () => {
    const interval = {
      flag: "bracketed" as const,
      log2_tuned: -6.6,
      log2_tuned_low: -7.2,
      log2_tuned_high: -6.2,
    };
    const curve = planned(losses, { optimum: interval });
    const more = refineVerdict({ ...curve, rates: [...curve.rates, 2 ** -6.5].sort() }, { more_seeds: null });
    expect(more?.points.map((p) => Math.log2(p.tuned_value))).toEqual([-7.5]);
    const full = { ...curve, rates: [...curve.rates, 2 ** -6.5, 2 ** -7.5].sort() };
    expect(refineVerdict(full, { more_seeds: null })?.reason).toBe(
      "refine: another seed, the verdict is undecided",
    );
  });

  it("another seed where the only one diverged amid rates that trained", () => {
    const lone = planned({ [-8]: 2.2, [-7]: 2.04, [-6]: null, [-5]: 2.04, [-4]: 2.2, [-9]: 2.4, [-3]: 2.4 });
    expect(
      refineVerdict({ ...lone, optimum: { ...lone.optimum, flag: "bracketed" } }, { more_seeds: 3 }),
    ).toEqual({
      points: [{ tuned_value: 2 ** -6, seed: 2 }],
      reason: "refine: another seed at 2^-6.00, where runs diverged though higher rates trained",
    });
  });

  it("a seed after all when the rates are as close as they may come", () => {
    const close = { [-7.8]: 2.4, [-7.4]: 2.02, [-7]: 2, [-6.6]: 2.03, [-6.2]: 2.4 };
    const optimum = {
      flag: "bracketed" as const,
      log2_tuned: -7.1,
      log2_tuned_low: -7.3,
      log2_tuned_high: -6.8,
    };
    const more = refineVerdict(planned(close, { optimum }), { more_seeds: null });
    expect(more?.reason).toBe("refine: another seed, the verdict is undecided");
    expect(more?.points.map((p) => p.seed)).toEqual([2, 2, 2]);
  });

  it("nothing for a curve that is not bracketed", () => {
    expect(refineVerdict(planned({ [-8]: 2, [-7]: 2.5, [-6]: 3.2 }), { more_seeds: 1 })).toBeNull();
  });
});
