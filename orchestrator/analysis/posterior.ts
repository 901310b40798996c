/**
 * Where the minimum of a noisy, lopsided curve may lie: the posterior distribution of the optimum, by quadrature over
 * optimum, shape (candidates.ts) and noise (point-noise.ts); the rest has closed forms (kernel.ts). No random numbers: equal
 * input gives equal output. What the curve says about its shape is kept, so that the cells of a sweep can be fitted together
 * (registration.ts).
 */
import { CANDIDATES, isUsual, LOOSEST_BEND, shapeShown, skewPrior } from "./candidates.ts";
import { type Curve, lowest, type StablePoint, wallAbove } from "./curve.ts";
import { gridQuantile, type Lognormal, LognormalMixture } from "./distribution.ts";
import { bendingAt, curvatureMoments, HIGHEST, type Kernel, kernelOf, NEGLIGIBLE } from "./kernel.ts";
import { type PointNoise, pointNoise, saidNoise } from "./point-noise.ts";
import type { Noise } from "./types.ts";

/**
 * How far the excess loss at a rate may be off, relative to itself: 0.3 + 1.1·d where a run was trained at that rate, up to
 * 0.6 more half an octave from the next one and beyond. Points say how high a valley is where they are, hardly how flat its
 * floor is between them: of the shapes that the constants were chosen on, those are half to one and a half times as high near
 * the floor as their flanks say. @param away octaves to the nearest rate that was tried
 */
export const excessDiscrepancy = (excess: number, away: number): number =>
  0.3 + 0.6 * Math.min(1, 2 * away) + 1.1 * excess;
/** How far beyond the rates tried the optimum may lie, octaves. */
const REACH = 2;
/** Points of the passes: everywhere, per octave; then where the mass is; then there again, with what the curve leaves possible. */
const COARSE_PER_OCTAVE = 2.5;
const MIDDLE_POINTS = 24;
const FINE_POINTS = 45;
/** Share of the mass that a candidate needs to be looked at again. */
const POSSIBLE = 1e-3;
/** Excess that still counts as the flat valley: 0.5%. */
const VALLEY_LEVEL = Math.log(1.005);

type Moments = { mean: number; sd: number };

/** Weights of the joint distribution of optimum and candidate, optimum by optimum; any sum. */
export type Weights = Float64Array;

export type Posterior = {
  /** Of the points, log2 η. */
  rates: readonly number[];
  /** Candidate optima, log2 η, evenly spaced, and the density there up to a factor. */
  xs: Float64Array;
  density: Float64Array;
  /** Indices into CANDIDATES of the shapes that the curve leaves possible. */
  shapes: number[];
  /** For every optimum, shape by shape: joint weight under the shape's own prior, mean of the curvature and of its square. */
  weights: Weights;
  curvature: Float64Array;
  curvature_square: Float64Array;
  /** Log loss above the best point's, and excess at curvature 1, both averaged over the points as the fit weighs them. */
  mean_y: Float64Array;
  mean_excess: Float64Array;
  /** And mean and variance of either side's bend, the left one's first. */
  bend: [Float64Array, Float64Array];
  bend_variance: [Float64Array, Float64Array];
  /** ln of the prior of each of SKEWS that the weights contain. */
  skew_prior: number[];
  /** log2 η at which the optimum's distribution function reaches p. */
  quantile: (p: number) => number;
  /** Probability that the curve leans as most do: its shape holds no surprise. */
  usual: number;
  /** How far its points show its shape, from 0 to 1. */
  shown: number;
  /** Log loss at the optimum, at the seeds' mean level. */
  best: Moments;
  /** Octaves below and above the optimum within 0.5% of the best loss. */
  valley: { left: number; right: number };
  /** Mean variance at the best rate, relative: of one run by itself, and of what a rate's seeds share. */
  noise: { run: number; shared: number };
};

/** The same curve is asked about again and again while its neighbours change: so many of the last answers are kept, up to 120 kB each. */
const ANSWERS_KEPT = 1024;
const recent = new Map<string, Posterior>();

/** @param others noise measured on other curves (`noiseOfOthers`), or stated. Needs one stable point that is not shaky. */
export function posterior(curve: Curve, others: Noise | undefined): Posterior {
  const limit = wallAbove(curve);
  const key = JSON.stringify([curve.stable.map(({ mean_loss: _, ...p }) => Object.values(p)), limit, others]);
  const answer = recent.get(key) ?? integrate(curve.stable, limit, others);
  recent.delete(key);
  recent.set(key, answer);
  if (recent.size > ANSWERS_KEPT) recent.delete(recent.keys().next().value!);
  return answer;
}

const ALL = new Uint8Array(CANDIDATES.length).fill(1);
/** Those that keep to their valley the least: their optimum may lie wherever that of the others may. */
const LOOSE = Uint8Array.from(CANDIDATES, ({ bend }) => Number(bend === LOOSEST_BEND));

/** @param limit log2 η that the optimum is below */
function integrate(stable: StablePoint[], limit: number | undefined, others: Noise | undefined): Posterior {
  const best = lowest(stable)!;
  const wall_height = wallHeight(stable, best, others);
  const points = insideWalls(stable, best, wall_height);
  const noise = pointNoise(points, best, others);
  const seen = seenCurvature(points, best, wall_height);
  const near = points.filter((p) => p.y - best.y <= wall_height).length;
  const shown = Math.max(shapeShown(near), steepness(seen));
  const skew_prior = skewPrior(shown);
  const kernel = kernelOf(points, best, wall_height, seen, noise, skew_prior);
  const low = stable[0]!.log2_tuned - REACH;
  const high = Math.min(stable.at(-1)!.log2_tuned + REACH, limit ?? Number.POSITIVE_INFINITY);
  const coarse = evenly(low, high, Math.ceil((high - low) * COARSE_PER_OCTAVE) + 1);
  const middle = evenly(...massOf(coarse, scan(kernel, coarse, LOOSE).density), MIDDLE_POINTS);
  const { density, shares } = scan(kernel, middle, ALL);
  const alive = Uint8Array.from(shares, (share) => (share > POSSIBLE ? 1 : 0));
  const fine = evenly(...massOf(middle, density), FINE_POINTS);
  const rates = stable.map((p) => p.log2_tuned);
  return { ...summarise(kernel, fine, alive, best, noise, skew_prior), rates, shown };
}

/** All but a negligible part of it, with a step to each side. */
function massOf(xs: Float64Array, density: Float64Array): [number, number] {
  const step = xs[1]! - xs[0]!;
  const quantile = gridQuantile(xs, density);
  return [Math.max(xs[0]!, quantile(3e-4) - step), Math.min(xs.at(-1)!, quantile(1 - 3e-4) + step)];
}

/** The first point this high above the best (log loss) is where the wall may begin, unless noise alone may lift it so far. */
const WALL_HEIGHT = 0.1;
/** Standard deviations of a mean that noise may lift a point above the lowest one. */
const NOISE_HEIGHT = 4;

function wallHeight(stable: StablePoint[], best: StablePoint, others: Noise | undefined): number {
  const { ss, df } = saidNoise(stable, others);
  return df > 0 ? Math.max(WALL_HEIGHT, NOISE_HEIGHT * Math.sqrt(ss / df / best.n)) : WALL_HEIGHT;
}

/** Log loss per octave², of a parabola between walls on both sides; 0 without. */
function seenCurvature(points: StablePoint[], best: StablePoint, wall_height: number): number {
  const [first, last] = [points[0]!, points.at(-1)!];
  const [left, right] = [first.y - best.y, last.y - best.y];
  if (left <= wall_height || right <= wall_height) return 0;
  return ((Math.sqrt(left) + Math.sqrt(right)) / (last.log2_tuned - first.log2_tuned)) ** 2;
}

/** Curvatures from which and to which a valley is steep. */
const STEEP = { from: 0.035, to: 0.05 };

/** A steep valley has few points near its minimum, but its walls speak of its shape: it is not taken for a usual one. */
const steepness = (seen: number): number =>
  Math.min(1, Math.max(0, (seen - STEEP.from) / (STEEP.to - STEEP.from)));

/** Going outward from the best point, the first one high enough is the last that counts: beyond it is the wall. */
function insideWalls(stable: StablePoint[], best: StablePoint, wall_height: number): StablePoint[] {
  const isWall = (p: StablePoint) => p.y - best.y > wall_height;
  let first = stable.indexOf(best);
  let last = first;
  while (first > 0 && !isWall(stable[first]!)) first--;
  while (last < stable.length - 1 && !isWall(stable[last]!)) last++;
  return stable.slice(first, last + 1);
}

const evenly = (low: number, high: number, count: number): Float64Array =>
  Float64Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));

/** @returns density at every candidate optimum up to a factor, and every candidate shape's share of the mass */
function scan(
  { at, fits, peak }: Kernel,
  xs: Float64Array,
  alive: Uint8Array,
): { density: Float64Array; shares: Float64Array } {
  const nodes = fits.log_weight.length / CANDIDATES.length;
  const density = new Float64Array(xs.length);
  const shares = new Float64Array(CANDIDATES.length);
  let reference = Number.NEGATIVE_INFINITY;
  for (const [i, x] of xs.entries()) {
    at(x, alive);
    if (peak() > reference) {
      const factor = Math.exp(reference - peak());
      reference = peak();
      for (let j = 0; j < i; j++) density[j]! *= factor;
      for (let v = 0; v < shares.length; v++) shares[v]! *= factor;
    }
    for (let v = 0; v < CANDIDATES.length; v++) {
      let weight = 0;
      for (let fit = v * nodes; fit < (v + 1) * nodes; fit++)
        if (fits.log_weight[fit]! > reference - NEGLIGIBLE)
          weight += Math.exp(fits.log_weight[fit]! - reference);
      density[i]! += weight;
      shares[v]! += weight;
    }
  }
  const total = shares.reduce((sum, share) => sum + share, 0);
  return { density, shares: shares.map((share) => share / total) };
}

/** The last pass: everything that is asked of a fit. */
function summarise(
  { at, fits, peak }: Kernel,
  xs: Float64Array,
  alive: Uint8Array,
  best: StablePoint,
  { nodes }: PointNoise,
  skew_prior: number[],
): Omit<Posterior, "rates" | "shown"> {
  const shapes = CANDIDATES.map((_, v) => v).filter((v) => alive[v] === 1);
  const size = xs.length * shapes.length;
  const perFit = () => new Float64Array(size);
  const [weights, curvature, curvature_square] = [perFit(), perFit(), perFit()];
  const [mean_y, mean_excess] = [perFit(), perFit()];
  const bend: [Float64Array, Float64Array] = [perFit(), perFit()];
  const bend_variance: [Float64Array, Float64Array] = [perFit(), perFit()];
  const sums = { best: 0, best_square: 0, left: 0, right: 0, run: 0, shared: 0, usual: 0, all: 0 };
  // Passes before this one have come close to the peak.
  const reference = peak();
  const density = new Float64Array(xs.length);
  for (const [i, x] of xs.entries()) {
    at(x, alive);
    for (const [j, v] of shapes.entries()) {
      const { valley } = CANDIDATES[v]!;
      const to = i * shapes.length + j;
      let weight = 0;
      let c1 = 0;
      let c2 = 0;
      for (let q = 0; q < nodes.length; q++) {
        const fit = v * nodes.length + q;
        if (fits.log_weight[fit]! < reference - NEGLIGIBLE) continue;
        const w = Math.exp(fits.log_weight[fit]! - reference);
        const c = curvatureMoments(fits.s[fit]!, fits.t[fit]!);
        const { variance, own } = nodes[q]!;
        const bottom = fits.mean_y[fit]! - c.mean * fits.mean_excess[fit]!;
        weight += w;
        c1 += w * c.mean;
        c2 += w * (c.mean * c.mean + c.variance);
        mean_y[to]! += w * fits.mean_y[fit]!;
        mean_excess[to]! += w * fits.mean_excess[fit]!;
        for (let side = 0; side < 2; side++) {
          bend[side]![to]! += w * (fits.bend[side]![fit]! - c.mean * fits.bend_slope[side]![fit]!);
          bend_variance[side]![to]! += w * fits.bend_variance[side]![fit]!;
        }
        sums.best += w * bottom;
        sums.best_square +=
          w * (bottom * bottom + 1 / fits.total[fit]! + fits.mean_excess[fit]! ** 2 * c.variance);
        sums.run += w * variance * own * best.n;
        sums.shared += w * variance * (1 - own);
      }
      if (weight === 0) continue;
      weights[to] = weight;
      curvature[to] = c1 / weight;
      mean_y[to]! /= weight;
      mean_excess[to]! /= weight;
      curvature_square[to] = c2 / weight;
      for (let side = 0; side < 2; side++) {
        bend[side]![to]! /= weight;
        bend_variance[side]![to]! /= weight;
      }
      density[i]! += weight;
      sums.all += weight;
      if (isUsual(CANDIDATES[v]!)) sums.usual += weight;
      const level = VALLEY_LEVEL / curvature[to]!;
      sums.left += weight * valley.left(level);
      sums.right += weight * valley.right(level);
    }
  }
  const mean = (key: keyof typeof sums) => sums[key] / sums.all;
  return {
    xs,
    density,
    shapes,
    weights,
    curvature,
    curvature_square,
    mean_y,
    mean_excess,
    bend,
    bend_variance,
    skew_prior,
    quantile: gridQuantile(xs, density),
    usual: mean("usual"),
    best: {
      mean: best.y + mean("best"),
      sd: Math.sqrt(Math.max(0, mean("best_square") - mean("best") ** 2)),
    },
    valley: { left: mean("left"), right: mean("right") },
    noise: { run: mean("run"), shared: mean("shared") },
  };
}

/** A bend lowers a side to no less than this share of its height. */
const LEAST_BENT = 0.2;

/** Excess at curvature 1 of the v-th candidate u octaves from the optimum, its sides bent as the points bend them. @param at of the weights */
export function bentExcess({ bend }: Posterior, at: number, v: number, u: number): number {
  const bent = Math.max(LEAST_BENT, 1 + bend[u < 0 ? 0 : 1]![at]! * bendingAt(u));
  return bent * Math.min(HIGHEST, CANDIDATES[v]!.valley.excess(u));
}

/** Octaves from a rate to the nearest one that was tried. */
export const awayFrom = ({ rates }: Posterior, log2_tuned: number): number =>
  Math.min(...rates.map((rate) => Math.abs(rate - log2_tuned)));

/** Excess log loss at a rate above the optimum's. @param weights of the posterior's, or others of the same shape */
export function excessAt(
  p: Posterior,
  weights: Weights,
  log2_tuned: number,
): Moments & { mixture: LognormalMixture } {
  const { xs, shapes, curvature, curvature_square, bend_variance } = p;
  const away = awayFrom(p, log2_tuned);
  const parts: Lognormal[] = [];
  let [total, first, second] = [0, 0, 0];
  for (const [i, x] of xs.entries()) {
    for (const [j, v] of shapes.entries()) {
      const at = i * shapes.length + j;
      const weight = weights[at]!;
      if (weight === 0) continue;
      const u = log2_tuned - x;
      const excess = bentExcess(p, at, v, u);
      const mean = curvature[at]! * excess;
      const square =
        (curvature_square[at]! + bend_variance[u < 0 ? 0 : 1]![at]! * (curvature[at]! * bendingAt(u)) ** 2) *
        excess *
        excess;
      total += weight;
      first += weight * mean;
      second += weight * square;
      parts.push(lognormal(weight, mean, square, away));
    }
  }
  const mean = first / total;
  return {
    mean,
    sd: Math.sqrt(Math.max(0, second / total - mean * mean)),
    mixture: new LognormalMixture(parts.filter((p) => p.weight > 1e-7 * total)),
  };
}

/** With the given mean and mean square, widened by the discrepancy. */
function lognormal(weight: number, mean: number, square: number, away: number): Lognormal {
  if (!(mean > 1e-12)) return { weight, mean_log: Math.log(1e-12), sd_log: 0 };
  const relative = Math.max(0, square / (mean * mean) - 1);
  const variance = Math.log1p(relative + excessDiscrepancy(mean, away) ** 2);
  return { weight, mean_log: Math.log(mean) - variance / 2, sd_log: Math.sqrt(variance) };
}
