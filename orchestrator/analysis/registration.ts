/**
 * The cells of a parameterization fitted together: their valleys lean alike, unless a cell shows otherwise. What one cell says
 * about the lean of all narrows the others' optima, and an error in it moves them all alike, so that it cancels in a drift.
 * Each curve's own fit (posterior.ts) is weighed anew; nothing is integrated twice.
 *
 * Model: the skew of a cell is normal about a common mean μ, but with some probability it is any curve's; μ itself is any
 * usual curve's skew. μ has the same nodes as the skew.
 */
import { CANDIDATES, isUsual, SKEWS, skewWeights } from "./candidates.ts";
import { gridQuantile } from "./distribution.ts";
import type { Posterior, Weights } from "./posterior.ts";
import type { Pooling } from "./types.ts";

/** How alike the cells are: standard deviation about their mean, and the share that does not belong. */
const POOLINGS: Record<Exclude<Pooling, "none">, { sd: number; strangers: number }> = {
  loose: { sd: 0.35, strangers: 0.3 },
  medium: { sd: 0.3, strangers: 0.08 },
};
const UNUSUAL_SHARE = 0.5;

export type Difference = {
  quantile: (p: number) => number;
  /** Probability that both cells lean as most do, and how far they show it. */
  usual: number;
  shown: number;
};

export type Registration = {
  /** The cell's own weights, given what the others say about the lean. */
  weights: (cell: number) => Weights;
  /** Of two optima. */
  difference: (cell: number, from: number) => Difference;
};

/** For every skew, the weights of SKEWS when the mean is that one. */
function kernelsOf({ sd, strangers }: { sd: number; strangers: number }): number[][] {
  return SKEWS.map((mean) => {
    const raw = SKEWS.map((s) => Math.exp(-0.5 * ((s - mean) / sd) ** 2));
    const total = raw.reduce((sum, w) => sum + w, 0);
    const any = skewWeights(UNUSUAL_SHARE);
    return raw.map((w, i) => (1 - strangers) * (w / total) + strangers * any[i]!);
  });
}

/** One cell under every mean: the density of its optimum (optimum by optimum, mean by mean) and how likely its curve is. */
type UnderMeans = { density: Float64Array[]; evidence: number[]; factors: number[][] };

function underMeans(p: Posterior, kernels: number[][]): UnderMeans {
  // Weights hold the curve's own prior on the skew, which the mean's replaces.
  const factors = kernels.map((kernel) => kernel.map((w, s) => w / Math.exp(p.skew_prior[s]!)));
  const density = factors.map((factor) => densityOf(p, reweighed(p, factor)));
  const step = p.xs[1]! - p.xs[0]!;
  return { density, factors, evidence: density.map((d) => d.reduce((sum, v) => sum + v, 0) * step) };
}

/** @param factor of every skew */
function reweighed({ weights, shapes }: Posterior, factor: number[]): Weights {
  const perShape = shapes.map((v) => factor[CANDIDATES[v]!.skew]!);
  return weights.map((w, i) => w * perShape[i % shapes.length]!);
}

const densityOf = ({ xs, shapes }: Posterior, weights: Weights): Float64Array =>
  xs.map((_, i) => {
    let sum = 0;
    for (let j = 0; j < shapes.length; j++) sum += weights[i * shapes.length + j]!;
    return sum;
  });

export function register(cells: readonly Posterior[], pooling: Pooling): Registration {
  if (pooling === "none") return unrelated(cells);
  const kernels = kernelsOf(POOLINGS[pooling]);
  const seen = cells.map((p) => underMeans(p, kernels));
  const prior = skewWeights(UNUSUAL_SHARE);
  /** Of every mean, given all cells but some. */
  const meansWithout = (left_out: number[]): number[] => {
    const raw = SKEWS.map((_, m) =>
      seen.reduce((product, { evidence }, c) => {
        const scale = evidence.reduce((sum, e) => sum + e, 0);
        return left_out.includes(c) ? product : (product * evidence[m]!) / scale;
      }, prior[m]!),
    );
    const total = raw.reduce((sum, w) => sum + w, 0);
    return raw.map((w) => w / total);
  };
  const weights = (cell: number): Weights => {
    const means = meansWithout([cell]);
    const factor = SKEWS.map((_, s) => means.reduce((sum, w, m) => sum + w * seen[cell]!.factors[m]![s]!, 0));
    return reweighed(cells[cell]!, factor);
  };
  return {
    weights,
    difference(cell, from) {
      const means = meansWithout([cell, from]);
      const parts = means.map((weight, m) => ({
        weight,
        a: seen[cell]!.density[m]!,
        b: seen[from]!.density[m]!,
      }));
      return {
        quantile: differenceQuantile(cells[cell]!.xs, cells[from]!.xs, parts),
        usual: usualOf(cells[cell]!, weights(cell)) * usualOf(cells[from]!, weights(from)),
        shown: Math.max(cells[cell]!.shown, cells[from]!.shown),
      };
    },
  };
}

/** Each cell for itself. */
const unrelated = (cells: readonly Posterior[]): Registration => ({
  weights: (cell) => cells[cell]!.weights,
  difference: (cell, from) => {
    const [a, b] = [cells[cell]!, cells[from]!];
    return {
      quantile: differenceQuantile(a.xs, b.xs, [{ weight: 1, a: a.density, b: b.density }]),
      usual: a.usual * b.usual,
      shown: Math.max(a.shown, b.shown),
    };
  },
});

function usualOf({ shapes }: Posterior, weights: Weights): number {
  const usual = shapes.map((v) => isUsual(CANDIDATES[v]!));
  let [among, total] = [0, 0];
  for (const [i, w] of weights.entries()) {
    total += w;
    if (usual[i % shapes.length]) among += w;
  }
  return among / total;
}

/** Octaves between the points of a difference's density. */
const STEP = 0.01;

/** Of A − B, which are independent within each part. @param parts weights, and densities up to the factors that the weights expect */
function differenceQuantile(
  xs: Float64Array,
  from: Float64Array,
  parts: { weight: number; a: Float64Array; b: Float64Array }[],
): (p: number) => number {
  const low = xs[0]! - from.at(-1)! - STEP;
  const count = Math.ceil((xs.at(-1)! - from[0]! - low) / STEP) + 2;
  const density = new Float64Array(count);
  const both = new Float64Array(xs.length * from.length);
  for (const { weight, a, b } of parts)
    for (let i = 0; i < xs.length; i++) {
      const wa = weight * a[i]!;
      if (wa === 0) continue;
      for (let j = 0; j < from.length; j++) both[i * from.length + j]! += wa * b[j]!;
    }
  for (let i = 0; i < xs.length; i++)
    for (let j = 0; j < from.length; j++) {
      const at = (xs[i]! - from[j]! - low) / STEP;
      const k = Math.floor(at);
      const mass = both[i * from.length + j]!;
      density[k]! += mass * (k + 1 - at);
      density[k + 1]! += mass * (at - k);
    }
  const grid = Float64Array.from(density, (_, k) => low + k * STEP);
  return gridQuantile(grid, density);
}
