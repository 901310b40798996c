/**
 * The optimum of one learning-rate curve, with its interval and a flag that says what the numbers are: an estimate when
 * the grid brackets it, otherwise only a bound. Deterministic. Method and measurements: docs/method.md.
 */
import normalQuantile from "@stdlib/stats-base-dists-normal-quantile";
import tQuantile from "@stdlib/stats-base-dists-t-quantile";
import { type Curve, lowest, readCurve, type StablePoint, unstableAbove, wallAbove } from "./curve.ts";
import { residualOf, runVariance, toldNoise } from "./noise.ts";
import { type Intervals, intervals, readings } from "./places.ts";
import { type Posterior, posterior } from "./posterior.ts";
import { type TwoValleys, twoValleys } from "./two-valleys.ts";
import type { CurveInput, Noise, Optimum, OptimumFlag, Place } from "./types.ts";

export type FitOptions = {
  /**
   * Noise pooled over the sweep's curves, this one included (`pooledNoise`): with few seeds a curve hardly knows its own.
   * What it says beyond this curve's own replicates makes up for what those lack to 8 degrees of freedom.
   */
  noise?: Noise | undefined;
  /** One run's noise, when it is known beforehand, per cent of its loss: it takes the place of the pooled one. */
  stated_noise?: number | undefined;
};

const MIN_POINTS = 3;

/**
 * @returns log2 η*, octaves; losses in the input's unit. Throws MusweepError "curve" on a curve that contradicts itself.
 */
export function fitOptimum(curve: CurveInput, options: FitOptions = {}): Optimum {
  const read = readCurve(curve);
  return fitCurve(read, toldNoise(residualOf(read), options.noise, options.stated_noise));
}

/** What a curve's optimum is read from. */
export type Fit = {
  posterior: Posterior;
  /** When the curve has two. */
  valleys: TwoValleys | null;
};

/** @returns null when fewer than three rates trained: nothing to fit */
export function fitValley(curve: Curve, others: Noise | undefined): Fit | null {
  if (lowest(curve.stable) === undefined || curve.stable.length < MIN_POINTS) return null;
  const whole = posterior(curve, others);
  const valleys = twoValleys(curve, runVariance(curve, others) ?? whole.noise.run);
  // A second valley that is surely the higher one is left out.
  const [own] = valleys?.points ?? [];
  return {
    valleys,
    posterior:
      valleys === null || valleys.rival || own!.length < MIN_POINTS
        ? whole
        : posterior({ ...curve, stable: own! }, others),
  };
}

/** @param others what other curves, or the sweep's file, say about the noise */
export function fitCurve(curve: Curve, others: Noise | undefined): Optimum {
  const best = lowest(curve.stable);
  const unknown: Optimum = {
    flag: "too few points",
    log2_tuned: null,
    log2_tuned_low: null,
    log2_tuned_high: null,
    log2_tuned_low_90: null,
    log2_tuned_high_90: null,
    places: [],
    loss: null,
    loss_low: null,
    loss_high: null,
    valley_low: null,
    valley_high: null,
    stability_edge: curve.stability_edge,
    grid_log2_tuned: best?.log2_tuned ?? null,
    grid_loss: best?.mean_loss ?? null,
    seeds: curve.seeds,
    points: curve.stable.length,
    missing: curve.missing,
  };
  if (hidesBehindHole(curve, best)) return { ...unknown, flag: "incomplete" };
  const fitted = fitValley(curve, others);
  if (best === undefined || fitted === null) {
    const wall = wallAbove(curve) ?? null;
    return { ...unknown, log2_tuned_high: wall, log2_tuned_high_90: wall };
  }

  const { posterior: p, valleys } = fitted;
  const places = valleys?.rival
    ? valleys.points.map((points) => placeOf(curve, points, valleys.hump, others))
    : readings(p, best.n);
  const bounds = valleys?.rival ? spanning(places) : intervals(p);
  const flag = flagOf(curve, best, bounds, places);
  switch (flag) {
    case "bracketed": {
      const log2_tuned = p.quantile(0.5);
      return {
        ...unknown,
        flag,
        log2_tuned,
        ...bounds,
        ...lossAtBest(curve, p),
        ...valley(curve, p, log2_tuned),
      };
    }
    case "ambiguous":
      return { ...unknown, flag, ...bounds, places };
    case "at low edge":
      return { ...unknown, flag, ...bounds, log2_tuned_low: null, log2_tuned_low_90: null };
    case "at high edge":
      return { ...unknown, flag, ...bounds, log2_tuned_high: null, log2_tuned_high_90: null };
    case "edge is divergence": {
      const edge = edgeAbove(curve, best)!;
      const [low, low_90] = [bounds.log2_tuned_low, bounds.log2_tuned_low_90].map((x) =>
        x < edge ? x : best.log2_tuned,
      );
      return {
        ...unknown,
        flag,
        log2_tuned_low: low!,
        log2_tuned_low_90: low_90!,
        log2_tuned_high: edge,
        log2_tuned_high_90: edge,
      };
    }
    default:
      return { ...unknown, flag };
  }
}

/** A planned rate without results next to the best one, or too few results while some are still to come. */
function hidesBehindHole(curve: Curve, best: StablePoint | undefined): boolean {
  if (curve.holes.length === 0) return false;
  if (best === undefined || curve.stable.length < MIN_POINTS) return true;
  const known = [...curve.stable.map((p) => p.log2_tuned), ...curve.diverged];
  const below = Math.max(...known.filter((x) => x < best.log2_tuned));
  const above = Math.min(...known.filter((x) => x > best.log2_tuned));
  return curve.holes.some((x) => x > below && x < above);
}

/** The lowest rate above the best one from which on training breaks. */
const edgeAbove = (curve: Curve, best: StablePoint): number | undefined =>
  unstableAbove(curve, best.log2_tuned);

/** Bracketed: the whole interval lies between the outermost rates that trained, below any that diverges, and the best is neither. */
function flagOf(
  curve: Curve,
  best: StablePoint,
  bounds: Intervals,
  places: Place[],
): Exclude<OptimumFlag, "incomplete" | "too few points"> {
  const first = curve.stable[0]!;
  const last = curve.stable.at(-1)!;
  const edge = edgeAbove(curve, best) ?? Number.POSITIVE_INFINITY;
  const openBelow = best === first || bounds.log2_tuned_low <= first.log2_tuned;
  const openAbove = best === last || bounds.log2_tuned_high >= Math.min(last.log2_tuned, edge);
  if (openBelow && openAbove) return "too noisy";
  if (openBelow) return "at low edge";
  if (openAbove) return edge === Number.POSITIVE_INFINITY ? "at high edge" : "edge is divergence";
  return places.length > 0 ? "ambiguous" : "bracketed";
}

/** Where the optimum lies if it is in this valley: kept between the grid's end and the hump. */
function placeOf(curve: Curve, points: StablePoint[], hump: number, others: Noise | undefined): Place {
  const low_point = lowest(points.filter((p) => p.log2_tuned !== hump))!;
  const at = points.indexOf(low_point);
  const [low, high] = [(points[at - 1] ?? low_point).log2_tuned, (points[at + 1] ?? low_point).log2_tuned];
  if (points.length < MIN_POINTS) return { log2_tuned: low_point.log2_tuned, low, high };
  const p = posterior({ ...curve, stable: points }, others);
  const [first, last] = [points[0]!.log2_tuned, points.at(-1)!.log2_tuned];
  const kept = (x: number) => Math.min(last, Math.max(first, x));
  const middle = kept(p.quantile(0.5));
  // A fit that runs up the hump has not read this valley.
  if (middle === hump) return { log2_tuned: low_point.log2_tuned, low, high };
  return { log2_tuned: middle, low: kept(p.quantile(0.025)), high: kept(p.quantile(0.975)) };
}

function spanning(places: Place[]): Intervals {
  const low = Math.min(...places.map((p) => p.low));
  const high = Math.max(...places.map((p) => p.high));
  return { log2_tuned_low: low, log2_tuned_high: high, log2_tuned_low_90: low, log2_tuned_high_90: high };
}

/** Two sources: where the curve's bottom lies, and how far the mean of a few seeds is from the mean of all seeds. */
function lossAtBest(curve: Curve, p: Posterior): Pick<Optimum, "loss" | "loss_low" | "loss_high"> {
  const z = normalQuantile(0.975, 0, 1);
  const half = Math.hypot(z * p.best.sd, levelHalfWidth(curve, p.noise.run));
  return {
    loss: Math.exp(p.best.mean),
    loss_low: Math.exp(p.best.mean - half),
    loss_high: Math.exp(p.best.mean + half),
  };
}

/** Seeds' levels spread about as widely as runs scatter within a seed: this counts for so many degrees of freedom beside their own spread. */
const LEVEL_PRIOR_DF = 3;

/** 95% half width of the mean seed level. Two seeds alone would say it on one degree of freedom, a single one not at all. */
function levelHalfWidth({ levels }: Curve, run_variance: number): number {
  const n = Math.max(1, levels.length);
  const mean = levels.reduce((sum, v) => sum + v, 0) / n;
  const ss = levels.reduce((sum, v) => sum + (v - mean) ** 2, LEVEL_PRIOR_DF * run_variance);
  const df = n - 1 + LEVEL_PRIOR_DF;
  return tQuantile(0.975, df) * Math.sqrt(ss / df / n);
}

/** Kept within the rates that trained, and below the next at which a seed diverged. */
function valley(curve: Curve, p: Posterior, log2_tuned: number): Pick<Optimum, "valley_low" | "valley_high"> {
  const wall = curve.diverged.find((x) => x > log2_tuned) ?? Number.POSITIVE_INFINITY;
  return {
    valley_low: Math.max(curve.stable[0]!.log2_tuned, log2_tuned - p.valley.left),
    valley_high: Math.min(curve.stable.at(-1)!.log2_tuned, wall, log2_tuned + p.valley.right),
  };
}
