/**
 * How large the grids of a phase are, from their axes as written: known before a single point of them is made, so that a few
 * bytes of ranges cannot fill the memory or the day.
 */
import {
  type Axes,
  type GridFile,
  MAX_AXIS_POINTS,
  type Range,
  type Taken,
} from "../../schema/sweep/axes.ts";
import {
  type AxisName,
  HYPERPARAMETER_NAMES,
  type HyperparameterName,
  type TakenName,
} from "../../schema/sweep/hyperparameters.ts";
import type { Setting } from "../../schema/wire/plan.ts";
import { gridsOf, multiplesOf } from "./taken-axes.ts";
import { rangeLength, rangeMistake } from "./values.ts";

/** Points of one sweep. Ten times what musweep is built for: more is a slip of the pen. */
const MAX_POINTS = 1_000_000;
/** Values of all axes of one sweep together, drawn ones too, each of which is made and compared. */
const MAX_VALUES = 5 * MAX_AXIS_POINTS;

/**
 * Dimensions from the outermost: seeds, so that every curve has a first version before any has a second; learning rates last, so
 * that one curve's points are neighbours in the queue. What is tied or drawn stands before the other axes.
 */
export const OUTERMOST: readonly HyperparameterName[] = ["seed", "parameterization"];
export const INNERMOST: readonly HyperparameterName[] = ["learning_rate"];
export const BETWEEN = HYPERPARAMETER_NAMES.filter((n) => !OUTERMOST.includes(n) && !INNERMOST.includes(n));

interface DimensionSize {
  names: readonly AxisName[];
  points: number;
}

export interface AxesSize {
  grids: readonly (readonly DimensionSize[])[];
  points: number;
  values: number;
}

export function sizeOf(axes: Axes): AxesSize {
  const grids = gridsOf(axes).map(({ grid }) => dimensionSizes(grid));
  const sum = (of: (grid: readonly DimensionSize[]) => number) => grids.reduce((n, grid) => n + of(grid), 0);
  return {
    grids,
    points: sum((grid) => grid.reduce((n, { points }) => n * points, 1)),
    values: sum((grid) => grid.reduce((n, { names, points }) => n + names.length * points, 0)),
  };
}

function dimensionSizes(grid: GridFile): DimensionSize[] {
  const { together: rows, random } = grid;
  const axes = (names: readonly HyperparameterName[]) =>
    names
      .filter((name) => grid[name] !== undefined)
      .map((name) => ({ names: [name], points: axisLength(grid[name], name as TakenName) }));
  const tied = rows && { names: namesInRows(rows), points: rows.length };
  const own = Object.entries(grid.settings ?? {}).map(([key, axis]) => ({
    names: [`settings.${key}` as const],
    points: axisLength(axis),
  }));
  const drawn = random && {
    names: HYPERPARAMETER_NAMES.filter((name) => random.distributions[name] !== undefined),
    points: random.n,
  };
  return [
    ...axes(OUTERMOST),
    ...(tied ? [tied] : []),
    ...(drawn ? [drawn] : []),
    ...axes(BETWEEN),
    ...own,
    ...axes(INNERMOST),
  ];
}

export type TiedRow = NonNullable<GridFile["together"]>[number];

/** What the rows set, each name once. */
export const namesInRows = (rows: readonly TiedRow[]): AxisName[] => [
  ...HYPERPARAMETER_NAMES.filter((name) => rows.some((row) => name in row)),
  ...new Set(
    rows.flatMap(({ settings = {} }) => Object.keys(settings).map((key) => `settings.${key}` as const)),
  ),
];

/** @param name of what may be taken from another phase */
function axisLength(
  axis: GridFile[HyperparameterName] | Setting | Setting[] | Range,
  name?: TakenName,
): number {
  if (axis === undefined || axis === null || typeof axis !== "object") return 1;
  if (Array.isArray(axis)) return axis.length;
  if ("from" in axis) return multiplesOf(name!, axis as Taken).length;
  // A range with a mistake is told where it is read.
  return rangeMistake(axis) === null ? rangeLength(axis) : 1;
}

/**
 * What is wrong with the size of some axes, or null.
 * @param all with what the rest of the sweep has
 */
export function sizeMistake(own: AxesSize, all: Pick<AxesSize, "points" | "values"> = own): string | null {
  const rest = (n: number, total: number) => (total > n ? `, ${total} in all` : "");
  const sizes = () =>
    own.grids
      .slice(0, 3)
      .map((grid) => grid.map(({ names, points }) => `${names.join("+")} ${points}`).join(" × "))
      .join("; ") + (own.grids.length > 3 ? `; and ${own.grids.length - 3} more grids` : "");
  if (all.points > MAX_POINTS)
    return `${own.points} points (${sizes()})${rest(own.points, all.points)}; expected at most ${MAX_POINTS} in one sweep`;
  if (all.values > MAX_VALUES)
    return `${own.values} values of axes (${sizes()})${rest(own.values, all.values)}; expected at most ${MAX_VALUES} in one sweep`;
  return null;
}
