/**
 * Where the minimum of a noisy, lopsided curve may lie: the posterior distribution of the optimum, by quadrature.
 *
 * Model: y_k = level + curvature · excess(x_k − optimum; skew) + error, with y the log loss. The optimum, the skew (two
 * families) and the noise are integrated on a grid; level and curvature have closed forms. The error's variance is
 * σ²/n_k plus a model discrepancy that grows with the height above the minimum, which makes the fit local: points near
 * the minimum must be met, points up the wall hardly count. No random numbers: equal input gives equal output.
 *
 * Priors, chosen by measured bias and coverage (docs/method.md): level flat; density ∝ curvature for the pair of
 * optimum and curvature, which is flat in a parabola's own coefficients; ln skew normal; ln σ normal.
 */
import normalCdf from "@stdlib/stats-base-dists-normal-cdf";
import type { Curve, StablePoint } from "./curve.ts";
import { exponentialValley, halfParabolas, type Valley } from "./shapes.ts";
import type { Noise } from "./types.ts";

/** Right side 1.9 times as steep as the left, give or take a factor 1.8. */
const SKEW_PRIOR = { mean: 0.65, sd: 0.6 };
/** One run's scatter within its seed: 0.5%, give or take a factor 3.3. What replicates say overrules it. */
const NOISE_PRIOR = { median: 0.005, sd: 1.2 };
const NOISE_RANGE = { low: 2e-4, high: 0.05 };
const NOISE_NODES = 8;
/** Discrepancy of the model at height d above the best point (log loss): 0.16·d + 1.1·d². */
const DISCREPANCY = { linear: 0.16, quadratic: 1.1 };
/**
 * And of the model at a rate between the points, relative to the excess there: 0.3 + 1.1·d. Points say how high a valley is
 * where they are, hardly how flat its floor is between them. Chosen by the regret's measured coverage.
 */
export const excessDiscrepancy = (excess: number): number => 0.3 + DISCREPANCY.quadratic * excess;
/** Going outward from the best point, the first one this high (log loss) is the last that counts: beyond it is the wall. */
const WALL_HEIGHT = 0.1;
/** How far beyond the rates tried the optimum may lie, octaves. */
const REACH = 2;
/** First pass, points per octave; later passes put this many points where the mass is. */
const COARSE_PER_OCTAVE = 6;
const FINE_POINTS = 50;
/** Excess that still counts as the flat valley: 0.5%. */
const VALLEY_LEVEL = Math.log(1.005);

/** Skew nodes from −2 to +2 standard deviations, for both families. */
const VALLEYS: { valley: Valley; log_prior: number }[] = [-2, -1, 0, 1, 2].flatMap((z) => {
  const skew = SKEW_PRIOR.mean + SKEW_PRIOR.sd * z;
  return [halfParabolas(skew), exponentialValley(skew)].map((valley) => ({
    valley,
    log_prior: -0.5 * z * z,
  }));
});

/** Relative weight below which a node is left out of the means. */
const NEGLIGIBLE = 1e-9;

const standardCdf = normalCdf.factory(0, 1);
const SQRT_2PI = Math.sqrt(2 * Math.PI);

type Moments = { mean: number; sd: number };
export type Posterior = {
  /** log2 η at which the optimum's distribution function reaches p. */
  quantile: (p: number) => number;
  /** Log loss at the optimum, at the seeds' mean level. */
  best: Moments;
  /** Octaves below and above the optimum within 0.5% of the best loss. */
  valley: { left: number; right: number };
  /** Log loss at a rate above the optimum's: mean, and quantiles (see `spreadExcess`). */
  excess: (log2_lr: number) => Moments & { quantile: (p: number) => number };
  /** Root mean square of σ, relative. */
  noise: number;
};

/**
 * The same curve is asked about again and again while its neighbours change, and ahead of a transaction that must be short
 * (database/optima.ts): so many of the last answers are kept, some 12 kB each.
 */
export const ANSWERS_KEPT = 4096;
const recent = new Map<string, Posterior>();

/** @param others noise measured on other curves (`noiseOfOthers`) */
export function posterior(curve: Curve, others: Noise | undefined): Posterior {
  const key = JSON.stringify([
    curve.stable.map(({ log2_lr, y, n }) => [log2_lr, y, n]),
    curve.residual_ss,
    curve.residual_df,
    others,
  ]);
  const answer = recent.get(key) ?? integrate(curve, others);
  recent.delete(key);
  recent.set(key, answer);
  if (recent.size > ANSWERS_KEPT) recent.delete(recent.keys().next().value!);
  return answer;
}

function integrate(curve: Curve, others: Noise | undefined): Posterior {
  const points = insideWalls(curve.stable);
  const others_df = others?.df ?? 0;
  const ss = curve.residual_ss + others_df * (others?.sd ?? 0) ** 2;
  const nodes = noiseNodes(ss, curve.residual_df + others_df).map((node) => weigh(points, node));
  let low = curve.stable[0]!.log2_lr - REACH;
  let high = curve.stable.at(-1)!.log2_lr + REACH;
  let slices = evaluate(points, nodes, low, high, Math.ceil((high - low) * COARSE_PER_OCTAVE) + 1);
  const MAX_PASSES = 3;
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    const step = (high - low) / (slices.length - 1);
    const quantile = quantileOf(slices);
    const [from, to] = [quantile(1e-5) - step, quantile(1 - 1e-5) + step];
    if (to - from > 0.5 * (high - low)) break;
    [low, high] = [from, to];
    slices = evaluate(points, nodes, low, high, FINE_POINTS);
  }
  return summarise(slices);
}

/** @param stable by rising rate */
function insideWalls(stable: StablePoint[]): StablePoint[] {
  const best = stable.reduce((low, p, i) => (p.y < stable[low]!.y ? i : low), 0);
  const isWall = (p: StablePoint) => p.y - stable[best]!.y > WALL_HEIGHT;
  let [first, last] = [best, best];
  while (first > 0 && !isWall(stable[first]!)) first--;
  while (last < stable.length - 1 && !isWall(stable[last]!)) last++;
  return stable.slice(first, last + 1);
}

type NoiseNode = { variance: number; log_prior: number };

/** Nodes over ln σ where its likelihood (chi-square on df) and prior are not negligible. */
function noiseNodes(ss: number, df: number): NoiseNode[] {
  let low = Math.log(NOISE_RANGE.low);
  let high = Math.log(NOISE_RANGE.high);
  if (df > 0) {
    const centre = Math.min(high, Math.max(low, 0.5 * Math.log(Math.max(ss / df, Number.MIN_VALUE))));
    const sd = 1 / Math.sqrt(2 * df);
    // Few replicates can hide a large σ more easily than a small one.
    [low, high] = [Math.max(low, centre - 3.5 * sd), Math.min(high, centre + 5.5 * sd)];
  }
  return Array.from({ length: NOISE_NODES }, (_, i) => {
    const ln = low + ((high - low) * (i + 0.5)) / NOISE_NODES;
    const variance = Math.exp(2 * ln);
    const z = (ln - Math.log(NOISE_PRIOR.median)) / NOISE_PRIOR.sd;
    return { variance, log_prior: -df * ln - ss / (2 * variance) - 0.5 * z * z };
  });
}

/** Everything about one σ that does not depend on the optimum. Weights are inverse variances. */
type WeighedNode = {
  weights: Float64Array;
  /** weights × (y − weighted mean of y). */
  weighted_y: Float64Array;
  total: number;
  mean_y: number;
  ss_y: number;
  log_prior: number;
  variance: number;
};

function weigh(points: StablePoint[], node: NoiseNode): WeighedNode {
  const best = Math.min(...points.map((p) => p.y));
  const variances = points.map((p) => {
    // The noise itself lifts points above the lowest one; only the rest is height.
    const height = Math.sqrt(Math.max(0, (p.y - best) ** 2 - (2 * node.variance) / p.n));
    return node.variance / p.n + (DISCREPANCY.linear * height + DISCREPANCY.quadratic * height * height) ** 2;
  });
  const weights = Float64Array.from(variances, (v) => 1 / v);
  const total = weights.reduce((sum, w) => sum + w, 0);
  const mean_y = weights.reduce((sum, w, k) => sum + w * points[k]!.y, 0) / total;
  return {
    weights,
    weighted_y: weights.map((w, k) => w * (points[k]!.y - mean_y)),
    total,
    mean_y,
    ss_y: weights.reduce((sum, w, k) => sum + w * (points[k]!.y - mean_y) ** 2, 0),
    log_prior:
      node.log_prior - 0.5 * variances.reduce((sum, v) => sum + Math.log(v), 0) - 0.5 * Math.log(total),
    variance: node.variance,
  };
}

/** One candidate optimum: its log density, and means over the rest of the model given it. */
type Slice = {
  x: number;
  log_density: number;
  best: number;
  best_square: number;
  left: number;
  right: number;
  variance: number;
  /**
   * Mean of the curvature and of its square, each over the whole slice but for one valley alone, in the order of VALLEYS: of this
   * slice from `at` on, the others' before and behind.
   */
  curvature: Float64Array;
  curvature_square: Float64Array;
  at: number;
};

function evaluate(
  points: StablePoint[],
  nodes: WeighedNode[],
  low: number,
  high: number,
  count: number,
): Slice[] {
  const curvature = new Float64Array(count * VALLEYS.length);
  const curvature_square = new Float64Array(count * VALLEYS.length);
  return Array.from({ length: count }, (_, i) =>
    evaluateAt(points, nodes, {
      x: low + ((high - low) * i) / (count - 1),
      curvature,
      curvature_square,
      at: i * VALLEYS.length,
    }),
  );
}

const perFit = (): Float64Array => new Float64Array(VALLEYS.length * NOISE_NODES);

/** What is worked out for every valley and noise node of a slice, valley by valley; used again for the next slice. */
const scratch = {
  excess: new Float64Array(0),
  /** Of the log weight, all but what depends on t. */
  base: perFit(),
  /** The log weight is not above this. */
  bound: perFit(),
  log_weight: perFit(),
  s: perFit(),
  t: perFit(),
  /** exp(−t²/2), and the normal distribution function at t. */
  gauss: perFit(),
  cdf: perFit(),
  mean_excess: perFit(),
};

function evaluateAt(
  points: StablePoint[],
  nodes: WeighedNode[],
  place: Pick<Slice, "x" | "curvature" | "curvature_square" | "at">,
): Slice {
  const { x, curvature: curvatures, curvature_square: squares, at } = place;
  const { log_weight, s, t, gauss, cdf, mean_excess } = scratch;
  if (scratch.excess.length !== points.length) scratch.excess = new Float64Array(points.length);
  for (let v = 0; v < VALLEYS.length; v++) {
    const { valley, log_prior } = VALLEYS[v]!;
    for (let k = 0; k < points.length; k++) scratch.excess[k] = valley.excess(points[k]!.log2_lr - x);
    for (let n = 0; n < NOISE_NODES; n++) fitGiven(v * NOISE_NODES + n, nodes[n]!, log_prior);
  }
  const peak = weighFits();
  const sum = {
    weight: 0,
    best: 0,
    best_square: 0,
    left: 0,
    right: 0,
    variance: 0,
  };
  for (let v = 0; v < VALLEYS.length; v++) {
    let weight = 0;
    let weighted_curvature = 0;
    for (let n = 0; n < NOISE_NODES; n++) {
      const fit = v * NOISE_NODES + n;
      const node = nodes[n]!;
      if (log_weight[fit]! < peak + LOG_NEGLIGIBLE) continue;
      const w = Math.exp(log_weight[fit]! - peak);
      if (w < NEGLIGIBLE) continue;
      const curvature = curvatureMoments(s[fit]!, t[fit]!, gauss[fit]!, cdf[fit]!);
      const best = node.mean_y - curvature.mean * mean_excess[fit]!;
      weight += w;
      weighted_curvature += w * curvature.mean;
      sum.best += w * best;
      sum.best_square += w * (best * best + 1 / node.total + mean_excess[fit]! ** 2 * curvature.variance);
      squares[at + v]! += w * (curvature.mean ** 2 + curvature.variance);
      sum.variance += w * node.variance;
    }
    if (weight === 0) continue;
    curvatures[at + v] = weighted_curvature;
    const { valley } = VALLEYS[v]!;
    const level = (VALLEY_LEVEL * weight) / weighted_curvature;
    sum.weight += weight;
    sum.left += weight * valley.left(level);
    sum.right += weight * valley.right(level);
  }
  const mean = (v: number) => v / sum.weight;
  for (let v = at; v < at + VALLEYS.length; v++) {
    curvatures[v] = mean(curvatures[v]!);
    squares[v] = mean(squares[v]!);
  }
  return {
    ...place,
    log_density: peak + Math.log(sum.weight),
    best: mean(sum.best),
    best_square: mean(sum.best_square),
    left: mean(sum.left),
    right: mean(sum.right),
    variance: mean(sum.variance),
  };
}

/**
 * Level and curvature integrated out, for one σ and one shape. Given those, the curvature's likelihood is normal about â
 * with standard deviation s, t = â/s; with the prior density ∝ curvature on the positive side what is left of it is
 * s² ∫₀^∞ z exp(zt − z²/2) dz.
 */
function fitGiven(fit: number, node: WeighedNode, log_prior: number): void {
  const { weights, weighted_y } = node;
  const g = scratch.excess;
  let sum_g = 0;
  let sum_gg = 0;
  let sum_gy = 0;
  for (let k = 0; k < g.length; k++) {
    const wg = weights[k]! * g[k]!;
    sum_g += wg;
    sum_gg += wg * g[k]!;
    sum_gy += weighted_y[k]! * g[k]!;
  }
  const mean_excess = sum_g / node.total;
  const s = 1 / Math.sqrt(Math.max(sum_gg - sum_g * mean_excess, Number.MIN_VALUE));
  const t = sum_gy * s;
  const base = node.log_prior + log_prior - 0.5 * node.ss_y + 2 * Math.log(s);
  scratch.mean_excess[fit] = mean_excess;
  scratch.s[fit] = s;
  scratch.t[fit] = t;
  scratch.base[fit] = base;
  scratch.bound[fit] = base + (t > 0 ? 0.5 * t * t + Math.log(1 + t * SQRT_2PI) : 0);
}

/** ln NEGLIGIBLE, and some for rounding. */
const LOG_NEGLIGIBLE = Math.log(NEGLIGIBLE) - 1;

/**
 * The log weights of a slice. First moments cost the most, so where it is clear beforehand that a weight is negligible beside
 * another one, it is left at 0.
 * @returns the highest
 */
function weighFits(): number {
  const { log_weight, bound } = scratch;
  let likely = 0;
  for (let fit = 1; fit < bound.length; fit++) if (bound[fit]! > bound[likely]!) likely = fit;
  weighFit(likely);
  let peak = log_weight[likely]!;
  for (let fit = 0; fit < bound.length; fit++) {
    if (fit === likely) continue;
    if (bound[fit]! < peak + LOG_NEGLIGIBLE) {
      log_weight[fit] = Number.NEGATIVE_INFINITY;
      continue;
    }
    weighFit(fit);
    peak = Math.max(peak, log_weight[fit]!);
  }
  return peak;
}

/** Below this t the moments' recursion cancels, and only z ≈ 1/|t| counts: n!/|t|^(n+1). */
const FAR_NEGATIVE = -8;

/** With ln ∫₀^∞ z exp(zt − z²/2) dz, without overflow for any t. */
function weighFit(fit: number): void {
  const t = scratch.t[fit]!;
  let log_first_moment: number;
  if (t < FAR_NEGATIVE) log_first_moment = -2 * Math.log(-t);
  else {
    const gauss = Math.exp(-0.5 * t * t);
    const cdf = standardCdf(t);
    scratch.gauss[fit] = gauss;
    scratch.cdf[fit] = cdf;
    log_first_moment = 0.5 * t * t + Math.log(gauss + t * SQRT_2PI * cdf);
  }
  scratch.log_weight[fit] = scratch.base[fit]! + log_first_moment;
}

/**
 * Mean and variance of the curvature: ratios of ∫₀^∞ zⁿ exp(zt − z²/2) dz, n = 1, 2, 3, each over exp(t²/2).
 * @param gauss @param cdf at t, see scratch
 */
function curvatureMoments(
  s: number,
  t: number,
  gauss: number,
  cdf: number,
): { mean: number; variance: number } {
  if (t < FAR_NEGATIVE) return { mean: (-2 * s) / t, variance: (2 * s * s) / (t * t) };
  const m0 = SQRT_2PI * cdf;
  const m1 = gauss + t * m0;
  const m2 = t * m1 + m0;
  const m3 = t * m2 + 2 * m1;
  const mean = m2 / m1;
  return { mean: s * mean, variance: s * s * Math.max(0, m3 / m1 - mean * mean) };
}

function masses(slices: Slice[]): number[] {
  const peak = Math.max(...slices.map((s) => s.log_density));
  const raw = slices.map((s) => Math.exp(s.log_density - peak));
  const total = raw.reduce((sum, v) => sum + v, 0);
  return raw.map((v) => v / total);
}

/** Inverse of the distribution function: density linear between slices, its integral taken as linear. */
function quantileOf(slices: Slice[]): (p: number) => number {
  const density = masses(slices);
  const cdf = [0];
  for (let i = 1; i < slices.length; i++) cdf.push(cdf[i - 1]! + (density[i - 1]! + density[i]!) / 2);
  const total = cdf.at(-1)!;
  const xs = slices.map(({ x }) => x);
  return (p) => {
    const i = Math.max(
      1,
      cdf.findIndex((c) => c >= p * total),
    );
    const [a, b] = [xs[i - 1]!, xs[i]!];
    return a + ((b - a) * (p * total - cdf[i - 1]!)) / (cdf[i]! - cdf[i - 1]!);
  };
}

function summarise(slices: Slice[]): Posterior {
  const mass = masses(slices);
  const mean = (field: "best" | "best_square" | "left" | "right" | "variance") =>
    slices.reduce((sum, s, i) => sum + mass[i]! * s[field], 0);
  return {
    quantile: quantileOf(slices),
    best: moments(mean("best"), mean("best_square")),
    valley: { left: mean("left"), right: mean("right") },
    excess: excessOf(
      slices.map(({ x }) => x),
      slices[0]!,
      mass,
    ),
    noise: Math.sqrt(mean("variance")),
  };
}

const moments = (mean: number, square: number): Moments => ({
  mean,
  sd: Math.sqrt(Math.max(0, square - mean * mean)),
});

/** Of the slices it keeps no more than it needs: answers are kept by the thousand. */
function excessOf(
  xs: number[],
  { curvature, curvature_square }: Pick<Slice, "curvature" | "curvature_square">,
  mass: number[],
): Posterior["excess"] {
  return (log2_lr) => {
    const excesses = xs.map((x, i) => {
      const at = i * VALLEYS.length;
      let [mean, square] = [0, 0];
      for (const [v, { valley }] of VALLEYS.entries()) {
        const excess = valley.excess(log2_lr - x);
        mean += curvature[at + v]! * excess;
        square += curvature_square[at + v]! * excess * excess;
      }
      return { mean, square };
    });
    const over = (field: "mean" | "square") => excesses.reduce((sum, e, i) => sum + mass[i]! * e[field], 0);
    return { ...moments(over("mean"), over("square")), quantile: spreadExcess(excesses, mass) };
  };
}

/** Moments of the excess at a rate, given one candidate optimum. */
type Excess = { mean: number; square: number };

/**
 * Quantiles of the excess at the rate asked for. It is lopsided when the optimum may lie close by, so it is taken slice
 * by slice: lognormal within each (three-point Gauss–Hermite), widened by the model's discrepancy, then all pooled.
 */
function spreadExcess(excesses: Excess[], mass: number[]): (p: number) => number {
  const nodes = excesses
    .flatMap(({ mean: m, square }, i) => {
      const discrepancy = excessDiscrepancy(m);
      const relative = m > 0 ? Math.max(0, square / (m * m) - 1) : 0;
      const spread = Math.sqrt(Math.log1p(relative + discrepancy ** 2));
      return [-1, 0, 1].map((side) => ({
        value: m * Math.exp(side * Math.sqrt(3) * spread - spread ** 2 / 2),
        mass: mass[i]! * (side === 0 ? 2 / 3 : 1 / 6),
      }));
    })
    .sort((a, b) => a.value - b.value);
  return (p) => {
    let below = 0;
    for (const node of nodes) {
      below += node.mass;
      if (below >= p) return node.value;
    }
    return nodes.at(-1)!.value;
  };
}
