/** The noise of runs, pooled over curves: what a curve with a single seed borrows from the rest of its sweep. */
import { readCurve } from "./curve.ts";
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
