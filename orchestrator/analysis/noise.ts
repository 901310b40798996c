/** The noise of runs, pooled over curves: what a curve with a single seed borrows from the rest of its sweep. */
import type { Curve } from "./curve.ts";
import type { Noise } from "./types.ts";

/** Scatter within seeds near a curve's best rate. */
type Residual = Pick<Curve, "residual_ss" | "residual_df">;

/** Other curves' noise, which need not be this one's, makes up for what its own replicates lack to this many degrees of freedom. */
const ENOUGH_DF = 8;
/** It is rounded to a grid of so many steps an octave: one more result elsewhere in the sweep hardly ever moves a curve's fit. */
const SD_STEPS = 4;

/**
 * Relative to the loss (0.005 is 0.5%).
 * @returns null when no curve has a second seed
 */
export function pooledNoise(curves: readonly Residual[]): Noise | null {
  const df = curves.reduce((sum, c) => sum + c.residual_df, 0);
  const ss = curves.reduce((sum, c) => sum + c.residual_ss, 0);
  return df > 0 ? { sd: Math.sqrt(ss / df), df } : null;
}

/** What the pool adds to the curve's own replicates, which the fit counts by themselves; nothing where those are enough. */
export function noiseOfOthers(curve: Residual, pooled: Noise | null | undefined): Noise | undefined {
  if (pooled == null || pooled.df <= curve.residual_df || curve.residual_df >= ENOUGH_DF) return undefined;
  const df = pooled.df - curve.residual_df;
  const sd = Math.sqrt(Math.max(0, pooled.sd ** 2 * pooled.df - curve.residual_ss) / df);
  return {
    sd: sd > 0 ? 2 ** (Math.round(Math.log2(sd) * SD_STEPS) / SD_STEPS) : 0,
    df: Math.min(df, ENOUGH_DF - curve.residual_df),
  };
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
