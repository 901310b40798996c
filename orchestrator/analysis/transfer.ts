/**
 * What moving from a base cell to another costs: the drift of the optimum in octaves, and the regret, the loss paid for
 * training a cell at the base's best rate. Optima that are only bounds give drifts and regrets that are only bounds.
 */
import normalQuantile from "@stdlib/stats-base-dists-normal-quantile";
import { type Curve, readCurve, type StablePoint } from "./curve.ts";
import { monotoneCubic, segmentOf } from "./interpolate.ts";
import { noiseOfOthers } from "./noise.ts";
import { lowest } from "./optimum.ts";
import { excessDiscrepancy, type Posterior, posterior } from "./posterior.ts";
import type { Bounded, CurveInput, Drift, Noise, Optimum, Regret } from "./types.ts";

/**
 * log2 η*(cell) − log2 η*(base), octaves. Of two estimates the interval is MOVER's (Zou & Donner 2008), which keeps
 * lopsided intervals lopsided; otherwise the differences of the bounds.
 */
export function drift(cell: Optimum, base: Optimum): Drift {
  const at95 = difference(
    { estimate: cell.log2_lr, low: cell.log2_lr_low, high: cell.log2_lr_high },
    { estimate: base.log2_lr, low: base.log2_lr_low, high: base.log2_lr_high },
  );
  const at90 = difference(
    { estimate: cell.log2_lr, low: cell.log2_lr_low_90, high: cell.log2_lr_high_90 },
    { estimate: base.log2_lr, low: base.log2_lr_low_90, high: base.log2_lr_high_90 },
  );
  return { ...at95, low_90: at90.low, high_90: at90.high };
}

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

const UNKNOWN: Bounded = { estimate: null, low: null, high: null };

/** Loss at the cell with the base's η*, minus the loss at the cell's own optimum: nats, and per cent of the latter. */
export function regret(
  cell: { curve: CurveInput; optimum: Optimum },
  base: Optimum,
  options: { noise?: Noise | undefined } = {},
): Regret {
  const { optimum } = cell;
  const rate = base.log2_lr;
  const curve = readCurve(cell.curve);
  const others = noiseOfOthers(curve, options.noise);
  const best = lowest(curve.stable);
  if (rate === null || best === undefined || optimum.flag === "incomplete" || curve.stable.length < 2)
    return { state: "unknown", nats: UNKNOWN, per_cent: UNKNOWN };
  const wall = curve.diverged.find((x) => x > best.log2_lr) ?? Number.POSITIVE_INFINITY;
  if (rate >= wall) return { state: "diverges", nats: UNKNOWN, per_cent: UNKNOWN };

  const first = curve.stable[0]!;
  const last = curve.stable.at(-1)!;
  const edge = rate < first.log2_lr ? first : rate > last.log2_lr ? last : null;
  if (edge === best) return { state: "unknown", nats: UNKNOWN, per_cent: UNKNOWN };
  const state = edge === null ? "known" : "outside";
  const at = edge?.log2_lr ?? rate;
  const excess =
    optimum.flag === "bracketed"
      ? estimatedExcess(curve, posterior(curve, others), at)
      : excessOverGrid(curve, best, at, noiseOf(curve, others));
  const kept: Bounded = edge === null ? excess : { estimate: null, low: excess.low, high: null };
  return inUnits(state, kept, optimum.loss ?? best.mean_loss);
}

/** Near the minimum the fitted valley knows the excess better, on the flanks the points do: the surer one speaks. */
function estimatedExcess(curve: Curve, p: Posterior, at: number): Bounded {
  const between = interpolated(curve, at, p.noise);
  const measured = { mean: between.y - p.best.mean, sd: Math.hypot(between.sd, p.best.sd) };
  const { mean, sd, quantile } = p.excess(at);
  const fitted_sd = Math.hypot(sd, mean * excessDiscrepancy(mean));
  const half = normalQuantile(0.975, 0, 1) * measured.sd;
  if (measured.sd < fitted_sd && measured.mean > half)
    return { estimate: measured.mean, low: measured.mean - half, high: measured.mean + half };
  // Where the optimum itself may lie, no regret at all cannot be excluded.
  const mayBeBest = p.quantile(0.025) <= at && at <= p.quantile(0.975);
  return { estimate: mean, low: mayBeBest ? 0 : quantile(0.025), high: quantile(0.975) };
}

/** Without an estimate of the optimum, the best of the grid stands in; the true best can only be lower. */
function excessOverGrid(curve: Curve, best: StablePoint, at: number, noise: number): Bounded {
  const between = interpolated(curve, at, noise);
  const sd = Math.hypot(between.sd, noise / Math.sqrt(best.n));
  const low = between.y - best.y - normalQuantile(0.975, 0, 1) * sd;
  return { estimate: null, low: Math.max(0, low), high: null };
}

/** Relative noise of one run; zero when nothing has measured it. */
function noiseOf(curve: Curve, others: Noise | undefined): number {
  const df = curve.residual_df + (others?.df ?? 0);
  return df > 0 ? Math.sqrt((curve.residual_ss + (others?.df ?? 0) * (others?.sd ?? 0) ** 2) / df) : 0;
}

/** Log loss between the rates tried; half the way from the straight line to the cubic counts as its uncertainty. */
function interpolated(curve: Curve, at: number, noise: number): { y: number; sd: number } {
  const points = curve.stable.map((p) => ({ x: p.log2_lr, y: p.y, n: p.n }));
  const i = segmentOf(points, at);
  const [a, b] = [points[i]!, points[i + 1]!];
  const t = (at - a.x) / (b.x - a.x);
  const y = monotoneCubic(points, at);
  const straight = a.y + t * (b.y - a.y);
  return {
    y,
    sd: Math.hypot((y - straight) / 2, noise * Math.hypot((1 - t) / Math.sqrt(a.n), t / Math.sqrt(b.n))),
  };
}

function inUnits(state: Regret["state"], excess: Bounded, loss: number): Regret {
  const map = (f: (v: number) => number): Bounded => ({
    estimate: excess.estimate === null ? null : f(excess.estimate),
    low: excess.low === null ? null : f(excess.low),
    high: excess.high === null ? null : f(excess.high),
  });
  return { state, nats: map((v) => loss * Math.expm1(v)), per_cent: map((v) => 100 * Math.expm1(v)) };
}
