/** The noise of runs, pooled over curves: what a curve with a single seed borrows from the rest of its sweep. */
import { Matrix, solve } from "ml-matrix";
import type { Curve } from "./curve.ts";
import { leastOf } from "./extremes.ts";
import { twoValleys } from "./two-valleys.ts";
import type { Noise } from "./types.ts";

/** Scatter within seeds near a curve's best rate: a sum of squares of log losses, and its degrees of freedom. */
export type Residual = Pick<Curve, "residual_ss" | "residual_df">;

/** Other curves' noise, which need not be this one's, makes up for what its own replicates lack to this many degrees of freedom. */
const ENOUGH_DF = 8;
/** It is rounded to a grid of so many steps an octave: one more result elsewhere in the sweep hardly ever moves a curve's fit. */
const SD_STEPS = 4;

const mean = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;

/** Points up to this high above the best (log loss) are fitted by one cubic; more than so many degrees of freedom a curve does not give. */
const SMOOTH = 0.06;
const MOST_ROUGHNESS_DF = 4;
/** A hump that noise of 1% does not make is the curve's own. */
const MUCH = 0.01 ** 2;

/**
 * What a curve says about the noise of runs: the scatter of its replicates; without any, how far its points lie from a smooth
 * line, a cubic through those near the best. The line may miss a little of the curve, so this errs to the noisy side. A curve with
 * a hump says nothing.
 */
export function residualOf({ residual_ss, residual_df, stable }: Curve): Residual {
  if (residual_df > 0) return { residual_ss, residual_df };
  const best = leastOf(stable.map((p) => p.y));
  const near = stable.filter((p) => p.y - best < SMOOTH);
  const df = Math.min(MOST_ROUGHNESS_DF, near.length - 4);
  if (df <= 0 || twoValleys({ stable }, MUCH) !== null) return { residual_ss: 0, residual_df: 0 };
  const from = mean(near.map((p) => p.log2_tuned));
  const powers = new Matrix(near.map((p) => [0, 1, 2, 3].map((k) => (p.log2_tuned - from) ** k)));
  const y = Matrix.columnVector(near.map((p) => p.y));
  const miss = Matrix.sub(y, powers.mmul(solve(powers, y)));
  return { residual_ss: (miss.dot(miss) / (near.length - 4)) * df, residual_df: df };
}

/**
 * Relative to the loss (0.005 is 0.5%).
 * @returns null when no curve says anything about it
 */
export function pooledNoise(curves: readonly Residual[]): Noise | null {
  const df = curves.reduce((sum, c) => sum + c.residual_df, 0);
  const ss = curves.reduce((sum, c) => sum + c.residual_ss, 0);
  return df > 0 ? { sd: Math.sqrt(ss / df), df } : null;
}

/** Degrees of freedom that a stated noise counts for: surer than any sweep's own replicates. */
const STATED_DF = 400;

/**
 * What a curve is told of the noise beside its own replicates: what the sweep's file states, else what other curves say.
 * @param own `residualOf` the curve
 * @param pooled over the sweep's curves
 * @param stated of one run, per cent of its loss
 */
export const toldNoise = (
  own: Residual,
  pooled: Noise | null | undefined,
  stated: number | undefined,
): Noise | undefined =>
  stated === undefined ? noiseOfOthers(own, pooled) : { sd: stated / 100, df: STATED_DF };

/** Of one run's log loss within its seed, as replicates and other curves have it; null when nothing has measured it. */
export function runVariance(curve: Residual, others: Noise | undefined): number | null {
  const df = curve.residual_df + (others?.df ?? 0);
  return df > 0 ? (curve.residual_ss + (others?.df ?? 0) * (others?.sd ?? 0) ** 2) / df : null;
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
  const each = df / curve.stable.length;
  return {
    ...curve,
    stable: curve.stable.map((p) => ({ ...p, n: p.n + extra, df: p.df + each, ss: p.ss + each * variance })),
    residual_df: curve.residual_df + df,
    residual_ss: curve.residual_ss + df * variance,
    seeds: curve.seeds + extra,
  };
}
