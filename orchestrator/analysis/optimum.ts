/**
 * The optimum of one learning-rate curve, with its interval and a flag that says what the numbers are: an estimate when
 * the grid brackets it, otherwise only a bound. Deterministic. Method and measurements: docs/method.md.
 */
import normalQuantile from "@stdlib/stats-base-dists-normal-quantile";
import tQuantile from "@stdlib/stats-base-dists-t-quantile";
import { type Curve, readCurve, type StablePoint } from "./curve.ts";
import { noiseOfOthers } from "./noise.ts";
import { type Posterior, posterior } from "./posterior.ts";
import type { CurveInput, Noise, Optimum, OptimumFlag } from "./types.ts";

export type FitOptions = {
  /**
   * Noise pooled over the sweep's curves, this one included (`pooledNoise`): with few seeds a curve hardly knows its own.
   * What it says beyond this curve's own replicates makes up for what those lack to 8 degrees of freedom.
   */
  noise?: Noise | undefined;
};

const MIN_POINTS = 3;
/** Share of the distribution per octave between rates, up to so many octaves: in full up to one noise, not at all from another. */
const EXTRA_TAIL = { per_octave: 0.02, widest: 1.5, quiet: 0.005, noisy: 0.01 };

/**
 * @returns log2 η*, octaves; losses in the input's unit. Throws MusweepError "curve" on a curve that contradicts itself.
 */
export function fitOptimum(curve: CurveInput, options: FitOptions = {}): Optimum {
  const read = readCurve(curve);
  return fitCurve(read, noiseOfOthers(read, options.noise));
}

/** @param others what other curves say about the noise */
export function fitCurve(curve: Curve, others: Noise | undefined): Optimum {
  const best = lowest(curve.stable);
  const unknown: Optimum = {
    flag: "too few points",
    log2_lr: null,
    log2_lr_low: null,
    log2_lr_high: null,
    log2_lr_low_90: null,
    log2_lr_high_90: null,
    loss: null,
    loss_low: null,
    loss_high: null,
    valley_low: null,
    valley_high: null,
    stability_edge: curve.diverged[0] ?? null,
    grid_log2_lr: best?.log2_lr ?? null,
    grid_loss: best?.mean_loss ?? null,
    seeds: curve.seeds,
    points: curve.stable.length,
    missing: curve.missing,
  };
  if (hidesBehindHole(curve, best)) return { ...unknown, flag: "incomplete" };
  if (best === undefined || curve.stable.length < MIN_POINTS) return unknown;

  const p = posterior(curve, others);
  const extra = extraTail(curve, p.noise / Math.sqrt(best.n));
  const bounds = {
    log2_lr_low: p.quantile(0.025 + extra),
    log2_lr_high: p.quantile(0.975 - extra),
    log2_lr_low_90: p.quantile(0.05 + extra),
    log2_lr_high_90: p.quantile(0.95 - extra),
  };
  const flag = flagOf(curve, best, bounds);
  switch (flag) {
    case "bracketed": {
      const log2_lr = p.quantile(0.5);
      return { ...unknown, flag, log2_lr, ...bounds, ...lossAtBest(curve, p), ...valley(curve, p, log2_lr) };
    }
    case "at low edge":
      return { ...unknown, flag, ...bounds, log2_lr_low: null, log2_lr_low_90: null };
    case "at high edge":
      return { ...unknown, flag, ...bounds, log2_lr_high: null, log2_lr_high_90: null };
    case "edge is divergence": {
      const wall = wallAbove(curve)!;
      return { ...unknown, flag, ...bounds, log2_lr_high: wall, log2_lr_high_90: wall };
    }
    default:
      return { ...unknown, flag };
  }
}

/** The lowest point; of equal ones the lowest rate. */
export const lowest = (points: StablePoint[]): StablePoint | undefined =>
  points.reduce<StablePoint | undefined>((low, p) => (low === undefined || p.y < low.y ? p : low), undefined);

/** A planned rate without results next to the best one, or too few results while some are still to come. */
function hidesBehindHole(curve: Curve, best: StablePoint | undefined): boolean {
  if (curve.holes.length === 0) return false;
  if (best === undefined || curve.stable.length < MIN_POINTS) return true;
  const known = [...curve.stable.map((p) => p.log2_lr), ...curve.diverged];
  const below = Math.max(...known.filter((x) => x < best.log2_lr));
  const above = Math.min(...known.filter((x) => x > best.log2_lr));
  return curve.holes.some((x) => x > below && x < above);
}

const wallAbove = (curve: Curve): number | undefined =>
  curve.diverged.find((x) => x > curve.stable.at(-1)!.log2_lr);

/**
 * The model is cautious about the curve's shape, the more so the farther apart the rates are, and its tails hold more than
 * they should: cut at their nominal share, intervals would cover 97 to 98%. So this much more is cut from each, found on
 * other draws than those of the benchmark (docs/method.md). Where noise rules, the tails hold what they should.
 * @param noise standard error of the best point, log loss
 */
function extraTail({ stable }: Curve, noise: number): number {
  const { per_octave, widest, quiet, noisy } = EXTRA_TAIL;
  const spacing = (stable.at(-1)!.log2_lr - stable[0]!.log2_lr) / (stable.length - 1);
  const quietness = Math.min(1, Math.max(0, (noisy - noise) / (noisy - quiet)));
  return per_octave * Math.min(widest, spacing) * quietness;
}

/** Bracketed: the whole interval lies between the outermost rates that trained, and the best is neither of them. */
function flagOf(
  curve: Curve,
  best: StablePoint,
  bounds: { log2_lr_low: number; log2_lr_high: number },
): Exclude<OptimumFlag, "incomplete" | "too few points"> {
  const first = curve.stable[0]!;
  const last = curve.stable.at(-1)!;
  const openBelow = best === first || bounds.log2_lr_low <= first.log2_lr;
  const openAbove = best === last || bounds.log2_lr_high >= last.log2_lr;
  if (openBelow && openAbove) return "too noisy";
  if (openBelow) return "at low edge";
  if (openAbove) return wallAbove(curve) === undefined ? "at high edge" : "edge is divergence";
  return "bracketed";
}

/** Two sources: where the curve's bottom lies, and how far the mean of a few seeds is from the mean of all seeds. */
function lossAtBest(curve: Curve, p: Posterior): Pick<Optimum, "loss" | "loss_low" | "loss_high"> {
  const z = normalQuantile(0.975, 0, 1);
  const half = Math.hypot(z * p.best.sd, levelHalfWidth(curve, p.noise));
  return {
    loss: Math.exp(p.best.mean),
    loss_low: Math.exp(p.best.mean - half),
    loss_high: Math.exp(p.best.mean + half),
  };
}

/** 95% half width of the mean seed level. A single seed has no spread: runs' own scatter stands in for it. */
function levelHalfWidth({ levels }: Curve, noise: number): number {
  const n = levels.length;
  if (n < 2) return normalQuantile(0.975, 0, 1) * noise;
  const mean = levels.reduce((sum, v) => sum + v, 0) / n;
  const variance = levels.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (n - 1);
  return tQuantile(0.975, n - 1) * Math.sqrt(variance / n);
}

/** Kept within the rates that trained, and below the wall. */
function valley(curve: Curve, p: Posterior, log2_lr: number): Pick<Optimum, "valley_low" | "valley_high"> {
  const wall = curve.diverged.find((x) => x > log2_lr) ?? Number.POSITIVE_INFINITY;
  return {
    valley_low: Math.max(curve.stable[0]!.log2_lr, log2_lr - p.valley.left),
    valley_high: Math.min(curve.stable.at(-1)!.log2_lr, wall, log2_lr + p.valley.right),
  };
}
