/**
 * How much a hyperparameter alone says about the loss of a random search: the share of the variance of the losses' ranks that a
 * parabola in it explains, adjusted for the three numbers that a parabola has. Ranks, because a few losses far off would decide
 * everything; a parabola, because the best value lies inside as a rule.
 */
import { Matrix, solve } from "ml-matrix";
import { leastOf, mostOf } from "./extremes.ts";

/**
 * @param xs values, on the axis on which they were drawn (logarithms, as a rule)
 * @param losses of the same runs; infinite for one that diverged
 * @returns 0 to 1; null for fewer runs than say anything
 */
export function importance(xs: readonly number[], losses: readonly number[]): number | null {
  const n = xs.length;
  if (n < 8) return null;
  const ranks = ranksOf(losses);
  const mean = (n - 1) / 2;
  const total = ranks.reduce((sum, rank) => sum + (rank - mean) ** 2, 0);
  const [low, high] = [leastOf(xs), mostOf(xs)];
  if (total === 0 || high === low) return null;
  const rows = xs.map((x) => {
    const u = (2 * (x - low)) / (high - low) - 1;
    return [1, u, u * u];
  });
  const design = new Matrix(rows);
  const fit = solve(design, Matrix.columnVector(ranks), true).to1DArray();
  const left = rows.reduce(
    (sum, row, i) => sum + (ranks[i]! - row.reduce((y, value, j) => y + value * fit[j]!, 0)) ** 2,
    0,
  );
  return Math.max(0, 1 - ((left / total) * (n - 1)) / (n - 3));
}

/** 0 for the lowest; equal values share the mean of their ranks. */
function ranksOf(values: readonly number[]): number[] {
  const sorted = [...values].sort((a, b) => (a === b ? 0 : a - b));
  const ranks = new Map<number, number>();
  for (let i = 0; i < sorted.length; ) {
    let end = i;
    while (end < sorted.length && sorted[end] === sorted[i]) end++;
    ranks.set(sorted[i]!, (i + end - 1) / 2);
    i = end;
  }
  return values.map((value) => ranks.get(value)!);
}
