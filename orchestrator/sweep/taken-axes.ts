/**
 * Axes whose values an earlier phase finds, `{from: proxy, at: {sparsity: 0}, multiples: [0.5, 1, 2]}`: which a phase has,
 * and the phase as it reads once they are known. Pure.
 */
import type { Axes, GridFile, Taken } from "../../schema/sweep/axes.ts";
import {
  HYPERPARAMETERS,
  type HyperparameterName,
  isSettingName,
  TABLE,
  TAKEN,
  type TakenName,
} from "../../schema/sweep/hyperparameters.ts";
import type { Parameterization } from "../../schema/sweep/rules.ts";
import type { Phase } from "../../schema/sweep/sweep.ts";
import { type Path, showPath } from "./problems.ts";

export interface TakenAxis {
  name: TakenName;
  /** Where the axis stands, within its phase. */
  path: Path;
  taken: Taken;
  /** The grid's own. */
  parameterizations: readonly Parameterization[];
}

export const multiplesOf = (name: TakenName, { multiples }: Taken): readonly number[] =>
  multiples ?? TABLE[name].multiples;

/** The grids of a phase, each with its place in the file. */
export const gridsOf = (axes: Axes): { grid: GridFile; path: Path }[] =>
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

/** Whether a coordinate has a value of its own: null is one of what may be switched off, and of all else says that it follows from others. */
export const isGiven = (name: string, value: unknown): boolean =>
  value !== undefined && (value !== null || (isName(name) && HYPERPARAMETERS[name].safeParse(null).success));

const isName = (name: string): name is HyperparameterName => Object.hasOwn(HYPERPARAMETERS, name);

/** The grid of one point: coordinates as axes, settings of a script's own in their map; what follows from others is left out. */
export function gridAt(coordinates: Readonly<Record<string, unknown>>): GridFile {
  const given = Object.entries(coordinates).filter(([name, value]) => isGiven(name, value));
  const own = given.filter(([name]) => isSettingName(name));
  return {
    ...Object.fromEntries(given.filter(([name]) => !isSettingName(name))),
    ...(own.length === 0
      ? {}
      : {
          settings: Object.fromEntries(own.map(([name, value]) => [name.slice("settings.".length), value])),
        }),
  } as GridFile;
}

/** Whether learning rates are drawn at random: then the phase looks for one configuration, not for curves. */
export const isRandomSearch = (axes: Axes): boolean =>
  gridsOf(axes).some(({ grid }) => grid.random?.distributions.learning_rate !== undefined);

/** The earlier phases that a phase waits for: those it takes values from, and its coordinate check. */
export const sourcesOf = ({ axes, after }: Phase): string[] => [
  ...new Set([...takenAxes(axes).map((axis) => axis.taken.from), ...(after === undefined ? [] : [after])]),
];
