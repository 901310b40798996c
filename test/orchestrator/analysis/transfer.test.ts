/** Drift, regret, exponents, verdict, level: against numbers worked by hand. */
import { describe, expect, it } from "vitest";
import { drawCurve, gridOf, seededRandom, type Truth } from "../../../bench/synthetic-curves.ts";
import { readCurve } from "../../../orchestrator/analysis/curve.ts";
import { exponentAlong, exponents } from "../../../orchestrator/analysis/exponents.ts";
import { aboveBest } from "../../../orchestrator/analysis/level.ts";
import { noiseOfOthers, pooledNoise, residualOf } from "../../../orchestrator/analysis/noise.ts";
import { fitOptimum } from "../../../orchestrator/analysis/optimum.ts";
import { verdictSentence } from "../../../orchestrator/analysis/sentence.ts";
import { drift, fitCell, regret } from "../../../orchestrator/analysis/transfer.ts";
import type { Cell, CurveInput, Verdict } from "../../../orchestrator/analysis/types.ts";
import { verdict } from "../../../orchestrator/analysis/verdict.ts";
import type { TakenName } from "../../../schema/sweep/hyperparameters.ts";
import { bounded, bracketed, cellOf, curveOf, sampled, standing } from "./helpers.ts";

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const parabola = (x0: number) => (x: number) => 3 * Math.exp(0.01 * (x - x0) ** 2);
const fitted = (curve: CurveInput, density = 1): Cell => ({
  coordinates: standing({ density }),
  curve,
  optimum: fitOptimum(curve),
});
const read = (curve: CurveInput) => fitCell(readCurve(curve));

describe("drift", () => {
  it("combines lopsided intervals side by side", () => {
    const d = drift(bracketed(-5, -5.3, -4.6), bracketed(-8, -8.4, -7.9));
    expect(d.estimate).toBeCloseTo(3, 12);
    // 3 − √(0.3² + 0.1²) and 3 + √(0.4² + 0.4²)
    expect(d.low!).toBeCloseTo(2.68377, 5);
    expect(d.high!).toBeCloseTo(3.56569, 5);
  });

  it("of a bound is a bound", () => {
    const base = bracketed(-8, -8.4, -7.9);
    expect(drift(bounded("at high edge", -4.9, null), base)).toMatchObject({ estimate: null, high: null });
    expect(drift(bounded("at high edge", -4.9, null), base).low!).toBeCloseTo(3, 12);
    expect(drift(bounded("at low edge", null, -10), base).high!).toBeCloseTo(-1.6, 12);
    expect(drift(bounded("edge is divergence", -6, -5), base)).toMatchObject({ estimate: null });
    expect(drift(bounded("too noisy", null, null), base)).toMatchObject({ low: null, high: null });
  });
});

describe("regret", () => {
  const cell = read(sampled(range(-10, -5), parabola(-7), 3, 0.0005));

  it("is what the base's rate costs: exp(0.01·2²) − 1 two octaves off", () => {
    const r = regret(cell, bracketed(-9, -9.1, -8.9));
    expect(r.state).toBe("known");
    expect(r.per_cent.estimate!).toBeCloseTo(4.08, 0);
    expect(r.per_cent.low!).toBeLessThan(4.08);
    expect(r.per_cent.high!).toBeGreaterThan(4.08);
    expect(r.nats.estimate! / 3).toBeCloseTo(r.per_cent.estimate! / 100, 3);
  });

  it("may be nothing where the optimum itself may lie", () => {
    const r = regret(cell, bracketed(cell.optimum.log2_tuned!, -7.1, -6.9));
    expect(r.per_cent.low).toBe(0);
    expect(r.per_cent.high!).toBeLessThan(0.3);
  });

  it("outside the cell's grid is at least what the edge costs", () => {
    const r = regret(cell, bracketed(-4, -4.1, -3.9));
    expect(r.state).toBe("outside");
    expect(r.per_cent.estimate).toBeNull();
    expect(r.per_cent.high).toBeNull();
    expect(r.per_cent.low!).toBeGreaterThan(3.5);
    expect(r.per_cent.low!).toBeLessThan(4.08);
  });

  it("of a cell that is only bounded is a bound, measured from the best rate it has", () => {
    // (2.874 − 2.076)/2.076 = 38.4%: the first look's last row under SP, dense optimum at the lowest rate.
    const rows = {
      "-11": 2.874,
      "-10": 2.572,
      "-9": 2.451,
      "-8": 2.338,
      "-7": 2.216,
      "-6": 2.108,
      "-5": 2.084,
      "-4": 2.076,
    };
    const r = regret(read(curveOf(rows)), bracketed(-11, -11.2, -10.8));
    expect(r.per_cent).toMatchObject({ estimate: null, high: null });
    // Less what noise may have added to the one and taken from the other.
    expect(r.per_cent.low!).toBeLessThan(38.4);
    expect(r.per_cent.low!).toBeGreaterThan(33);
  });

  it("where the base's rate diverges says so; without a base optimum it is unknown", () => {
    const walled = read(curveOf({ 1: 2.3, 2: 2.1, 3: 2, 4: 2.06, 5: null }));
    expect(regret(walled, bracketed(5.2, 5, 5.4)).state).toBe("diverges");
    expect(regret(walled, bounded("at low edge", null, 2)).state).toBe("unknown");
    expect(regret(read(curveOf({ 1: 2, 2: 2.1, 3: 2.3 })), bracketed(0, -0.1, 0.1)).state).toBe("unknown");
  });
});

describe("the regret beside diverged seeds", () => {
  /** Eight seeds a rate around an optimum at −7.6, of which so many diverge at 2^-7. */
  const eight = (highest: number, diverged: number) =>
    curveOf(
      Object.fromEntries(
        range(-19, 2 * highest).map((half) => [
          half / 2,
          range(0, 7).map((seed) =>
            half === -14 && seed < diverged
              ? null
              : parabola(-7.6)(half / 2) * (1 + 0.0005 * Math.sin(6.4949 * half + 78.233 * seed)),
          ),
        ]),
      ),
    );
  const at = (rate: number) => bracketed(rate, rate - 0.1, rate + 0.1);

  it("is known beyond a rate at which one of eight diverged, where higher ones trained: only most are a wall", () => {
    const r = regret(read(eight(-6, 1)), at(-6.6));
    expect(r.state).toBe("known");
    expect(r.per_cent.estimate!).toBeCloseTo(1, 0);
    expect(regret(read(eight(-6, 5)), at(-6.6)).state).toBe("diverges");
  });

  it("has no bound from above where some diverged and no higher rate trained, and is no divergence either", () => {
    for (const rate of [-7, -6.9]) {
      const r = regret(read(eight(-7, 1)), at(rate));
      expect(r).toMatchObject({ state: "outside", per_cent: { estimate: null, high_90: null } });
      expect(r.per_cent.low!).toBeLessThan(0.36);
    }
    const v = verdict([fitted(eight(-7, 1), 0.5)], cellOf(at(-6.9)), { axis: "density", open: 1 });
    expect(v).toMatchObject({ verdict: "inconclusive", cost_verdict: "open" });
    expect(v.sentence).toMatch(
      /^inconclusive: at sparsity 0\.5 the dense optimum lies outside the learning rates at which every seed trained there; by octaves it does not transfer: the optimum drifts −0\.\d octaves at sparsity 0\.5 \(−0\.\d to −0\.\d\)$/,
    );
  });
});

describe("exponents", () => {
  const at = (x: number, width: number, density = 1) =>
    cellOf(bracketed(x, x - 0.196, x + 0.196), { width, density });

  it("recover an exact law of width and density", () => {
    const cells = [128, 256, 512].flatMap((w) =>
      [1, 0.25, 1 / 16].map((rho) => at(1 - 0.5 * Math.log2(w) + 0.25 * Math.log2(rho), w, rho)),
    );
    const e = exponents(cells);
    expect(e.width!.estimate!).toBeCloseTo(-0.5, 10);
    expect(e.density!.estimate!).toBeCloseTo(0.25, 10);
    expect(e.intercept.estimate!).toBeCloseTo(1, 10);
    expect(e).toMatchObject({ used: 9, left_out: 0 });
  });

  it("carry the optima's own uncertainty: 1.96·0.1/√2 over three widths", () => {
    const e = exponents([at(-6, 128), at(-6, 256), at(-6, 512)]);
    expect(e.width!.estimate!).toBeCloseTo(0, 10);
    expect(e.width!.high!).toBeCloseTo(0.13859, 4);
    expect(e.density).toBeNull();
  });

  it("widen when the cells do not lie on a line: t(1 df) = 12.706", () => {
    // Residuals −1/6, 1/3, −1/6 in units of 0.1: √(100/6) · 12.706 · 0.1/√2.
    const e = exponents([at(0, 128), at(0.5, 256), at(0, 512)]);
    expect(e.width!.high!).toBeCloseTo(3.668, 2);
  });

  it("leave bounds out and refuse what cannot be told apart", () => {
    const edge = cellOf(bounded("at high edge", -4, null), { width: 1024 });
    expect(exponents([at(-6, 128), at(-6, 256), edge])).toMatchObject({ used: 2, left_out: 1 });
    const inStep = [128, 256, 512].map((w) => at(-6, w, 128 / w));
    expect(exponents(inStep)).toMatchObject({ width: null, density: null });
    expect(exponents([edge])).toMatchObject({ used: 0, width: null });
  });
});

describe("the exponent along an axis", () => {
  const along = (axis: string, values: number[], law: (value: number) => number, tuned?: TakenName) =>
    exponentAlong(
      axis,
      values.map((value) => {
        const cell = cellOf(bracketed(law(value), law(value) - 0.196, law(value) + 0.196), {});
        return { ...cell, coordinates: { ...cell.coordinates, [axis]: value } };
      }),
      tuned,
    );

  it("is that of the law, with the optima's own uncertainty, beside what theories say", () => {
    // √(batch): half an octave of η* per octave. Over three octaves in steps of one: 1.96 · 0.1/√2.
    const batch = along("batch_size", [8, 16, 32], (b) => -9 + 0.5 * Math.log2(b));
    expect(batch.exponent!.estimate!).toBeCloseTo(0.5, 10);
    expect(batch.exponent!.high! - 0.5).toBeCloseTo(0.13859, 4);
    expect(batch.theory).toEqual([0.5]);
    const horizon = along("tokens", [1e6, 4e6], (d) => 1 - 0.32 * Math.log2(d));
    expect(horizon.exponent!.estimate!).toBeCloseTo(-0.32, 10);
    expect(horizon.theory).toEqual([0, -0.32, -0.5]);
    expect(along("weight_decay", [0, 0.1], () => -6)).toEqual({ exponent: null, theory: [] });
    expect(along("width", [128, 256], () => -6).theory).toEqual([0]);
  });

  it("is not held against the learning rate's laws where something else is tuned", () => {
    for (const axis of ["steps", "tokens", "batch_size"])
      expect(along(axis, [8, 16], () => -4, "init_std").theory).toEqual([]);
    // What a parameterization keeps, it keeps for every base value.
    expect(along("width", [128, 256], () => -4, "init_std").theory).toEqual([0]);
  });
});

const BY_OCTAVES = { axis: "density", criterion: "octaves" } as const;

describe("verdict", () => {
  const base = cellOf(bracketed(-8, -8.1, -7.9));
  const sparse = (optimum: Cell["optimum"], sparsity = 0.984375) =>
    cellOf(optimum, { density: 1 - sparsity });
  const judge = (cells: Cell[], from = base) => verdict(cells, from, BY_OCTAVES);

  it("transfers when every drift is shown to lie within the margin", () => {
    const v = judge([sparse(bracketed(-7.9, -8.1, -7.7)), sparse(bracketed(-8, -8.1, -7.9), 0.5)]);
    expect(v.verdict).toBe("transfers");
    // 0.1 + 0.84·√(0.2² + 0.1²) = 0.288
    expect(v.within!).toBeCloseTo(0.28783, 4);
    expect(v.sentence).toBe("transfers across sparsity 0 to 0.984 within ±0.3 octave");
  });

  it("drifts when one interval lies beyond the margin", () => {
    const v = judge([sparse(bracketed(-4.9, -5.1, -4.7)), sparse(bracketed(-8, -8.1, -7.9), 0.5)]);
    expect(v.verdict).toBe("drifts");
    expect(v.sentence).toBe("drifts +3.1 octaves at sparsity 0.984 (+2.9 to +3.3)");
  });

  it("drifts by at least so much when the optimum is only bounded", () => {
    const v = judge([sparse(bounded("at high edge", -5.9, null))]);
    expect(v).toMatchObject({ verdict: "drifts", within: null });
    expect(v.sentence).toBe(
      "drifts up by at least 2.0 octaves at sparsity 0.984 (optimum at the edge of the grid: add higher learning rates, or let extend do it)",
    );
    expect(judge([sparse(bounded("at low edge", null, -10.1))]).sentence).toMatch(
      /^drifts down by at least 2\.0 octaves/,
    );
  });

  it("never calls a bound a transfer", () => {
    expect(judge([sparse(bounded("edge is divergence", -8.1, -7.6))]).verdict).toBe("inconclusive");
    expect(judge([sparse(bounded("at high edge", -7.9, null))]).verdict).toBe("inconclusive");
  });

  it("is inconclusive, with the reason, when it does not know", () => {
    expect(judge([sparse(bounded("too noisy", null, null), 0.5)]).sentence).toBe(
      "inconclusive: at sparsity 0.5 noise hides the optimum: add seeds or a wider grid",
    );
    expect(judge([base], cellOf(bounded("at low edge", null, -8))).sentence).toBe(
      "inconclusive: at sparsity 0 optimum at the edge of the grid: add lower learning rates, or let extend do it",
    );
    const sought = { axis: "density", searched: true } as const;
    expect(verdict([base], cellOf(bounded("at low edge", null, -8)), sought).sentence).toBe(
      "inconclusive: at sparsity 0 optimum at the edge of the learning rates tried: with a larger budget the search goes on",
    );
    expect(judge([]).sentence).toBe("inconclusive: nothing to compare with sparsity 0");
  });

  it("says how far it transfers where only what lies beyond is open", () => {
    const same = (sparsity: number) => sparse(bracketed(-8, -8.1, -7.9), sparsity);
    const wide = (sparsity: number) => sparse(bracketed(-8.4, -8.8, -8), sparsity);
    const hidden = (sparsity: number) => sparse(bounded("too noisy", null, null), sparsity);
    const said = (cells: Cell[]) =>
      verdict(cells, base, { axis: "density", criterion: "octaves", open: 2 }).sentence;
    // −0.4 ∓ √(0.4² + 0.1²)
    const seen = "drift −0.4 octave (−0.8 to +0.0) against a margin of ±0.5; 2 runs are still to come";
    expect(said([wide(0.984), same(0.5), same(0.75)])).toBe(
      `transfers up to sparsity 0.75; open at 0.984: ${seen}`,
    );
    // What transfers beyond the first open cell is neither claimed nor called open.
    expect(said([same(0.5), wide(0.75), same(0.875), wide(0.938), wide(0.984)])).toBe(
      `transfers up to sparsity 0.5; open at 0.75, 0.938 and 0.984: at 0.984 ${seen}`,
    );
    expect(said([wide(0.5), same(0.75)])).toBe(`inconclusive at sparsity 0.5: ${seen}`);
    expect(said([same(0.5), hidden(0.75)])).toBe(
      "transfers up to sparsity 0.5; open at 0.75, noise hides the optimum so far, 2 runs are still to come",
    );
    expect(said([same(0.5), wide(0.75), hidden(0.984)])).toBe(
      "transfers up to sparsity 0.5; open at 0.75 and 0.984, at 0.984 noise hides the optimum so far, 2 runs are still to come",
    );
  });

  it("calls no transfer what a search has not begun: it says how far it is shown, and where there is no run", () => {
    const same = sparse(bracketed(-8, -8.1, -7.9), 0.5);
    const wide = sparse(bracketed(-8.4, -8.8, -8), 0.75);
    const far = sparse(bracketed(-4.9, -5.1, -4.7), 0.75);
    const untrained = [0.875, 0.984].map((sparsity) => standing({ density: 1 - sparsity }));
    const judged = (cells: Cell[], open = 0) =>
      verdict(cells, base, { ...BY_OCTAVES, searched: true, untrained, open });
    expect(judged([same])).toMatchObject({
      verdict: "inconclusive",
      drift_verdict: "inconclusive",
      cost_verdict: "open",
      within: null,
      costs_at_most: null,
      more_seeds: null,
      sentence:
        "transfers up to sparsity 0.5; open at 0.875 and 0.984: no run there yet, with a larger budget the search goes on",
    });
    expect(judged([same], 2).sentence).toBe(
      "transfers up to sparsity 0.5; open at 0.875 and 0.984: no run there yet, 2 runs are still to come",
    );
    expect(judged([same, wide]).sentence).toMatch(
      /^transfers up to sparsity 0\.5; open at 0\.75, 0\.875 and 0\.984: at 0\.75 drift .* ±0\.5; no run yet at 0\.875 and 0\.984$/,
    );
    const dense = { ...BY_OCTAVES, searched: true, untrained: [standing({ density: 0.75 })] };
    expect(verdict([same], base, dense).sentence).toMatch(
      /^inconclusive at sparsity 0\.25: no run there yet/,
    );
    // One that does not transfer is enough, whatever the others do.
    expect(judged([same, far]).sentence).toBe(judge([same, far]).sentence);
  });

  it("passes over the base among the cells", () => {
    expect(judge([base, sparse(bracketed(-7.9, -8.1, -7.7))]).cells).toHaveLength(1);
  });

  it("names what moves with the axis", () => {
    const tied = [
      { density: 1, width: 768 },
      { density: 0.5, width: 1088 },
    ].map((at) => cellOf(bracketed(-8, -8.1, -7.9), at));
    const along = { axis: "density", criterion: "octaves", tied: ["width"] } as const;
    expect(verdict(tied, tied[0]!, along).sentence).toBe(
      // 0.84·√(0.1² + 0.1²) = 0.119, rounded up.
      "transfers across sparsity 0 to 0.5 (width 768 to 1088) within ±0.2 octave",
    );
    const moved = cellOf(bracketed(-6, -6.1, -5.9), { density: 0.25, width: 1536 });
    expect(verdict([moved], tied[0]!, along).sentence).toBe(
      "drifts +2.0 octaves at sparsity 0.75, width 1536 (+1.9 to +2.1)",
    );
    const hidden = cellOf(bounded("too noisy", null, null), { density: 0.25, width: 1536 });
    expect(verdict([...tied, hidden], tied[0]!, along).sentence).toMatch(
      /^transfers up to sparsity 0\.5 \(width 1088\); open at 0\.75 \(width 1536\), noise hides/,
    );
  });

  it("does not work out what more seeds would do while runs are still to come", () => {
    const wide = sparse(bracketed(-7.6, -8.2, -7));
    const v = verdict([wide], base, { axis: "density", criterion: "octaves", open: 3 });
    expect(v).toMatchObject({ verdict: "inconclusive", more_seeds: null, open: 3 });
    expect(v.sentence).toContain("; 3 runs are still to come");
  });

  it("names widths on the width axis", () => {
    const cells = [128, 512].map((width) => cellOf(bracketed(-8, -8.1, -7.9), { width }));
    expect(verdict(cells, base, { axis: "width", criterion: "octaves" }).sentence).toBe(
      "transfers across width 128 to 512 within ±0.2 octave",
    );
  });

  it("says how many more seeds decide, and that many do if they repeat what is known", () => {
    const rates = range(-11, -4);
    const [from, to] = [-7.6, -7.4].map((x0) => sampled(rates, parabola(x0), 2, 0.012));
    const v = verdict([fitted(to!)], fitted(from!), BY_OCTAVES);
    expect(v.verdict).toBe("inconclusive");
    expect(v.sentence).toContain(
      `about ${v.more_seeds} more ${v.more_seeds === 1 ? "seed" : "seeds"} would decide`,
    );
    const copies = Math.ceil((2 + v.more_seeds!) / 2);
    const repeated = (c: CurveInput): CurveInput => ({
      points: c.points.map((p) => ({
        ...p,
        seeds: Array.from({ length: copies }, (_, i) =>
          p.seeds.map((s) => ({ ...s, seed: s.seed + 2 * i })),
        ).flat(),
      })),
    });
    expect(verdict([fitted(repeated(to!))], fitted(repeated(from!)), BY_OCTAVES).verdict).toBe("transfers");
  });

  it("says that seeds alone would not decide a drift of just the margin", () => {
    const rates = range(-11, -4);
    const [from, to] = [-7.6, -7.1].map((x0) => fitted(sampled(rates, parabola(x0), 3, 0.002)));
    const v = verdict([to!], from!, BY_OCTAVES);
    expect(v).toMatchObject({ verdict: "inconclusive", more_seeds: null });
    expect(v.sentence).toContain("more seeds alone would not decide");
  });

  it("finds known drifts of 0 and 2 octaves in noisy lopsided curves, with what they cost", () => {
    const random = seededRandom(7);
    const truth: Truth = {
      shape: "bent",
      optimum: -6.3,
      best_loss: 2,
      curvature: 0.015,
      skew: 2,
      wall: 3,
      step: null,
    };
    const cellAt = (shift: number, density: number) =>
      fitted(
        drawCurve(random, { ...truth, optimum: truth.optimum + shift }, gridOf(8, 1), 5, {
          independent: 0.003,
          common: 0.005,
          tilt: 0,
        }),
        density,
      );
    const dense = cellAt(0, 1);
    expect(verdict([cellAt(0, 0.25), cellAt(0, 1 / 16)], dense, BY_OCTAVES).sentence).toMatch(
      /^transfers across sparsity 0 to 0\.938 within ±0\.[2-5] octave; the dense optimum costs at most 0\.\d\d% of the loss$/,
    );
    const moved = verdict([cellAt(1, 0.25), cellAt(2, 1 / 16)], dense, BY_OCTAVES);
    expect(moved.verdict).toBe("drifts");
    // Left flank of the bent shape at 2 octaves: 0.015·4/√2 = 4.2%.
    expect(moved.sentence).toMatch(
      /^drifts \+[12]\.\d octaves at sparsity 0\.938 \(\+1\.\d to \+2\.\d\), using the dense optimum there costs [345]\.\d% loss$/,
    );
  });
});

describe("verdict by cost", () => {
  const rates = range(-10, -4);
  /** 1% per octave² about x0, the right side a fifth steeper. */
  const at = (x0: number, sparsity: number) =>
    fitted(
      sampled(rates, (x) => 2 * (1 + 0.01 * (x - x0) ** 2 * (x > x0 ? 1.2 : 1)), 3, 0.001),
      1 - sparsity,
    );
  const dense = at(-7.2, 0);
  const along = { axis: "density" } as const;

  it("is the default, and says what the base's optimum costs at most", () => {
    const v = verdict([at(-7.2, 0.5), at(-7.1, 0.75)], dense, along);
    expect(v).toMatchObject({ criterion: "cost", verdict: "transfers", cost_verdict: "costs at most" });
    expect(v.sentence).toMatch(
      /^transfers by cost across sparsity 0 to 0\.75: the dense optimum costs at most 0\.\d\d% of the loss/,
    );
  });

  it("says of a drift that it costs nothing", () => {
    // 0.8 octave, 0.64%.
    const v = verdict([at(-6.4, 0.5)], dense, { ...along, margin: { cost: 2, octaves: 0.25 } });
    expect(v).toMatchObject({ verdict: "transfers", drift_verdict: "drifts" });
    expect(v.sentence).toMatch(
      /^transfers by cost .* costs at most .*, although the optimum drifts \+0\.[78] octaves/,
    );
  });

  it("that is shown to exceed the margin names the worst cell, and by how much at least", () => {
    // 4% and 1% are lost.
    const v = verdict([at(-6.2, 0.5), at(-5.2, 0.75)], dense, along);
    expect(v).toMatchObject({ verdict: "costs", cost_verdict: "costs at least" });
    expect(v.sentence).toMatch(
      /^does not transfer by cost: the dense optimum costs at least [23]\.\d% of the loss at sparsity 0\.75, likeliest [34]\.\d%; the optimum drifts \+[12]\.\d octaves/,
    );
  });

  it("of a base rate that diverges there is against a transfer, whatever else is known", () => {
    const walled = fitted(curveOf({ "-12": 2.3, "-11": 2.1, "-10": 2, "-9": 2.06, "-8": null }), 0.5);
    const v = verdict([walled], dense, along);
    expect(v.verdict).toBe("costs");
    expect(v.sentence).toMatch(
      /^does not transfer: training with the dense optimum at sparsity 0\.5 diverges/,
    );
  });

  it("of a base rate at which half of the seeds diverge, and higher ones train, is no divergence", () => {
    const halves = {
      "-10": [2.1, 2.11],
      "-9": [2.02, 2.03],
      "-8": [2, 2.01],
      "-7": [2, null],
      "-6": [2.06, 2.05],
    };
    const v = verdict([fitted(curveOf({ ...halves, "-5": [2.2, 2.21] }), 0.5)], dense, along);
    expect(v.cells[0]!.regret.state).toBe("known");
  });

  it("of a base rate where the one seed diverged is open while higher ones trained, and asks for seeds there", () => {
    const lone = { "-11": 2.2, "-10": 2.08, "-9": 2.01, "-8": 2, "-7": null, "-6": 2.14, "-5": 2.31 };
    const v = verdict([fitted(curveOf(lone), 0.5)], dense, along);
    expect(v).toMatchObject({ cost_verdict: "open", cells: [{ regret: { state: "outside" } }] });
    expect(v.sentence).toContain(
      "the dense optimum lies beside learning rates at which runs diverged there, though higher ones trained: add seeds there",
    );
  });

  it.each([0, 1, 2, 4])(
    "of a cell of whose seven rates all but %s diverge is against a transfer",
    (trained) => {
      const rates = range(-14, -8);
      const rows = Object.fromEntries(
        rates.map((x, k) => [x, k < trained ? [2.4 - k / 10, 2.41 - k / 10] : [null, null]]),
      );
      const v = verdict([fitted(curveOf(rows), 0.5)], dense, along);
      expect(v).toMatchObject({ verdict: "costs", drift_verdict: "drifts" });
      expect(v.sentence).toMatch(
        /^does not transfer: training with the dense optimum at sparsity 0\.5 diverges/,
      );
      const byOctaves = verdict([fitted(curveOf(rows), 0.5)], dense, { ...along, criterion: "octaves" });
      expect(byOctaves.sentence).toMatch(/^drifts down by at least/);
      if (trained === 0)
        expect(byOctaves.sentence).toContain(
          "(all learning rates diverge: add lower ones, or let extend do it)",
        );
    },
  );

  it("and by octaves are both in what decides neither", () => {
    // 1% true cost, margin 1%.
    const v = verdict([at(-6.2, 0.5)], dense, { ...along, open: 1 });
    expect(v).toMatchObject({ verdict: "inconclusive", cost_verdict: "open", drift_verdict: "drifts" });
    expect(v.sentence).toMatch(
      /^inconclusive at sparsity 0\.5: the dense optimum costs \d\.\d% there and at most \d\.\d%, against a margin of 1%; 1 run is still to come; by octaves it does not transfer: the optimum drifts \+1\.0 octaves at sparsity 0\.5 \(\+0\.\d to \+1\.\d\)$/,
    );
  });

  it("says what the other criterion has shown where the one that decides is open, to the digits of the margin", () => {
    const narrow = { octaves: 0.5, cost: 0.001 };
    expect(verdict([at(-7.2, 0.5)], dense, { ...along, margin: narrow }).sentence).toMatch(
      /^inconclusive at sparsity 0\.5: the dense optimum costs 0\.0\d\d% there and at most 0\.\d\d\d%, against a margin of 0\.001%;.*; by octaves it transfers within ±0\.\d octave$/,
    );
    const byOctaves = { ...along, criterion: "octaves", open: 1 } as const;
    expect(
      verdict([at(-7.2, 0.5)], dense, { ...byOctaves, margin: { octaves: 0.01, cost: 1 } }).sentence,
    ).toMatch(
      /^inconclusive at sparsity 0\.5: drift [+−]0\.\d\d octave \(−0\.\d\d to \+0\.\d\d\) against a margin of ±0\.01; 1 run is still to come; by cost it transfers: the dense optimum costs at most 0\.\d\d% of the loss$/,
    );
    const costs = verdict([at(-6.2, 0.5)], dense, { ...byOctaves, margin: { octaves: 1, cost: 0.3 } });
    expect(costs.sentence).toMatch(
      /; by cost it does not transfer: the dense optimum costs at least 0\.\d% of the loss at sparsity 0\.5$/,
    );
  });

  it("has no number for what diverges in some cell", () => {
    const walled = fitted(curveOf({ "-12": 2.3, "-11": 2.1, "-10": 2, "-9": 2.06, "-8": null }), 0.5);
    const v = verdict([walled, at(-6.2, 0.75)], dense, along);
    expect(v).toMatchObject({ cost_verdict: "costs at least", costs_at_least: null });
    expect(verdict([at(-6.2, 0.75)], dense, along).costs_at_least).toBeGreaterThan(0.5);
  });
});

describe("a bound in a sentence is rounded so that it holds:", () => {
  const NOTHING = { estimate: null, low: null, high: null, low_90: null, high_90: null };
  const base = cellOf(bracketed(-8, -8.1, -7.9), {});
  type Judged = Parameters<typeof verdictSentence>[0]["cells"][number];
  const said = (
    verdict: Verdict["verdict"],
    { drift = {}, per_cent = {}, ...v }: Partial<Verdict> & { drift?: object; per_cent?: object },
  ) => {
    const cell: Judged = {
      cell: cellOf(bracketed(-8, -8.1, -7.9), { density: 0.5 }),
      drift: { ...NOTHING, ...drift },
      drift_verdict: verdict === "drifts" ? "drifts" : "inconclusive",
      regret: { state: "known", nats: NOTHING, per_cent: { ...NOTHING, ...per_cent } },
      cost_verdict: verdict === "costs" ? "costs at least" : "open",
      verdict,
    };
    const whole: Parameters<typeof verdictSentence>[0] = {
      verdict,
      criterion: "cost",
      margin: { octaves: 0.5, cost: 1 },
      pooling: "medium",
      cells: [cell],
      drift_verdict: "inconclusive",
      cost_verdict: "open",
      open: 0,
      within: null,
      costs_at_most: null,
      costs_at_least: null,
      more_seeds: 2,
      ...v,
    };
    return verdictSentence(whole, base, { axis: "density" });
  };

  it("a cost beyond the margin is not said to be at most the margin", () => {
    expect(said("inconclusive", { per_cent: { estimate: 0.52, high_90: 1.04 } })).toContain(
      "costs 0.5% there and at most 1.1%, against a margin of 1%",
    );
  });

  it.each([
    [0.44, 0.5, "0.5"],
    [0.04, 0.5, "0.1"],
    // A digit more, where fewer would say more than the margin.
    [0.22, 0.25, "0.22"],
  ])("an optimum within %s octave, against a margin of %s", (within, octaves, digits) => {
    const v = { criterion: "octaves", within, margin: { octaves, cost: 1 }, costs_at_most: 0.301 } as const;
    expect(said("transfers", v)).toMatch(
      new RegExp(`within ±${digits} octave; the dense optimum costs at most 0\\.31% of the loss$`),
    );
    const byCost = { ...v, criterion: "cost", drift_verdict: "transfers" } as const;
    expect(said("transfers", byCost)).toMatch(new RegExp(`the optimum stays within ±${digits} octave$`));
  });

  it.each([
    [0.58, 0.5, "0.5"],
    [0.28, 0.25, "0.28"],
  ])("a drift of at least %s, against a margin of %s", (low, octaves, digits) => {
    const v = { drift: { low }, per_cent: { low: 0.81, low_90: 0.96 }, margin: { octaves, cost: 1 } };
    expect(said("drifts", v)).toMatch(
      new RegExp(`^drifts up by at least ${digits} octaves at .* costs at least 0\\.9% loss$`),
    );
  });

  it.each([
    [1.06, 1, "1.0"],
    [0.28, 0.25, "0.28"],
  ])("a cost of at least %s per cent, against a margin of %s", (low_90, cost, digits) => {
    expect(said("costs", { per_cent: { low_90 }, margin: { octaves: 0.5, cost } })).toContain(
      `costs at least ${digits}% of the loss`,
    );
  });
});

describe("cells fitted together", () => {
  const random = seededRandom(11);
  const shape = {
    shape: "exponential",
    best_loss: 2,
    curvature: 0.008,
    skew: 2.5,
    wall: 5,
    step: null,
  } as const;
  const cells = [-6, -5.6, -5.1, -4.7].map((optimum, k) =>
    fitted(
      drawCurve(random, { ...shape, optimum }, gridOf(7, 1), 3, {
        independent: 0.004,
        common: 0.004,
        tilt: 0,
      }),
      1 / 2 ** k,
    ),
  );
  const drifts = (pooling: "none" | "loose" | "medium") =>
    verdict(cells.slice(1), cells[0]!, { axis: "density", pooling, open: 1 }).cells.map(({ drift: d }) => d);
  const width = (pooling: "none" | "loose" | "medium") =>
    drifts(pooling).reduce((sum, d) => sum + d.high! - d.low!, 0);

  it("of one shape know their drifts better than each for itself, the more alike they are said to be", () => {
    expect(width("loose")).toBeLessThan(width("none"));
    expect(width("medium")).toBeLessThan(width("loose"));
  });

  it("have the true drifts in their intervals", () => {
    for (const pooling of ["none", "loose", "medium"] as const)
      for (const [i, truth] of [0.4, 0.9, 1.3].entries()) {
        expect(drifts(pooling)[i]!.low!).toBeLessThan(truth);
        expect(drifts(pooling)[i]!.high!).toBeGreaterThan(truth);
      }
  });
});

describe("noise from single seeds", () => {
  it("is how far points lie from a cubic: a fourth difference of ±1 and six is 70 times its variance", () => {
    // Five points about a parabola, which a cubic fits; ±ε in the pattern 1, −4, 6, −4, 1 over √70 is what it misses.
    const e = 0.002;
    const losses = [1, -4, 6, -4, 1].map((w, k) => Math.exp(0.01 * (k - 2) ** 2 + (e * w) / Math.sqrt(70)));
    const curve = readCurve(curveOf(Object.fromEntries(losses.map((loss, k) => [k, loss]))));
    const { residual_ss, residual_df } = residualOf(curve);
    expect(residual_df).toBe(1);
    expect(Math.sqrt(residual_ss)).toBeCloseTo(e, 8);
  });

  it("is nothing that four points could say, and is not asked where there are replicates", () => {
    expect(residualOf(readCurve(curveOf({ 1: 2.02, 2: 2, 3: 2.01, 4: 2.04 })))).toMatchObject({
      residual_df: 0,
    });
    // A hump of 5% is no noise.
    expect(residualOf(readCurve(curveOf({ 1: 2.02, 2: 2, 3: 2.1, 4: 2.01, 5: 2.05, 6: 2.1 })))).toMatchObject(
      {
        residual_df: 0,
      },
    );
    const pairs = { 1: [2.02, 2.03], 2: [2, 2.01], 3: [2.01, 2.01], 4: [2.04, 2.06] };
    expect(residualOf(readCurve(curveOf(pairs))).residual_df).toBe(3);
  });
});

describe("level", () => {
  it("is how far each best loss lies above the lowest; a bound stands in where there is no estimate", () => {
    const levels = aboveBest([
      bracketed(-9, -9.1, -8.9, 2.1),
      bracketed(-6, -6.1, -5.9, 2),
      { ...bounded("at high edge", -5, null), grid_loss: 2.2 },
      bounded("incomplete", null, null),
    ]);
    expect(levels[0]!).toBeCloseTo(5, 10);
    expect(levels[1]).toBe(0);
    expect(levels[2]!).toBeCloseTo(10, 10);
    expect(levels[3]).toBeNull();
    expect(aboveBest([bounded("incomplete", null, null)])).toEqual([null]);
  });
});

describe("pooled noise", () => {
  it("is the scatter within seeds, levels removed: (3 rates − 1)(2 seeds − 1) degrees of freedom", () => {
    // Logs: seed 0: 0, 0, 0; seed 1: 0.01, 0.01 + 0.003, 0.01 − 0.003. Interaction residuals ±0.0015 (4 of them).
    const rows = { 1: [1, Math.exp(0.01)], 2: [1, Math.exp(0.013)], 3: [1, Math.exp(0.007)] };
    const noise = pooledNoise([readCurve(curveOf(rows))])!;
    expect(noise.df).toBe(2);
    expect(noise.sd ** 2).toBeCloseTo((4 * 0.0015 ** 2) / 2, 12);
  });

  it("is unknown without a second seed", () => {
    expect(pooledNoise([readCurve(curveOf({ 1: 2, 2: 2.1, 3: 2.2 }))])).toBeNull();
  });

  it("of the others leaves a curve's own out, makes up for what that lacks, and moves in steps of a quarter of an octave", () => {
    // (100 · 0.004² − 4 · 0.01²) / 96 = (0.003536)²: log2 is −8.144, rounded −8.25.
    const own = { residual_df: 4, residual_ss: 4 * 0.01 ** 2 };
    const others = noiseOfOthers(own, { sd: 0.004, df: 100 })!;
    expect(Math.log2(others.sd)).toBeCloseTo(-8.25, 12);
    expect(others.df).toBe(4);
    expect(noiseOfOthers({ residual_df: 8, residual_ss: 0.001 }, { sd: 0.004, df: 100 })).toBeUndefined();
    expect(noiseOfOthers(own, { sd: 0.01, df: 4 })).toBeUndefined();
  });

  it("of quiet curves narrows a single seed's interval", () => {
    const rows = { 1: 2.2, 2: 2.05, 3: 2, 4: 2.05, 5: 2.2 };
    const alone = fitOptimum(curveOf(rows));
    const helped = fitOptimum(curveOf(rows), { noise: { sd: 0.001, df: 40 } });
    expect(helped.log2_tuned_high! - helped.log2_tuned_low!).toBeLessThan(
      alone.log2_tuned_high! - alone.log2_tuned_low!,
    );
  });
});
