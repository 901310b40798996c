/**
 * Learning-rate curves with a known optimum, for measuring the estimator: lopsided, noisy, with a wall on the right.
 * Five shapes, none of them the estimator's own alone; excess loss is relative to the best loss, u is octaves from the optimum.
 */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { CurveInput } from "../orchestrator/analysis/types.ts";

export type Random = { uniform: (low: number, high: number) => number; normal: () => number };

export function seededRandom(seed: number): Random {
  const generator = xoroshiro128plus(seed);
  const uniform = (low: number, high: number) => low + (high - low) * uniformFloat64(generator);
  // Box and Muller (1958); 1 − u keeps the logarithm finite.
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform(0, 1))) * Math.cos(2 * Math.PI * uniform(0, 1));
  return { uniform, normal };
}

/** Relative excess loss at u octaves from the optimum; excess(0) = 0 is its only minimum. */
type Shape = (u: number, curvature: number, skew: number) => number;

export const SHAPES = {
  /** Two half parabolas; the right one `skew` times steeper. */
  "half parabolas": (u, c, skew) => c * u * u * (u > 0 ? skew : 1),
  /** Exponential on the right, linear far to the left; the third derivative carries the skew. */
  exponential: (u, c, skew) => {
    const k = 0.35 * Math.log(skew) + 1e-6;
    return (2 * c * (Math.exp(k * u) - 1 - k * u)) / (k * k);
  },
  /** Left flank bends into a straight line, right flank gains a fourth power. */
  bent: (u, c, skew) =>
    u > 0 ? c * u * u * (1 + 0.3 * (skew - 1) * u * u) : (c * u * u) / Math.sqrt(1 + (u * u) / 4),
  /** A flat-bottomed valley: fourth power beside a weak square. */
  flat: (u, c, skew) => c * (0.4 * u * u + 0.25 * u ** 4) * (u > 0 ? skew : 1),
  /** Steep on the right, then levelling off a quarter above the best loss: training limps on instead of diverging. */
  plateau: (u, c, skew) => {
    const rise = c * u * u * (u > 0 ? skew : 1);
    return u > 0 ? rise / (1 + rise / 0.25) : rise;
  },
} satisfies Record<string, Shape>;
export type ShapeName = keyof typeof SHAPES;

export type Truth = {
  shape: ShapeName;
  optimum: number;
  best_loss: number;
  curvature: number;
  skew: number;
  /** Octaves right of the optimum where the wall stands, and what is beyond it: divergence, or a step of this relative height. */
  wall: number;
  step: number | null;
};

/** Plausible shapes: curvature 0.4–3% per octave², skew 1–4, a wall 1–4 octaves right of the optimum. */
export function drawTruth(random: Random, optimum: number, shape?: ShapeName): Truth {
  const names = Object.keys(SHAPES) as ShapeName[];
  return {
    shape: shape ?? names[Math.floor(random.uniform(0, names.length))]!,
    optimum,
    best_loss: random.uniform(1.5, 4),
    curvature: Math.exp(random.uniform(Math.log(0.004), Math.log(0.03))),
    skew: Math.exp(random.uniform(0, Math.log(4))),
    wall: random.uniform(1, 4),
    step: random.uniform(0, 1) < 0.5 ? null : random.uniform(0.1, 0.4),
  };
}

/** Noise-free loss; null where training diverges. */
export function trueLoss(truth: Truth, log2_tuned: number): number | null {
  const u = log2_tuned - truth.optimum;
  const beyond = u > truth.wall;
  if (beyond && truth.step === null) return null;
  const excess = SHAPES[truth.shape](u, truth.curvature, truth.skew);
  return truth.best_loss * (1 + excess + (beyond ? (truth.step ?? 0) : 0));
}

export type Noise = {
  /** Relative, of each run by itself. */
  independent: number;
  /** Relative, of a seed's whole column. */
  common: number;
  /** Relative per octave: a seed leans its whole curve, and so moves its own optimum. */
  tilt: number;
};

/** Rates from 2⁻⁸ upwards, log2. */
export const gridOf = (rates: number, spacing: number): number[] =>
  Array.from({ length: rates }, (_, i) => -8 + i * spacing);

export function drawCurve(
  random: Random,
  truth: Truth,
  log2_values: readonly number[],
  seeds: number,
  noise: Noise,
): CurveInput {
  const columns = Array.from({ length: seeds }, () => ({
    level: noise.common * random.normal(),
    tilt: noise.tilt * random.normal(),
  }));
  return {
    points: log2_values.map((log2_tuned) => ({
      log2_tuned,
      missing: 0,
      seeds: columns.map(({ level, tilt }, seed) => {
        const loss = trueLoss(truth, log2_tuned);
        const scatter = 1 + level + tilt * (log2_tuned - truth.optimum) + noise.independent * random.normal();
        return loss === null
          ? { seed, loss, diverged: true }
          : { seed, loss: loss * scatter, diverged: false };
      }),
    })),
  };
}
