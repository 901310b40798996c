/** Ranges give the exact numbers that a person would write; random draws depend on nothing but their seed. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { draw, rangeLength, rangeValues } from "../../../orchestrator/sweep/values.ts";
import { powerOfTwo } from "../../../schema/sweep/hyperparameters.ts";

/** 2^k from the bits of a double, for normal exponents. */
function bitsOfPowerOfTwo(k: number): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(k + 1023) << 52n);
  return view.getFloat64(0);
}

describe("ranges", () => {
  it("powers of two are exact", () => {
    for (let k = -1022; k <= 1023; k++) expect(powerOfTwo(k)).toBe(bitsOfPowerOfTwo(k));
    expect(rangeValues({ log2: { from: -11, to: -8, step: 1 } })).toEqual([
      0.00048828125, 0.0009765625, 0.001953125, 0.00390625,
    ]);
  });

  it("an octave doubles, at fractional exponents too", () => {
    fc.assert(
      fc.property(fc.double({ min: -500, max: 500, noNaN: true }), (k) => {
        const whole = Math.round(k * 64) / 64;
        expect(powerOfTwo(whole + 1)).toBe(2 * powerOfTwo(whole));
      }),
    );
    expect(powerOfTwo(0.5)).toBeCloseTo(Math.SQRT2, 15);
  });

  it("multiples of a value by powers of two: the paper's grid", () => {
    expect(rangeValues({ multiples_of: 1.62e-2, log2: { from: -3, to: 3, step: 1 } })).toEqual([
      0.002025, 0.00405, 0.0081, 0.0162, 0.0324, 0.0648, 0.1296,
    ]);
  });

  it("of ten are the numbers that are written so, and to twelve digits between them", () => {
    expect(rangeValues({ log10: { from: -5, to: 1, step: 1 } })).toEqual([
      1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10,
    ]);
    // √10 = 3.16227766016838
    expect(rangeValues({ log10: { from: -4, to: -3, step: 0.5 } })).toEqual([1e-4, 3.16227766017e-4, 1e-3]);
    expect(rangeLength({ log10: { from: -4, to: -3, step: 0.25 } })).toBe(5);
    expect(rangeValues({ log10: { from: 1, to: 0, step: 1 } })).toMatch(/^is empty/);
  });

  it("the end is included when a step falls on it, and only then", () => {
    expect(rangeValues({ log2: { from: 0, to: 1, step: 0.1 } })).toHaveLength(11);
    expect(rangeValues({ log2: { from: 0, to: 1, step: 0.3 } })).toHaveLength(4);
    expect(rangeValues({ linear: { from: 0, to: 0.3, step: 0.1 } })).toEqual([0, 0.1, 0.2, 0.3]);
    expect(rangeValues({ linear: { from: 2, to: 2, step: 5 } })).toEqual([2]);
  });

  it.each([0.1, 0.25, 0.3, 0.7])("overlapping ranges with step %d share the very same numbers", (step) => {
    const from = -7;
    const long = rangeValues({ log2: { from, to: 3, step } });
    for (const skip of [1, 3, 7]) {
      const later = Number((from + skip * step).toPrecision(12));
      const short = rangeValues({ log2: { from: later, to: 3, step } });
      if (typeof long === "string" || typeof short === "string") throw new Error("the range was refused");
      expect(short).toEqual(long.slice(skip));
    }
  });

  it("seeds are counted from the first", () => {
    expect(rangeValues({ count: 3, first: 1 })).toEqual([1, 2, 3]);
    expect(rangeValues({ count: 2, first: 40 })).toEqual([40, 41]);
  });
});

describe("random draws", () => {
  const many = (distribution: Parameters<typeof draw>[0], seed = 1, n = 4000) =>
    Array.from({ length: n }, (_, i) => draw(distribution, seed, "init_std", i));

  it("are the same again, others for another seed, name or index", () => {
    const of = { uniform: { from: 0, to: 1 } };
    expect(many(of)).toEqual(many(of));
    expect(new Set(many(of).slice(0, 100)).size).toBe(100);
    expect(many(of, 2)[0]).not.toBe(many(of)[0]);
    expect(draw(of, 1, "eps", 0)).not.toBe(draw(of, 1, "init_std", 0));
  });

  // 4,000 draws: five standard errors of a mean of uniforms are 5/√(12·4000) = 0.023 of the width.
  it("uniform: between its bounds with the middle as mean", () => {
    const values = many({ uniform: { from: 2, to: 4 } }).map(Number);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(2);
    expect(Math.max(...values)).toBeLessThanOrEqual(4);
    expect(Math.abs(values.reduce((a, b) => a + b) / values.length - 3)).toBeLessThan(0.046);
  });

  it("log-uniform: every octave as likely as the next", () => {
    const octaves = many({ log_uniform: { from: 1 / 16, to: 1 } }).map((x) =>
      Math.floor(Math.log2(Number(x))),
    );
    for (const octave of [-4, -3, -2, -1]) {
      const share = octaves.filter((o) => o === octave).length / octaves.length;
      // Five standard errors of a share of 1/4.
      expect(Math.abs(share - 0.25)).toBeLessThan(0.035);
    }
  });

  it("choice: every value as likely", () => {
    const values = many({ choice: ["a", "b", "c", "d"] });
    for (const value of ["a", "b", "c", "d"])
      expect(Math.abs(values.filter((v) => v === value).length / values.length - 0.25)).toBeLessThan(0.035);
  });

  it("are short enough to be copied into another file", () => {
    for (const value of many({ log_uniform: { from: 1e-4, to: 1 } }, 3, 50).map(Number))
      expect(Number(value.toPrecision(6))).toBe(value);
  });
});
