/**
 * Axes whose values an earlier phase finds, `{from: proxy, at: {sparsity: 0}, multiples: [0.5, 1, 2]}`: which a phase has,
 * and the phase as it reads once they are known. Pure.
 */
import { type Axes, type GridFile, TAKEN, type Taken, type TakenName } from "../../schema/axes.ts";
import type { Parameterization } from "../../schema/hyperparameters.ts";
import type { Phase } from "../../schema/sweep.ts";
import { type Path, showPath } from "./problems.ts";

export interface TakenAxis {
  name: TakenName;
  /** Where the axis stands, within its phase. */
  path: Path;
  taken: Taken;
  /** The grid's own. */
  parameterizations: readonly Parameterization[];
}

/** A confirmation brackets a learning rate; the other values are taken as they are. */
const DEFAULT_MULTIPLES: Record<TakenName, readonly number[]> = {
  learning_rate: [0.5, 1, 2],
  init_std: [1],
  alpha_input: [1],
  alpha_output: [1],
};

export const multiplesOf = (name: TakenName, { multiples }: Taken): readonly number[] =>
  multiples ?? DEFAULT_MULTIPLES[name];

const gridsOf = (axes: Axes): { grid: GridFile; path: Path }[] =>
  Array.isArray(axes)
    ? axes.map((grid, i) => ({ grid, path: ["axes", i] }))
    : [{ grid: axes, path: ["axes"] }];

const asList = <T>(value: T | T[] | undefined): T[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value];

const takenIn = (grid: GridFile, name: TakenName): Taken | undefined => {
  const axis = grid[name];
  return typeof axis === "object" && "from" in axis ? axis : undefined;
};

export function takenAxes(axes: Axes): TakenAxis[] {
  return gridsOf(axes).flatMap(({ grid, path }) =>
    TAKEN.flatMap((name) => {
      const taken = takenIn(grid, name);
      return taken === undefined
        ? []
        : [{ name, path: [...path, name], taken, parameterizations: asList(grid.parameterization) }];
    }),
  );
}

/**
 * The phase's axes with every taken one as plain numbers: a grid of its own for each parameterization.
 * @param valueFor axis: where it stands, such as axes[0].learning_rate
 */
export function withValues(
  axes: Axes,
  valueFor: (axis: string, parameterization: Parameterization) => number,
): Axes {
  return gridsOf(axes).flatMap(({ grid, path }) => {
    if (TAKEN.every((name) => takenIn(grid, name) === undefined)) return [grid];
    return asList(grid.parameterization).map((parameterization) => {
      const known: GridFile = { ...grid, parameterization };
      for (const name of TAKEN) {
        const taken = takenIn(grid, name);
        if (taken === undefined) continue;
        const value = valueFor(showPath([...path, name]), parameterization);
        known[name] = multiplesOf(name, taken).map((multiple) => value * multiple);
      }
      return known;
    });
  });
}

/** Whether learning rates are drawn at random: then the phase looks for one configuration, not for curves. */
export const isSearch = (axes: Axes): boolean =>
  gridsOf(axes).some(({ grid }) => grid.random?.distributions.learning_rate !== undefined);

/** The earlier phases that a phase waits for: those it takes values from, and its coordinate check. */
export const sourcesOf = ({ axes, after }: Phase): string[] => [
  ...new Set([...takenAxes(axes).map((axis) => axis.taken.from), ...(after === undefined ? [] : [after])]),
];
