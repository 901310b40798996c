/**
 * The likelihood of one candidate optimum under every candidate shape and noise, with what is linear integrated out.
 *
 * Model: y_k = level + curvature · excess(x_k − optimum) + error. Given shape and noise, the error is normal: noise of the
 * point, a miss of the shape at every point by itself, and a bend of either side, which all points of that side share. Level
 * (flat prior) and curvature (density ∝ c · exp(−rate · c)) then have closed forms.
 */
import { CANDIDATES } from "./candidates.ts";
import type { StablePoint } from "./curve.ts";
import { standardCdf } from "./distribution.ts";
import type { PointNoise } from "./point-noise.ts";
import type { Valley } from "./shapes.ts";

/** Of the prior on the curvature, log loss per octave²: rises as its square on the log scale up to 2/RATE = 3.3%, then falls. */
const CURVATURE_RATE = 60;
/** Where a steeper valley is seen the prior rises up to that: else a shallow one far away, which misses its points by as much as walls
 * may, is likelier than the one that is seen. */
const curvatureRate = (seen: number): number => Math.min(CURVATURE_RATE, 2 / seen);

/** A point where the wall may begin may be off by this share of its height. */
const WALL_MISS = 0.4;
/** In full where the valley is so high too (log loss): no wall stands at its floor. */
const WALL_FROM = 0.05;
/** Misses are independent of each other an octave apart; points closer together tell as much as one would. */
const INDEPENDENT_AT = 1;
const CLOSEST = 0.1;
/** |ln u| beyond which a side bends no further, and what keeps u from zero. */
const BEND_REACH = 2;
const BEND_FLOOR = 0.05;
/** Relative to the squares' sum: what is left below it is rounding. */
const LEAST_SPREAD = 1e-9;
/** Of a valley's excess at curvature 1: beyond it everything is wall. */
export const HIGHEST = 1e4;
/** Log weights are sums of logs of products of inverse variances, which this keeps near 1; of many points their log is taken piece by piece. */
const SCALE = 1e-5;
const [LEAST_PRODUCT, MOST_PRODUCT] = [1e-200, 1e200];

/** Log weight below the peak at which a fit is negligible. */
export const NEGLIGIBLE = 20;

const SQRT_2PI = Math.sqrt(2 * Math.PI);
/** Below this t the moments' recursion cancels, and only z ≈ 1/|t| counts: n!/|t|^(n+1). */
const FAR_NEGATIVE = -8;

/** Fits of one curve at one candidate optimum, candidate by candidate, in each noise by noise. */
type Fits = {
  /** Log density, up to a constant of the curve. −∞ where it is negligible beside the peak, or the candidate is not alive; the rest is then unset. */
  log_weight: Float64Array;
  /** The curvature's likelihood: normal with standard deviation s about t·s, prior included but for the factor c. */
  s: Float64Array;
  t: Float64Array;
  /** Log loss at the minimum above the best point's: mean_y − c · mean_excess, variance 1/total, given the curvature c. */
  mean_y: Float64Array;
  mean_excess: Float64Array;
  total: Float64Array;
  /** The bend of the left side, then the right's: mean `bend − c · bend_slope` and variance, given the curvature c. */
  bend: [Float64Array, Float64Array];
  bend_slope: [Float64Array, Float64Array];
  bend_variance: [Float64Array, Float64Array];
};

export type Kernel = {
  /** Fills `fits`. @param alive candidates to look at */
  at: (x: number, alive: Uint8Array) => void;
  fits: Fits;
  /** The highest log weight of all that were looked at. */
  peak: () => number;
};

/**
 * @param points inside the walls, by rising rate
 * @param wall_height above the best, from which on a point is one (log loss)
 * @param seen curvature that walls on both sides show, 0 without
 */
export function kernelOf(
  points: StablePoint[],
  best: StablePoint,
  wall_height: number,
  seen: number,
  noise: PointNoise,
  skew_prior: number[],
): Kernel {
  const K = points.length;
  const Q = noise.nodes.length;
  const x = Float64Array.from(points, (p) => p.log2_tuned);
  const y = Float64Array.from(points, (p) => p.y - best.y);
  const variances = noise.nodes.map(({ variance, own }) =>
    Float64Array.from(points, (p, k) => variance * ((own * best.n * noise.growth[k]!) / p.n + 1 - own)),
  );
  const crowding = crowdingOf(x);
  const curvature_rate = curvatureRate(seen);
  const wall = Float64Array.from(y, (v) => (v > wall_height ? WALL_MISS * v : 0));
  const log_prior = noise.nodes.map((node) => node.log_prior);
  const size = CANDIDATES.length * Q;
  const perFit = () => new Float64Array(size);
  const fits: Fits = {
    log_weight: perFit(),
    s: perFit(),
    t: perFit(),
    mean_y: perFit(),
    mean_excess: perFit(),
    total: perFit(),
    bend: [perFit(), perFit()],
    bend_slope: [perFit(), perFit()],
    bend_variance: [perFit(), perFit()],
  };
  /** Weights for a first guess of the curvature, with the points' own heights for the model's. */
  const guesses = CANDIDATES.slice(0, 2).map(({ linear, quadratic }) =>
    variances.map((variance) =>
      Float64Array.from(
        y,
        (v, k) => 1 / (variance[k]! + (linear * v + quadratic * v * v) ** 2 * crowding[k]!),
      ),
    ),
  );
  const excess = new Float64Array(K);
  const bending = new Float64Array(K);

  /** Either side's sums over its bend: r, b1, be, by of the loop below. */
  const kept = new Float64Array(8);
  /** Of all fits so far. */
  let peak = Number.NEGATIVE_INFINITY;

  /** @param v candidate @param q noise @param left points below the optimum. The loops are what a fit spends its time in. */
  const fitOne = (v: number, q: number, left: number): void => {
    const { linear, quadratic, bend, skew, log_weight } = CANDIDATES[v]!;
    const variance = variances[q]!;
    const first = guesses[v % 2]![q]!;
    let W = 0;
    let e1 = 0;
    let y1 = 0;
    let ee = 0;
    let ey = 0;
    for (let k = 0; k < K; k++) {
      const w = first[k]!;
      const we = w * excess[k]!;
      W += w;
      e1 += we;
      y1 += w * y[k]!;
      ee += we * excess[k]!;
      ey += we * y[k]!;
    }
    // Weighted least squares, not negative; of points that are all equally far up a wall there is no slope.
    const spread = ee - (e1 * e1) / W;
    const slope = spread > LEAST_SPREAD * ee ? (ey - (e1 * y1) / W) / spread : 0;
    const curvature = slope > 0 ? Math.min(slope, 1) : 0;
    W = 0;
    e1 = 0;
    y1 = 0;
    ee = 0;
    ey = 0;
    let yy = 0;
    let product = 1;
    let log_product = 0;
    const bend_variance = bend * bend;
    const i = v * Q + q;
    for (let k = 0, side = 0; side < 2; side++) {
      let b1 = 0;
      let be = 0;
      let by = 0;
      let bb = 0;
      for (const end = side === 0 ? left : K; k < end; k++) {
        const e = excess[k]!;
        const yk = y[k]!;
        const height = Math.min(1, curvature * e);
        const miss = Math.max(
          wall[k]! * Math.min(1, height / WALL_FROM),
          linear * height + quadratic * height * height,
        );
        const w = 1 / (variance[k]! + miss * miss * crowding[k]!);
        const we = w * e;
        W += w;
        e1 += we;
        y1 += w * yk;
        ee += we * e;
        ey += we * yk;
        yy += w * yk * yk;
        product *= w * SCALE;
        if (product < LEAST_PRODUCT || product > MOST_PRODUCT) {
          log_product += Math.log(product);
          product = 1;
        }
        const b = height * bending[k]!;
        const wb = w * b;
        b1 += wb;
        be += wb * e;
        by += wb * yk;
        bb += wb * b;
      }
      // A bend adds a rank-one term to the covariance: Sherman and Morrison's formula takes it out of every sum.
      const r = bend_variance / (1 + bend_variance * bb);
      product /= 1 + bend_variance * bb;
      W -= r * b1 * b1;
      e1 -= r * b1 * be;
      y1 -= r * b1 * by;
      ee -= r * be * be;
      ey -= r * be * by;
      yy -= r * by * by;
      kept[side * 4] = r;
      kept[side * 4 + 1] = b1;
      kept[side * 4 + 2] = be;
      kept[side * 4 + 3] = by;
    }
    const s = 1 / Math.sqrt(Math.max(ee - (e1 * e1) / W, Number.MIN_VALUE));
    const t = (ey - (e1 * y1) / W - curvature_rate) * s;
    const rest =
      skew_prior[skew]! +
      log_weight +
      log_prior[q]! -
      0.5 * (yy - (y1 * y1) / W) +
      0.5 * (log_product + Math.log(product / W)) +
      2 * Math.log(s);
    // The first moment costs the most: it is left where even its bound is negligible.
    const bound = rest + (t > 0 ? 0.5 * t * t + Math.log(1 + t * SQRT_2PI) : 0);
    if (bound < peak - NEGLIGIBLE) {
      fits.log_weight[i] = Number.NEGATIVE_INFINITY;
      return;
    }
    const weight = rest + logFirstMoment(t);
    if (weight > peak) peak = weight;
    fits.log_weight[i] = weight;
    fits.s[i] = s;
    fits.t[i] = t;
    fits.mean_y[i] = y1 / W;
    fits.mean_excess[i] = e1 / W;
    fits.total[i] = W;
    for (let side = 0; side < 2; side++) {
      const r = kept[side * 4]!;
      const b1 = kept[side * 4 + 1]!;
      fits.bend[side]![i] = r * (kept[side * 4 + 3]! - (y1 / W) * b1);
      fits.bend_slope[side]![i] = r * (kept[side * 4 + 2]! - (e1 / W) * b1);
      fits.bend_variance[side]![i] = r;
    }
  };

  return {
    fits,
    peak: () => peak,
    at(optimum, alive) {
      let left = 0;
      for (let k = 0; k < K; k++) {
        const u = x[k]! - optimum;
        if (u < 0) left = k + 1;
        bending[k] = bendingAt(u);
      }
      let shown: Valley | undefined;
      for (let v = 0; v < CANDIDATES.length; v++) {
        if (alive[v] === 0) {
          fits.log_weight.fill(Number.NEGATIVE_INFINITY, v * Q, (v + 1) * Q);
          continue;
        }
        const { valley } = CANDIDATES[v]!;
        if (valley !== shown) {
          for (let k = 0; k < K; k++) excess[k] = Math.min(HIGHEST, valley.excess(x[k]! - optimum));
          shown = valley;
        }
        // A level far up a wall is no valley: how far down its floor lies would be the prior's alone.
        if (excess.every((e) => e === HIGHEST)) {
          fits.log_weight.fill(Number.NEGATIVE_INFINITY, v * Q, (v + 1) * Q);
          continue;
        }
        for (let q = 0; q < Q; q++) fitOne(v, q, left);
      }
    },
  };
}

/** By how much a bend of 1 lifts a side u octaves from the minimum, relative to its height. */
export const bendingAt = (u: number): number =>
  Math.max(-BEND_REACH, Math.min(BEND_REACH, Math.log(Math.abs(u) + BEND_FLOOR)));

/** For every point, how many share the octave about it. */
function crowdingOf(x: Float64Array): Float64Array {
  return x.map((at, k) => {
    const gaps = [at - (x[k - 1] ?? Number.NEGATIVE_INFINITY), (x[k + 1] ?? Number.POSITIVE_INFINITY) - at];
    const known = gaps.filter(Number.isFinite);
    const gap = known.reduce((sum, g) => sum + g, 0) / Math.max(1, known.length);
    return known.length === 0 ? 1 : INDEPENDENT_AT / Math.min(INDEPENDENT_AT, Math.max(CLOSEST, gap));
  });
}

/** ln ∫₀^∞ z exp(zt − z²/2) dz, without overflow for any t: what the curvature, in units of s, integrates to. */
function logFirstMoment(t: number): number {
  if (t < FAR_NEGATIVE) return -2 * Math.log(-t);
  return 0.5 * t * t + Math.log(Math.exp(-0.5 * t * t) + t * SQRT_2PI * standardCdf(t));
}

/** Mean and variance of the curvature: ratios of ∫₀^∞ zⁿ exp(zt − z²/2) dz, n = 1, 2, 3, each over exp(t²/2). */
export function curvatureMoments(s: number, t: number): { mean: number; variance: number } {
  if (t < FAR_NEGATIVE) return { mean: (-2 * s) / t, variance: (2 * s * s) / (t * t) };
  const m0 = SQRT_2PI * standardCdf(t);
  const m1 = Math.exp(-0.5 * t * t) + t * m0;
  const m2 = t * m1 + m0;
  const m3 = t * m2 + 2 * m1;
  const mean = m2 / m1;
  return { mean: s * mean, variance: s * s * Math.max(0, m3 / m1 - mean * mean) };
}
