/**
 * Values of an axis that are meant to be one and are not: 0.00097656 beside 2^-10, 0.1 + 0.2 beside 0.3. Both are trained, and a curve
 * gets two points in one place, so it is worth a remark; but somebody may mean it, so it is no mistake.
 */
import { HYPERPARAMETER_NAMES, type HyperparameterName, rowOf } from "../../schema/sweep/hyperparameters.ts";
import type { Grid } from "./grids.ts";
import type { Finding, Path } from "./problems.ts";

/** Relative: a thousandth. Nobody varies anything in steps as fine as this, but within a range that says so. */
const NEAR = 1e-3;
/** Absolute, of fractions: what is left where arithmetic should have given 0. */
const ROUNDING = 1e-9;

interface Written {
  value: number;
  path: Path;
}

/** Whether two values are nearer to each other than anybody means. Of fractions what is left to 1 counts as well: density, 1 − β. */
function areNearTwins(a: number, b: number, isFraction: boolean): boolean {
  const size = (x: number): number => (isFraction ? Math.min(Math.abs(x), Math.abs(1 - x)) : Math.abs(x));
  const near = Math.max(NEAR * Math.min(size(a), size(b)), isFraction ? ROUNDING : 0);
  return a !== b && Math.abs(a - b) <= near;
}

/** @returns a remark at the later one of each two */
export function nearTwins(grids: readonly Grid[]): Finding[] {
  const varied = HYPERPARAMETER_NAMES.filter((name) => rowOf(name).drawn === "range");
  return varied.flatMap((name) => {
    const written = valuesOf(grids, name);
    const order = new Map(written.map((one, i) => [one, i]));
    const sorted = written.toSorted((a, b) => a.value - b.value);
    return sorted.flatMap((one, i): Finding[] => {
      const next = sorted[i + 1];
      // Neighbours of one range are as near to each other as the range says.
      if (next === undefined || next.path === one.path) return [];
      if (!areNearTwins(one.value, next.value, isFraction(name))) return [];
      const [earlier, later] = order.get(one)! < order.get(next)! ? [one, next] : [next, one];
      return [
        {
          path: later.path,
          message: `${later.value} is nearly ${shown(earlier.value)}, which is another point of ${name}: both are trained; write one number for both`,
        },
      ];
    });
  });
}

/** The distinct values of a hyperparameter, in the file's order, but for those that chance has drawn. */
function valuesOf(grids: readonly Grid[], name: HyperparameterName): Written[] {
  const written = new Map<number, Written>();
  for (const { dimensions } of grids)
    for (const { names, points } of dimensions) {
      const isDrawn = points.length > 1 && points[0]!.paths === points[1]!.paths;
      if (!names.includes(name) || isDrawn) continue;
      for (const { values, paths } of points) {
        const value = values[name];
        if (typeof value === "number" && !written.has(value))
          written.set(value, { value, path: paths[name]! });
      }
    }
  return [...written.values()];
}

const isFraction = (name: HyperparameterName): boolean => ["sparsity", "beta1", "beta2"].includes(name);

/** "0.0009765625 (2^-10)" */
function shown(value: number): string {
  const log2 = Math.log2(value);
  return Number.isInteger(log2) && log2 !== 0 ? `${value} (2^${log2})` : String(value);
}
