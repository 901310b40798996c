/**
 * Combinations of the values along the dimensions of a grid, and how many of them a sweep file may make musweep look at: the rules
 * over several fields see the values of just the axes that they read, but those can still be ranges of thousands.
 */
import type { AxisName } from "../../schema/sweep/hyperparameters.ts";
import { type Dimension, distinct, type Grid, type Point, type Values } from "./grids.ts";

/** For all rules, grids and phases of a file together: about a second's work. */
export const MAX_COMBINATIONS = 200_000;

/** Thrown where a file's rules would have to look at more than that. */
export class TooManyCombinations extends Error {
  override readonly name = "TooManyCombinations";
}

export class Allowance {
  #left = MAX_COMBINATIONS;
  /** @throws TooManyCombinations */
  spend(): void {
    if (--this.#left < 0) throw new TooManyCombinations();
  }
}

/** Every combination of the points of some dimensions; one empty point for none. */
export function* product(dimensions: readonly Dimension[]): Generator<Point> {
  const [first, ...rest] = dimensions;
  if (first === undefined) {
    yield { values: {}, paths: {} };
    return;
  }
  if (rest.length === 0) {
    yield* first.points;
    return;
  }
  for (const outer of first.points)
    for (const inner of product(rest))
      yield {
        values: { ...outer.values, ...inner.values },
        paths: { ...outer.paths, ...inner.paths },
      };
}

/** Every combination of the values that a grid gives to these hyperparameters. What is drawn at random may give few, many times. */
export function* combinations(
  grid: Grid,
  names: ReadonlySet<AxisName>,
  allowance: Allowance,
): Generator<Point> {
  const dimensions = grid.dimensions
    .filter((dimension) => dimension.names.some((name) => names.has(name)))
    .map((dimension) => projected(dimension, names));
  for (const point of product(dimensions)) {
    allowance.spend();
    yield point;
  }
}

function projected(dimension: Dimension, names: ReadonlySet<AxisName>): Dimension {
  const kept = dimension.names.filter((name) => names.has(name));
  if (kept.length === dimension.names.length) return dimension;
  // Rows of the file stay apart, each to be told of at its own place; draws have one place for all.
  const [first, second] = dimension.points;
  const isDrawn = first?.paths === second?.paths;
  const points = [...(isDrawn ? distinct(kept, dimension.points) : dimension.points)];
  const of = (all: Values | Point["paths"]) => Object.fromEntries(kept.map((name) => [name, all[name]]));
  return {
    ...dimension,
    names: kept,
    points: points.map(({ values, paths }) => ({
      values: of(values) as Values,
      paths: of(paths) as Point["paths"],
    })),
  };
}
