/**
 * What moving from a base cell to another costs: the drift of the optimum in octaves, and the regret, the loss paid for
 * training a cell at the base's best rate. Optima that are only bounds give drifts and regrets that are only bounds.
 */
import normalQuantile from "@stdlib/stats-base-dists-normal-quantile";
import { type Curve, isDoubtful, lowest, type StablePoint, unstableAbove, wallAbove } from "./curve.ts";
import { monotoneCubic, segmentOf } from "./interpolate.ts";
import { runVariance } from "./noise.ts";
import { type Fit, fitCurve, fitValley } from "./optimum.ts";
import { extraTail } from "./places.ts";
import { awayFrom, excessAt, excessDiscrepancy, type Weights } from "./posterior.ts";
import type { Difference } from "./registration.ts";
import type { Bounded, Bounded90, Drift, Noise, Optimum, Regret } from "./types.ts";

/**
 * log2 η*(cell) − log2 η*(base), octaves.
 * @param joint the difference as the cells' joint fit has it; it counts where both optima are estimates
 */
export function drift(cell: Optimum, base: Optimum, joint: Difference | null = null): Drift {
  if (joint !== null && cell.flag === "bracketed" && base.flag === "bracketed") {
    const extra = extraTail(joint);
    const { quantile } = joint;
    return {
      estimate: quantile(0.5),
      low: quantile(0.025 + extra),
      high: quantile(0.975 - extra),
      low_90: quantile(0.05 + extra),
      high_90: quantile(0.95 - extra),
    };
  }
  const at95 = difference(
    { estimate: cell.log2_tuned, low: cell.log2_tuned_low, high: cell.log2_tuned_high },
    { estimate: base.log2_tuned, low: base.log2_tuned_low, high: base.log2_tuned_high },
  );
  const at90 = difference(
    { estimate: cell.log2_tuned, low: cell.log2_tuned_low_90, high: cell.log2_tuned_high_90 },
    { estimate: base.log2_tuned, low: base.log2_tuned_low_90, high: base.log2_tuned_high_90 },
  );
  return { ...at95, low_90: at90.low, high_90: at90.high };
}

/** Of two estimates side by side (MOVER, Zou & Donner 2008), which keeps lopsided intervals lopsided; else of their bounds. */
function difference(a: Bounded, b: Bounded): Bounded {
  if (a.estimate === null || b.estimate === null)
    return {
      estimate: null,
      low: a.low === null || b.high === null ? null : a.low - b.high,
      high: a.high === null || b.low === null ? null : a.high - b.low,
    };
  const d = a.estimate - b.estimate;
  return {
    estimate: d,
    low: d - Math.hypot(a.estimate - a.low!, b.high! - b.estimate),
    high: d + Math.hypot(a.high! - a.estimate, b.estimate - b.low!),
  };
}

/** A cell as it is judged. */
export type FittedCell = {
  curve: Curve;
  optimum: Optimum;
  /** What other curves or the sweep's file say about the noise. */
  others: Noise | undefined;
  fit: Fit | null;
  /** Of its posterior, as the joint fit has them. */
  weights: Weights | null;
};

/** A cell by itself. */
export function fitCell(curve: Curve, others?: Noise | undefined): FittedCell {
  const optimum = fitCurve(curve, others);
  return {
    curve,
    optimum,
    others,
    fit: optimum.flag === "incomplete" ? null : fitValley(curve, others),
    weights: null,
  };
}

const UNKNOWN: Bounded90 = { estimate: null, low: null, high: null, low_90: null, high_90: null };
const unknown = (state: Regret["state"]): Regret => ({ state, nats: UNKNOWN, per_cent: UNKNOWN });

/** Loss at the cell with the base's η*, minus the loss at the cell's own optimum: nats, and per cent of the latter. */
export function regret(cell: FittedCell, base: Optimum): Regret {
  const { curve, optimum } = cell;
  const rate = base.log2_tuned;
  const best = lowest(curve.stable);
  if (rate === null || optimum.flag === "incomplete") return unknown("unknown");
  if (rate >= (wallAbove(curve) ?? Number.POSITIVE_INFINITY)) return unknown("diverges");
  if (best === undefined || curve.stable.length < 2) return unknown("unknown");

  const first = curve.stable[0]!;
  const last = curve.stable.at(-1)!;
  const edge = rate < first.log2_tuned ? first : rate > last.log2_tuned ? last : null;
  if (edge === best) return unknown("unknown");
  // That some seeds diverge there shows no cost, but leaves none a bound from above.
  const unstable = unstableAbove(curve, best.log2_tuned) ?? Number.POSITIVE_INFINITY;
  const state = edge === null && rate < unstable && !isDoubtful(curve, rate) ? "known" : "outside";
  const at = edge?.log2_tuned ?? rate;
  const excess = isRead(cell) ? estimatedExcess(cell, at) : excessOverGrid(cell, best, at);
  const kept = state === "known" ? excess : { ...excess, estimate: null, high: null, high_90: null };
  return inUnits(state, kept, optimum.loss ?? best.mean_loss);
}

/** Whether the fit knows the height of the valley's floor: also where a plateau leaves open which end of it is the optimum. */
const isRead = (cell: FittedCell): cell is FittedCell & { fit: Fit } =>
  cell.fit !== null &&
  (cell.optimum.flag === "bracketed" ||
    (cell.optimum.flag === "ambiguous" && cell.fit.valleys?.rival !== true));

const Z95 = normalQuantile(0.975, 0, 1);
const Z90 = normalQuantile(0.95, 0, 1);

/** Near the minimum the fitted valley knows the excess better, on the flanks the points do: the surer one speaks. */
function estimatedExcess(
  { curve, fit: { posterior: p }, weights }: FittedCell & { fit: Fit },
  at: number,
): Bounded90 {
  const between = interpolated(curve, at, (n) => p.noise.run / n + p.noise.shared);
  const measured = { mean: between.y - p.best.mean, sd: Math.hypot(between.sd, p.best.sd) };
  const { mean, sd, mixture } = excessAt(p, weights ?? p.weights, at);
  const fitted_sd = Math.hypot(sd, mean * excessDiscrepancy(mean, awayFrom(p, at)));
  const { mean: m, sd: s } = measured;
  if (s < fitted_sd && m > Z95 * s)
    return { estimate: m, low: m - Z95 * s, high: m + Z95 * s, low_90: m - Z90 * s, high_90: m + Z90 * s };
  // Points that lie above the valley may show a hump that it smooths over: then they say how much may be lost.
  const hump = m > mean ? { high: m + Z95 * s, high_90: m + Z90 * s } : { high: 0, high_90: 0 };
  // Where the optimum itself may lie, no regret at all cannot be excluded.
  const mayBeBest = p.quantile(0.025) <= at && at <= p.quantile(0.975);
  return {
    estimate: mean,
    low: mayBeBest ? 0 : mixture.quantile(0.025),
    high: Math.max(mixture.quantile(0.975), hump.high),
    low_90: mayBeBest ? 0 : mixture.quantile(0.05),
    high_90: Math.max(mixture.quantile(0.95), hump.high_90),
  };
}

/** Variance of a run whose noise nothing has measured: of 1%. */
const UNMEASURED = 0.01 ** 2;

/** Without an estimate of the optimum, the best of the grid stands in; the true best can only be lower. */
function excessOverGrid({ curve, others, fit }: FittedCell, best: StablePoint, at: number): Bounded90 {
  const run = runVariance(curve, others) ?? fit?.posterior.noise.run ?? UNMEASURED;
  const between = interpolated(curve, at, (n) => run / n);
  const sd = Math.hypot(between.sd, Math.sqrt(run / best.n));
  const least = (z: number) => Math.max(0, between.y - best.y - z * sd);
  return { ...UNKNOWN, low: least(Z95), low_90: least(Z90) };
}

/**
 * Log loss between the rates tried; half the way from the straight line to the cubic counts as its uncertainty.
 * @param variance of a rate's mean over so many seeds
 */
function interpolated(curve: Curve, at: number, variance: (n: number) => number): { y: number; sd: number } {
  const points = curve.stable.map((p) => ({ x: p.log2_tuned, y: p.y, n: p.n }));
  const i = segmentOf(points, at);
  const [a, b] = [points[i]!, points[i + 1]!];
  const t = (at - a.x) / (b.x - a.x);
  const y = monotoneCubic(points, at);
  const straight = a.y + t * (b.y - a.y);
  const noise = Math.sqrt((1 - t) ** 2 * variance(a.n) + t * t * variance(b.n));
  return { y, sd: Math.hypot((y - straight) / 2, noise) };
}

function inUnits(state: Regret["state"], excess: Bounded90, loss: number): Regret {
  const map = (f: (v: number) => number): Bounded90 =>
    Object.fromEntries(
      Object.entries(excess).map(([name, v]) => [name, v === null ? null : f(v)]),
    ) as Bounded90;
  const { low_90: _, high_90: __, ...nats } = map((v) => loss * Math.expm1(v));
  return { state, nats, per_cent: map((v) => 100 * Math.expm1(v)) };
}
