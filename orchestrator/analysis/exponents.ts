/**
 * The power law of the optimum: log2 η* = intercept + b·log2(width) + c·log2(density), by weighted least squares over the
 * bracketed cells. Theory: b = c = 0 under SμPar, b = 0 under μP (in base learning rates).
 */
import normalQuantile from "@stdlib/stats-base-dists-normal-quantile";
import tQuantile from "@stdlib/stats-base-dists-t-quantile";
import { determinant, inverse, Matrix } from "ml-matrix";
import type { Axis } from "../../schema/database/states.ts";
import type { TakenName } from "../../schema/sweep/hyperparameters.ts";
import { type Parameterization, RULES } from "../../schema/sweep/rules.ts";
import { valueAlong } from "./groups.ts";
import type { Bounded, Cell, Exponents } from "./types.ts";

type Member = Pick<Cell, "coordinates" | "optimum">;

const densityOf = ({ coordinates }: Member): number => 1 - coordinates.sparsity;

const UNKNOWN: Bounded = { estimate: null, low: null, high: null };

/** @returns octaves of η* per octave of width and of density; an axis with one value, or too few cells, gives null */
export function exponents(cells: readonly Member[]): Exponents {
  const used = cells.filter((c) => c.optimum.flag === "bracketed");
  const counts = { used: used.length, left_out: cells.length - used.length };
  const widths = new Set(used.map((c) => c.coordinates.width)).size;
  const densities = new Set(used.map(densityOf)).size;
  const columns: ((c: Member) => number)[] = [
    () => 1,
    ...(widths > 1 ? [(c: Member) => Math.log2(c.coordinates.width)] : []),
    ...(densities > 1 ? [(c: Member) => Math.log2(densityOf(c))] : []),
  ];
  const fit = weightedLeastSquares(used, columns);
  if (fit === null) return { intercept: UNKNOWN, width: null, density: null, ...counts };
  return {
    intercept: fit[0]!,
    width: widths > 1 ? fit[1]! : null,
    density: densities > 1 ? fit.at(-1)! : null,
    ...counts,
  };
}

export type AxisExponent = {
  /** Octaves of η* per octave of the axis; null: fewer than two bracketed cells at values above 0. */
  exponent: Bounded | null;
  /** What theories say it is; none: no theory says. */
  theory: number[];
};

/**
 * The power law along one axis alone, all else equal: log2 η* = a + b·log2(value).
 * @param cells of one group along the axis
 * @param tuned what their optima are of
 */
export function exponentAlong(
  axis: Axis,
  cells: readonly Member[],
  tuned: TakenName = "learning_rate",
): AxisExponent {
  const value = ({ coordinates }: Member): number => valueAlong(axis, coordinates);
  const used = cells.filter((c) => c.optimum.flag === "bracketed" && value(c) > 0);
  const fit = weightedLeastSquares(used, [() => 1, (c) => Math.log2(value(c))]);
  return {
    exponent: fit?.[1] ?? null,
    theory: theoryOf(cells[0]?.coordinates.parameterization as Parameterization, axis, tuned),
  };
}

/**
 * Of the base learning rate. Horizon: −0.32 is Bjorck et al. 2024 (arXiv 2409.19913), over tokens; −0.5 and the batch's +0.5 are the rate's √(batch/tokens) of
 * the square-root rule for Adam (Malladi et al. 2022, arXiv 2205.10287; Complete-d P); 0 is μP, which says nothing of either.
 */
const THEORY: Readonly<Record<string, number[]>> = {
  tokens: [0, -0.32, -0.5],
  steps: [0, -0.32, -0.5],
  batch_size: [0.5],
};

/** Along what a parameterization keeps, the optimum of every base value stays. */
function theoryOf(parameterization: Parameterization, axis: Axis, tuned: TakenName): number[] {
  if (RULES[parameterization]?.keeps.some((kept) => kept === axis)) return [0];
  return tuned === "learning_rate" ? (THEORY[axis] ?? []) : [];
}

/**
 * Standard errors come from the optima's own intervals. Where the cells scatter about the line by more than those allow,
 * the law does not hold exactly, and the interval is at least the one the scatter gives (t on n − p degrees of freedom).
 */
function weightedLeastSquares(cells: Member[], columns: ((c: Member) => number)[]): Bounded[] | null {
  const p = columns.length;
  if (cells.length < p) return null;
  const z = normalQuantile(0.975, 0, 1);
  const sds = cells.map(({ optimum: o }) => (o.log2_tuned_high! - o.log2_tuned_low!) / (2 * z));
  const design = new Matrix(cells.map((c, i) => columns.map((column) => column(c) / sds[i]!)));
  const target = Matrix.columnVector(cells.map((c, i) => c.optimum.log2_tuned! / sds[i]!));
  const normal = design.transpose().mmul(design);
  if (isSingular(normal)) return null;
  const covariance = inverse(normal);
  const beta = covariance.mmul(design.transpose()).mmul(target);
  const residual = Matrix.sub(target, design.mmul(beta));
  const df = cells.length - p;
  const scatter = df > 0 ? Math.sqrt(residual.dot(residual) / df) * tQuantile(0.975, df) : 0;
  return beta.to1DArray().map((estimate, i) => {
    const half = Math.max(z, scatter) * Math.sqrt(covariance.get(i, i));
    return { estimate, low: estimate - half, high: estimate + half };
  });
}

/** Width and density that vary in step (iso-parameter grids) cannot be told apart. */
function isSingular(normal: Matrix): boolean {
  const p = normal.rows;
  const scaled = Matrix.zeros(p, p);
  for (let i = 0; i < p; i++)
    for (let j = 0; j < p; j++)
      scaled.set(i, j, normal.get(i, j) / Math.sqrt(normal.get(i, i) * normal.get(j, j)));
  return Math.abs(determinant(scaled)) < 1e-9;
}
