/** The slopes of a coordinate check on sizes made by hand, whose slopes, intervals and verdicts follow with pencil and paper. */
import { describe, expect, it } from "vitest";
import {
  fitLine,
  type Line,
  type MeasuredRun,
  type Slope,
  verdictOf,
} from "../../../orchestrator/analysis/coordinates.ts";
import { COORDINATE_MODULES, type CoordinateModule } from "../../../schema/wire/coordinates.ts";

const OPTIONS = { steps: 2, tolerance: 0.25 };

type Sizes = (module: CoordinateModule, step: number) => { size: number | null; change: number | null };
const constant: Sizes = () => ({ size: 1, change: 1 });

/** A network of one layer, measured at steps 0 … 2. */
const run = (seed: number, x: number, sizes: Sizes = constant): MeasuredRun => ({
  seed,
  x,
  outcome: "measured",
  sizes: [0, 1, 2].map((step) =>
    COORDINATE_MODULES.map((module) => ({
      module,
      layer: module === "embedding" || module === "logits" ? null : 0,
      ...sizes(module, step),
    })),
  ),
});

const line = (runs: MeasuredRun[], rest: Partial<Line> = {}): Line => ({
  axis: "density",
  heads_grow: false,
  runs,
  ...rest,
});

const find = (slopes: Slope[], module: CoordinateModule, quantity: string, step: number | null): Slope =>
  slopes.find((s) => s.module === module && s.quantity === quantity && s.step === step)!;

/** Sizes of the attention's output alone; the others stay. */
const attention =
  (size: number, change = 1): Sizes =>
  (module) =>
    module === "attention" ? { size, change } : { size: 1, change: 1 };

describe("a slope", () => {
  it("is that of the logarithms: size ∝ x^1.5 gives 1.5, without width when seeds agree", () => {
    const runs = [0, 1, 2].flatMap((x) => [1, 2].map((seed) => run(seed, x, attention(2 ** (1.5 * x)))));
    expect(find(fitLine(line(runs), OPTIONS), "attention", "size", 0)).toEqual({
      module: "attention",
      layer: 0,
      quantity: "size",
      step: 0,
      slope: 1.5,
      slope_low: 1.5,
      slope_high: 1.5,
      allowed_low: 0,
      allowed_high: 0,
      verdict: "not flat",
      points: 3,
      seeds: 2,
    });
  });

  it("has the interval of Student's t over seeds: slopes 0.1, 0.2, 0.3 are 0.2 ± 4.303·0.1/√3", () => {
    // Each seed has a level of its own, which must not matter.
    const runs = [0, 2].flatMap((x) =>
      [1, 2, 3].map((seed) => run(seed, x, attention(10 * seed * 2 ** ((seed / 10) * x)))),
    );
    const slope = find(fitLine(line(runs), OPTIONS), "attention", "size", 0);
    expect(slope.slope).toBeCloseTo(0.2, 12);
    expect(slope.slope_high! - slope.slope!).toBeCloseTo((4.302653 * 0.1) / Math.sqrt(3), 5);
    expect(slope.verdict).toBe("inconclusive");
  });

  it("is least squares: heights 0, 0, 3 at 0, 1, 2 have slope 1.5", () => {
    const runs = [0, 1, 2].map((x) => run(1, x, attention(x === 2 ? 8 : 1)));
    const slope = find(fitLine(line(runs), OPTIONS), "attention", "size", 0);
    expect(slope).toMatchObject({ slope: 1.5, slope_low: null, slope_high: null, verdict: "inconclusive" });
  });

  it("in training is that of the mean logarithm over the steps after the initial network", () => {
    const sizes =
      (x: number): Sizes =>
      (module, step) => ({ size: 1, change: module === "ffn" ? 2 ** (step * x) : 1 });
    const runs = [0, 1].flatMap((x) => [1, 2].map((seed) => run(seed, x, sizes(x))));
    const slopes = fitLine(line(runs), OPTIONS);
    expect(find(slopes, "ffn", "change", 1).slope).toBe(1);
    expect(find(slopes, "ffn", "change", 2).slope).toBe(2);
    expect(find(slopes, "ffn", "change", null)).toMatchObject({ slope: 1.5, verdict: "not flat" });
    expect(find(slopes, "ffn", "size", null)).toMatchObject({ slope: 0, verdict: "flat" });
  });

  it("takes whole seeds only: one that lacks a network, or a finite size, does not count", () => {
    const runs = [
      ...[0, 1].map((x) => run(1, x, attention(2 ** x))),
      run(2, 0, attention(1)),
      ...[0, 1].map((x) => run(3, x, attention(x === 1 ? Number.NaN : 1))),
      ...[0, 1].map((x) => run(4, x, (module) => ({ size: module === "attention" ? null : 1, change: 1 }))),
    ];
    expect(find(fitLine(line(runs), OPTIONS), "attention", "size", 0)).toMatchObject({ slope: 1, seeds: 1 });
  });
});

describe("a verdict", () => {
  const tilted = (tilt: number) =>
    line([0, 1].flatMap((x) => [1, 2].map((seed) => run(seed, x, attention(2 ** (tilt * x))))));
  const verdict = (one: Line): string => verdictOf(fitLine(one, OPTIONS));

  it("is flat up to the tolerance, not flat beyond", () => {
    expect(verdict(tilted(0.24))).toBe("flat");
    expect(verdict(tilted(-0.24))).toBe("flat");
    expect(verdict(tilted(0.26))).toBe("not flat");
    expect(verdict(tilted(-0.26))).toBe("not flat");
  });

  it("is never flat with a network that diverged, and not decided without one that is missing", () => {
    const with_ = (outcome: MeasuredRun["outcome"], sizes: MeasuredRun["sizes"]) =>
      line([...tilted(0).runs, { seed: 3, x: 0, outcome, sizes }]);
    expect(verdict(with_("diverged", []))).toBe("not flat");
    expect(verdict(with_("missing", []))).toBe("inconclusive");
  });

  it("allows what theory says of width: logits that fall by ½ at first, scores that do where heads grow", () => {
    /** The module falls so fast, and so do the logits of an initial network along width. */
    const falling = (module: CoordinateModule, initial: number, later: number, rest: Partial<Line>) => {
      const tilt = (m: CoordinateModule, step: number): number => {
        if (m === module) return step === 0 ? initial : later;
        return m === "logits" && rest.axis === "width" && step === 0 ? -0.5 : 0;
      };
      const sizes =
        (x: number): Sizes =>
        (m, step) => ({ size: 2 ** (tilt(m, step) * x), change: 1 });
      return line(
        [0, 1].flatMap((x) => [1, 2].map((seed) => run(seed, x, sizes(x)))),
        rest,
      );
    };
    const width = { axis: "width", heads_grow: false } as const;
    expect(verdict(falling("logits", -0.5, -0.2, width))).toBe("flat");
    expect(verdict(falling("logits", 0.5, 0, width))).toBe("not flat");
    expect(verdict(falling("logits", -0.5, -0.2, { axis: "density" }))).toBe("not flat");
    expect(verdict(falling("attention_scores", -0.5, 0, width))).toBe("not flat");
    expect(verdict(falling("attention_scores", -0.5, 0, { ...width, heads_grow: true }))).toBe("flat");
    // 1/√d_head keeps the initial scores, and lets them grow in training.
    expect(verdict(falling("attention_scores", 0, 0.5, { ...width, heads_grow: true }))).toBe("not flat");
  });

  it("along depth takes the layers together", () => {
    const deep = (layers: number, seed: number): MeasuredRun => ({
      seed,
      x: Math.log2(layers),
      outcome: "measured",
      sizes: [0, 1, 2].map(() =>
        Array.from({ length: layers }, (_, layer) => ({
          module: "ffn" as const,
          layer,
          size: layers * (layer + 1),
          change: 1,
        })),
      ),
    });
    const slopes = fitLine(line([deep(1, 1), deep(2, 1)], { axis: "layers" }), OPTIONS);
    // log2 of 1, and the mean of log2 of 2 and of 4.
    expect(find(slopes, "ffn", "size", 0)).toMatchObject({ layer: null, slope: 1.5 });
  });
});
