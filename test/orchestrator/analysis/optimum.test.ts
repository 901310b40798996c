/** The optimum of hand-made curves: estimates where the answer is known on paper, and every flag. */
import { describe, expect, it } from "vitest";
import { fitOptimum } from "../../../orchestrator/analysis/optimum.ts";
import { curveOf, type Row, sampled } from "./helpers.ts";

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
/** Log loss is an exact parabola with its vertex at x0: no skew, no noise. */
const parabola = (x0: number, curvature: number) => (x: number) => 3 * Math.exp(curvature * (x - x0) ** 2);
const KNOWN_NOISE = { sd: 0.0005, df: 30 };

describe("an estimate", () => {
  it("lies at the vertex of an exact parabola, whatever its place between the rates", () => {
    for (const x0 of [-7.5, -7.25, -7, -6.8]) {
      const o = fitOptimum(sampled(range(-10, -4), parabola(x0, 0.01), 3, 0.0005));
      expect(o.flag).toBe("bracketed");
      expect(Math.abs(o.log2_tuned! - x0)).toBeLessThan(0.08);
      expect(o.log2_tuned_low!).toBeLessThan(x0);
      expect(o.log2_tuned_high!).toBeGreaterThan(x0);
      expect(o.loss!).toBeCloseTo(3, 2);
    }
  });

  it("takes three points of a parabola with known noise as bracketed, and its interval holds the vertex", () => {
    // Vertex of (−1, 0.9), (0, 0), (1, 1.1) per cent: (0.9 − 1.1)/(2·(0.9 + 1.1)) = −0.05.
    const o = fitOptimum(curveOf({ "-1": 1.009, 0: 1, 1: 1.011 }), { noise: KNOWN_NOISE });
    expect(o.flag).toBe("bracketed");
    expect(o.log2_tuned_low!).toBeLessThan(-0.05);
    expect(o.log2_tuned_high!).toBeGreaterThan(-0.05);
    // Three points cannot tell the skew: the interval says so.
    expect(o.log2_tuned_high! - o.log2_tuned_low!).toBeGreaterThan(0.3);
  });

  it("does not mistake the steep right flank for a minimum farther left", () => {
    // Right side four times as steep: the parabola through everything has its vertex far left of −7.
    const lopsided = (x: number) => 3 * (1 + 0.01 * (x + 7) ** 2 * (x > -7 ? 4 : 1));
    const o = fitOptimum(sampled(range(-10, -5), lopsided, 3, 0.0005));
    expect(Math.abs(o.log2_tuned! + 7)).toBeLessThan(0.25);
    expect(o.log2_tuned_low!).toBeLessThan(-7);
    expect(o.log2_tuned_high!).toBeGreaterThan(-7);
  });

  it("is untouched by a level that differs from seed to seed", () => {
    const rates = range(-10, -4);
    const plain = sampled(rates, parabola(-7.3, 0.01), 3, 0.001);
    const shifted = {
      points: plain.points.map((p) => ({
        ...p,
        seeds: p.seeds.map((s) => ({ ...s, loss: s.loss! * [1, 1.05, 0.97][s.seed]! })),
      })),
    };
    const [a, b] = [fitOptimum(plain), fitOptimum(shifted)];
    expect(b.log2_tuned!).toBeCloseTo(a.log2_tuned!, 6);
    expect(b.log2_tuned_low!).toBeCloseTo(a.log2_tuned_low!, 6);
    // The loss, though, is known less well.
    expect(b.loss_high! - b.loss_low!).toBeGreaterThan(2 * (a.loss_high! - a.loss_low!));
  });

  it("is less sure with one seed than with three", () => {
    const rates = range(-10, -4);
    const [one, three] = [1, 3].map((n) => fitOptimum(sampled(rates, parabola(-7, 0.01), n, 0.001)));
    expect(one!.log2_tuned_high! - one!.log2_tuned_low!).toBeGreaterThan(
      1.3 * (three!.log2_tuned_high! - three!.log2_tuned_low!),
    );
  });

  it("gives the rates within 0.5% of the best loss", () => {
    // ln 1.005 = 0.01·u²: u = 0.706 octaves to each side.
    const o = fitOptimum(sampled(range(-10, -4), parabola(-7, 0.01), 3, 0.0002));
    expect(Math.abs(o.valley_low! + 7.706)).toBeLessThan(0.12);
    expect(Math.abs(o.valley_high! + 6.294)).toBeLessThan(0.12);
  });
});

describe("a flag", () => {
  const flags: [string, Record<string, Row>, string][] = [
    ["the lowest rate is best", { 1: 2, 2: 2.1, 3: 2.4, 4: 3 }, "at low edge"],
    ["the highest rate is best", { 1: 3, 2: 2.4, 3: 2.1, 4: 2 }, "at high edge"],
    ["the best is beside divergence", { 1: 3, 2: 2.4, 3: 2.1, 4: 2, 5: null, 6: null }, "edge is divergence"],
    ["two rates trained", { 1: 2.1, 2: 2 }, "too few points"],
    ["all but two rates diverged", { 1: 2.1, 2: 2, 3: null, 4: null }, "too few points"],
    ["all diverged", { 1: null, 2: null }, "too few points"],
    [
      "nothing but noise",
      { 1: [2, 2.1, 1.9], 2: [2.1, 1.9, 2], 3: [1.9, 2, 2.09], 4: [2.1, 2, 1.92] },
      "too noisy",
    ],
    ["the next rate up is missing", { 1: 2.2, 2: 2.05, 3: 2, 4: "missing" }, "incomplete"],
    ["the next rate down is missing", { 1: 2.2, 2: "missing", 3: 2, 4: 2.05, 5: 2.2 }, "incomplete"],
    [
      "a rate between best and divergence is missing",
      { 1: 2.2, 2: 2.1, 3: 2, 4: "missing", 5: null },
      "incomplete",
    ],
    ["nothing has run", { 1: "missing", 2: "missing" }, "incomplete"],
    ["the minimum is inside", { 1: 2.2, 2: 2.05, 3: 2, 4: 2.06, 5: 2.3 }, "bracketed"],
  ];
  it.each(flags)("when %s", (_, rows, flag) => {
    expect(fitOptimum(curveOf(rows)).flag).toBe(flag);
  });

  it("other than bracketed never comes with an estimate", () => {
    for (const [, rows, flag] of flags) {
      const o = fitOptimum(curveOf(rows));
      expect([o.log2_tuned, o.loss, o.valley_low].some((v) => v !== null)).toBe(flag === "bracketed");
    }
  });

  it("at an edge bounds the optimum on the closed side only", () => {
    const low = fitOptimum(curveOf(flags[0]![1]));
    expect(low.log2_tuned_low).toBeNull();
    expect(low.log2_tuned_high!).toBeGreaterThan(1);
    expect(low.log2_tuned_high!).toBeLessThan(3);
    const high = fitOptimum(curveOf(flags[1]![1]));
    expect(high.log2_tuned_high).toBeNull();
    expect(high.log2_tuned_low!).toBeLessThan(4);
    expect(high.log2_tuned_low!).toBeGreaterThan(2);
  });

  it("beside divergence bounds the optimum by the diverging rate", () => {
    const o = fitOptimum(curveOf(flags[2]![1]));
    expect(o.log2_tuned_high).toBe(5);
    expect(o.stability_edge).toBe(5);
  });

  it("does not wait for a missing rate far from the best", () => {
    const rows = { 1: "missing", 2: 2.2, 3: 2.05, 4: 2, 5: 2.06, 6: 2.3 } as const;
    const o = fitOptimum(curveOf(rows));
    expect(o.flag).toBe("bracketed");
    expect(o.missing).toBe(1);
  });

  it("leaves a rate at which one of three seeds diverged out of the fit, and names it as the stability edge", () => {
    const o = fitOptimum(
      curveOf({ 1: [2.2, 2.21, 2.2], 2: [2.1, 2.11, 2.09], 3: [2, 2.01, 2], 4: [1.9, null, 1.9] }),
    );
    expect(o.stability_edge).toBe(4);
    expect(o.grid_log2_tuned).toBe(3);
    expect(o.flag).toBe("edge is divergence");
  });
});

describe("the first look at small scale", () => {
  // Validation loss in nats per byte, one seed, 300 steps on the State of the Union corpus.
  const table = {
    "SP 0": {
      "-11": 2.288,
      "-10": 2.189,
      "-9": 2.165,
      "-8": 2.343,
      "-7": 2.486,
      "-6": 2.612,
      "-5": 2.663,
      "-4": 2.798,
    },
    "SP .75": {
      "-11": 2.513,
      "-10": 2.406,
      "-9": 2.304,
      "-8": 2.28,
      "-7": 2.326,
      "-6": 2.286,
      "-5": 2.338,
      "-4": 2.684,
    },
    "SP .9375": {
      "-11": 2.874,
      "-10": 2.572,
      "-9": 2.451,
      "-8": 2.338,
      "-7": 2.216,
      "-6": 2.108,
      "-5": 2.084,
      "-4": 2.076,
    },
    "SμPar 0": { "-10": 2.062, "-9": 1.987, "-8": 1.968, "-7": 1.981, "-6": 2.034, "-5": 2.572 },
    "SμPar .75": { "-10": 2.064, "-9": 1.971, "-8": 1.944, "-7": 1.953, "-6": 1.996, "-5": 2.076 },
    "SμPar .9375": { "-10": 2.128, "-9": 2.07, "-8": 2.038, "-7": 2.071, "-6": 2.121, "-5": 2.616 },
  };
  const fits = Object.fromEntries(Object.entries(table).map(([k, v]) => [k, fitOptimum(curveOf(v))]));

  it("reads SP's first row, whose right flank levels off, as bracketed between its best rate and the next lower one", () => {
    const o = fits["SP 0"]!;
    expect(o.flag).toBe("bracketed");
    // The three points about the best, as a parabola: −9 + (1.1% − 8.2%)/(2·(1.1% + 8.2%)) = −9.38.
    expect(Math.abs(o.log2_tuned! + 9.38)).toBeLessThan(0.2);
  });

  it("reads SP's last row as a bound", () => {
    expect(fits["SP .9375"]!.flag).toBe("at high edge");
    expect(fits["SP .9375"]!.log2_tuned_low!).toBeGreaterThan(-6);
  });

  it("reads SP's middle row, with its two valleys, as known to no better than an octave", () => {
    const o = fits["SP .75"]!;
    const width =
      (o.log2_tuned_high ?? Number.POSITIVE_INFINITY) - (o.log2_tuned_low ?? Number.NEGATIVE_INFINITY);
    expect(width).toBeGreaterThan(1);
  });

  it("reads SμPar's rows as bracketed between −8 and −7.5", () => {
    for (const row of ["SμPar 0", "SμPar .75", "SμPar .9375"]) {
      const o = fits[row]!;
      expect(o.flag).toBe("bracketed");
      expect(o.log2_tuned!).toBeGreaterThan(-8.1);
      expect(o.log2_tuned!).toBeLessThan(-7.4);
    }
  });
});

describe("a curve that contradicts itself", () => {
  it.each([
    ["a loss of zero", { 1: 0, 2: 2, 3: 2 }],
    ["a loss that is no number", { 1: Number.NaN, 2: 2, 3: 2 }],
  ])("is refused: %s", (_, rows) => {
    expect(() => fitOptimum(curveOf(rows))).toThrowError(expect.objectContaining({ code: "curve" }));
  });

  it("is refused: a rate twice, a seed twice", () => {
    const point = { log2_tuned: 1, missing: 0, seeds: [{ seed: 0, loss: 2, diverged: false }] };
    expect(() => fitOptimum({ points: [point, point] })).toThrowError(/rate 1: the rate is there twice/);
    const twice = { ...point, seeds: [point.seeds[0]!, point.seeds[0]!] };
    expect(() => fitOptimum({ points: [twice] })).toThrowError(/a seed is there twice/);
  });
});
