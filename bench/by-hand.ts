/** How people read an optimum off a curve: the grid's best rate, a parabola through everything, a three-point vertex with a bootstrap. */
import { inverse, Matrix } from "ml-matrix";
import type { CurveInput } from "../orchestrator/analysis/types.ts";
import type { Random } from "./synthetic-curves.ts";

const BOOTSTRAPS = 199;

export type Estimate = { value: number; low: number; high: number };

export type Column = { x: number; losses: number[] };

/** Rates at which every seed trained; losses in the order of the seeds. */
export const columnsOf = (curve: CurveInput): Column[] =>
  curve.points
    .filter((p) => p.seeds.every((s) => !s.diverged))
    .map((p) => ({ x: p.log2_tuned, losses: p.seeds.map((s) => s.loss!) }));
const meanOf = (v: number[]): number => v.reduce((s, x) => s + x, 0) / v.length;

/** The best rate tried; its "interval" is half a grid step to each side. */
export function argmin(columns: Column[], spacing: number): Estimate {
  const means = columns.map((c) => meanOf(c.losses));
  const value = columns[means.indexOf(Math.min(...means))]!.x;
  return { value, low: value - spacing / 2, high: value + spacing / 2 };
}

/** Least-squares parabola through every rate that trained; interval by the delta method from its residuals. */
export function globalParabola(columns: Column[]): Estimate | null {
  const rows = columns.flatMap((c) => c.losses.map((l) => ({ x: c.x, l })));
  const X = new Matrix(rows.map(({ x }) => [1, x, x * x]));
  const covariance = inverse(X.transpose().mmul(X));
  const y = Matrix.columnVector(rows.map(({ l }) => l));
  const beta = covariance.mmul(X.transpose()).mmul(y);
  const [b, c] = [beta.get(1, 0), beta.get(2, 0)];
  if (c <= 0) return null;
  const residual = Matrix.sub(y, X.mmul(beta));
  const variance = residual.dot(residual) / Math.max(1, rows.length - 3);
  const g = Matrix.columnVector([0, -1 / (2 * c), b / (2 * c * c)]);
  const half = 1.96 * Math.sqrt(variance * g.transpose().mmul(covariance).mmul(g).get(0, 0));
  // Nobody reads a vertex far outside the grid as an optimum.
  const value = Math.min(columns.at(-1)!.x, Math.max(columns[0]!.x, -b / (2 * c)));
  return { value, low: value - half, high: value + half };
}

/** Vertex of the parabola through the best rate and its two neighbours; the rate itself at an edge. */
function vertex(columns: Column[], seeds: number[]): number {
  const means = columns.map((c) => meanOf(seeds.map((s) => c.losses[s]!)));
  const i = means.indexOf(Math.min(...means));
  const [a, b, c] = [means[i - 1], means[i]!, means[i + 1]];
  if (a === undefined || c === undefined) return columns[i]!.x;
  const [h, k] = [columns[i]!.x - columns[i - 1]!.x, columns[i + 1]!.x - columns[i]!.x];
  const [left, right] = [(b - a) / h, (c - b) / k];
  return columns[i]!.x - (right * h + left * k) / (2 * (right - left));
}

/** Three-point vertex with a percentile bootstrap that draws seeds as whole columns. */
export function bootstrappedVertex(columns: Column[], random: Random): Estimate {
  const all = columns[0]!.losses.map((_, s) => s);
  const draws = Array.from({ length: BOOTSTRAPS }, () =>
    vertex(
      columns,
      all.map(() => Math.floor(random.uniform(0, all.length))),
    ),
  ).sort((a, b) => a - b);
  return { value: vertex(columns, all), low: draws[4]!, high: draws[BOOTSTRAPS - 5]! };
}
