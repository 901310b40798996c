/** The noise of runs, pooled over curves: what a curve with a single seed borrows from the rest of its sweep. */
import { type Curve, readCurve } from "./curve.ts";
import type { CurveInput, Noise } from "./types.ts";

/**
 * Scatter within seeds near each curve's best rate, relative to the loss (0.005 is 0.5%).
 * @returns null when no curve has a second seed
 */
export function pooledNoise(curves: readonly CurveInput[]): Noise | null {
  const read = curves.map(readCurve);
  const df = read.reduce((sum, c) => sum + c.residual_df, 0);
  const ss = read.reduce((sum, c) => sum + c.residual_ss, 0);
  return df > 0 ? { sd: Math.sqrt(ss / df), df } : null;
}

/** What the pool says beyond the curve's own replicates, which the fit counts by themselves. */
export function noiseOfOthers(curve: Curve, pooled: Noise | undefined): Noise | undefined {
  if (pooled === undefined || pooled.df <= curve.residual_df) return undefined;
  const df = pooled.df - curve.residual_df;
  const ss = Math.max(0, pooled.sd ** 2 * pooled.df - curve.residual_ss);
  return { sd: Math.sqrt(ss / df), df };
}

/**
 * The curve as it would be with `extra` more seeds at every rate, its means and its noise staying as they are. Without
 * any replicate the noise is unknown, and only the means become surer.
 */
export function withMoreSeeds(curve: Curve, extra: number, others: Noise | undefined): Curve {
  const variance =
    curve.residual_df > 0 ? curve.residual_ss / curve.residual_df : others === undefined ? 0 : others.sd ** 2;
  const df = variance > 0 ? extra * (curve.stable.length - 1) : 0;
  return {
    ...curve,
    stable: curve.stable.map((p) => ({ ...p, n: p.n + extra })),
    residual_df: curve.residual_df + df,
    residual_ss: curve.residual_ss + df * variance,
    seeds: curve.seeds + extra,
  };
}
