/**
 * From the file's axes to grids: a grid is a list of dimensions, a dimension a list of points, a point an assignment of
 * values to one hyperparameter (an axis), or to several (a tied row, a random draw). The sweep is the union over grids of the
 * products of their dimensions.
 */
import type { Axes, GridFile } from "../../schema/sweep/axes.ts";
import {
  type AxisName,
  HYPERPARAMETER_NAMES,
  HYPERPARAMETERS,
  type HyperparameterName,
  type Hyperparameters,
  isSettingName,
  type SettingName,
  type TakenName,
} from "../../schema/sweep/hyperparameters.ts";
import type { Setting } from "../../schema/wire/plan.ts";
import { complement } from "../parameterization/settings.ts";
import { explainIssues } from "./explain-issues.ts";
import {
  BETWEEN,
  INNERMOST,
  namesInRows,
  OUTERMOST,
  sizeMistake,
  sizeOf,
  type TiedRow,
} from "./grid-sizes.ts";
import { exponentsMeant } from "./habits.ts";
import type { Finding, Path } from "./problems.ts";
import { gridsOf, multiplesOf } from "./taken-axes.ts";
import { type Distribution, draw, rangeValues } from "./values.ts";

export type Values = { [K in HyperparameterName]?: Hyperparameters[K] | undefined } & {
  [K in SettingName]?: Setting | undefined;
};

export interface Point {
  values: Values;
  /** Where in the file each value stands. Points that are drawn at random have the same ones, in the same object. */
  paths: { [K in AxisName]?: Path };
}

export interface Dimension {
  names: readonly AxisName[];
  /** Without duplicates. */
  points: readonly Point[];
  /** How many were declared. */
  declared: number;
}

export interface Grid {
  path: Path;
  dimensions: readonly Dimension[];
}

interface Read {
  grids: readonly Grid[];
  findings: readonly Finding[];
}

/** What was read stays as long as the axes do: a phase is checked, counted and expanded from one reading. */
const known = new WeakMap<Axes, Read>();

/** The grids that axes describe; none where they would be too large, which the findings then say. */
export function readGrids(axes: Axes): Read {
  const before = known.get(axes);
  if (before !== undefined) return before;
  const tooLarge = sizeMistake(sizeOf(axes));
  const findings: Finding[] = tooLarge === null ? [] : [{ path: ["axes"], atKey: true, message: tooLarge }];
  const grids =
    tooLarge === null
      ? gridsOf(axes).map(({ grid, path }) => ({ path, dimensions: dimensionsOf(grid, path, findings) }))
      : [];
  const read = { grids, findings };
  known.set(axes, read);
  return read;
}

function dimensionsOf(grid: GridFile, path: Path, findings: Finding[]): Dimension[] {
  const axes = (names: readonly HyperparameterName[]) =>
    names.flatMap((name) => axisDimension(grid, name, [...path, name], findings));
  return [
    ...axes(OUTERMOST),
    ...tiedDimension(grid, [...path, "together"], findings),
    ...randomDimension(grid, [...path, "random"], findings),
    ...axes(BETWEEN),
    ...settingDimensions(grid, [...path, "settings"], findings),
    ...axes(INNERMOST),
  ];
}

function settingDimensions(grid: GridFile, path: Path, findings: Finding[]): Dimension[] {
  return Object.entries(grid.settings ?? {}).flatMap(([key, axis]) => {
    const name: SettingName = `settings.${key}`;
    const at = [...path, key];
    if (grid.together?.some(({ settings }) => settings !== undefined && key in settings)) {
      findings.push({ path: at, atKey: true, message: `${name} is also in together; expected in one place` });
      return [];
    }
    if (Array.isArray(axis))
      return [
        dimension(
          [name],
          axis.map((value, i) => pointOf(name, value, [...at, i])),
        ),
      ];
    if (typeof axis !== "object") return [dimension([name], [pointOf(name, axis, at)])];
    const values = rangeValues(axis);
    if (typeof values === "string") {
      findings.push({ path: at, message: `the range ${values}` });
      return [];
    }
    const meant = exponentsMeant(name, axis, false);
    if (meant !== null) findings.push({ path: at, message: meant });
    return [
      dimension(
        [name],
        values.map((value) => pointOf(name, value, at)),
      ),
    ];
  });
}

function axisDimension(
  grid: GridFile,
  name: HyperparameterName,
  path: Path,
  findings: Finding[],
): Dimension[] {
  const axis = grid[name];
  if (axis === undefined) return [];
  const owner = grid.together?.some((row) => name in row)
    ? "together"
    : grid.random !== undefined && name in grid.random.distributions
      ? "random"
      : null;
  if (owner !== null) {
    findings.push({ path, atKey: true, message: `${name} is also in ${owner}; expected in one place` });
    return [];
  }
  if (axis === null || typeof axis !== "object") return [dimension([name], [pointOf(name, axis, path)])];
  if (Array.isArray(axis))
    return [
      dimension(
        [name],
        axis.map((value, i) => pointOf(name, value, [...path, i])),
      ),
    ];
  if ("from" in axis) {
    // Known when the earlier phase is decided. Until then the multiples stand in, so that points can be counted and checked.
    const values = multiplesOf(name as TakenName, axis);
    return [
      dimension(
        [name],
        values.map((value, i) =>
          pointOf(name, value, axis.multiples === undefined ? path : [...path, "multiples", i]),
        ),
      ),
    ];
  }
  const values = rangeValues(axis);
  if (typeof values === "string") {
    findings.push({ path, message: `the range ${values}` });
    return [];
  }
  const invalid = values.find((value) => !HYPERPARAMETERS[name].safeParse(value).success);
  const meant = exponentsMeant(name, axis, invalid !== undefined && invalid === values[0]);
  if (meant !== null) findings.push({ path, message: meant });
  if (invalid !== undefined) {
    const message = `the range has a value that ${name} cannot take: ${why(name, invalid)}`;
    if (meant === null) findings.push({ path, message });
    return [];
  }
  return [
    dimension(
      [name],
      values.map((value) => pointOf(name, value, path)),
    ),
  ];
}

function tiedDimension(grid: GridFile, path: Path, findings: Finding[]): Dimension[] {
  const rows = grid.together;
  if (rows === undefined) return [];
  const names = namesInRows(rows);
  if (names.length === 0) {
    findings.push({ path, message: "the rows are empty; expected such as {width: 768, sparsity: 0.5}" });
    return [];
  }
  const ragged = rows.flatMap((row, i) => {
    const lacking = names.filter((name) => valueInRow(row, name) === undefined);
    return lacking.length === 0
      ? []
      : [
          {
            path: [...path, i],
            message: `the row has no ${lacking.join(", ")}; every row sets the same names`,
          },
        ];
  });
  findings.push(...ragged);
  for (const name of names)
    if (grid.random !== undefined && Object.hasOwn(grid.random.distributions, name))
      findings.push({ path, atKey: true, message: `${name} is also in random; expected in one place` });
  if (ragged.length > 0) return [];
  const points = rows.map((row, i) =>
    joined(names.map((name) => pointOf(name, valueInRow(row, name), [...path, i, ...name.split(".")]))),
  );
  return [dimension(names, points)];
}

function randomDimension(grid: GridFile, path: Path, findings: Finding[]): Dimension[] {
  if (grid.random === undefined) return [];
  const { n, seed, distributions } = grid.random;
  const names = HYPERPARAMETER_NAMES.filter((name) => distributions[name] !== undefined);
  if (names.length === 0) {
    findings.push({ path, atKey: true, message: "no distributions; expected at least one" });
    return [];
  }
  const sound = names.filter((name) => {
    const at = [...path, "distributions", name];
    const message = distributionMistake(name, distributions[name] as Distribution);
    if (message !== null) findings.push({ path: at, message });
    return message === null;
  });
  if (sound.length < names.length) return [];
  const drawn = names.map((name) => ({ name, distribution: distributions[name] as Distribution }));
  const { paths } = joined(names.map((name) => pointOf(name, undefined, [...path, "distributions", name])));
  const points = Array.from({ length: n }, (_, i) => {
    const values: Record<string, unknown> = {};
    for (const { name, distribution } of drawn) set(values, name, draw(distribution, seed, name, i));
    return { values: values as Values, paths };
  });
  return [dimension(names, points)];
}

function distributionMistake(name: HyperparameterName, distribution: Distribution): string | null {
  if ("choice" in distribution) return null;
  const { from, to } = "uniform" in distribution ? distribution.uniform : distribution.log_uniform;
  if (to <= from) return `the distribution is empty: it goes from ${from} to ${to}; expected from < to`;
  const invalid = [from, to].find((value) => !HYPERPARAMETERS[name].safeParse(value).success);
  return invalid === undefined ? null : `a value that ${name} cannot take: ${why(name, invalid)}`;
}

function why(name: HyperparameterName, value: unknown): string {
  const { error } = HYPERPARAMETERS[name].safeParse(value);
  return explainIssues(HYPERPARAMETERS[name], value, error?.issues ?? [])
    .map((e) => e.message)
    .join("; ");
}

const valueInRow = (row: TiedRow, name: AxisName): unknown =>
  isSettingName(name) ? row.settings?.[name.slice("settings.".length)] : row[name];

const pointOf = (name: AxisName, value: unknown, path: Path): Point => {
  const values: Record<string, unknown> = {};
  set(values, name, value);
  return { values: values as Values, paths: { [name === "density" ? "sparsity" : name]: path } };
};

/** Density is the same quantity as sparsity: from here on there is only sparsity. */
function set(values: Record<string, unknown>, name: AxisName, value: unknown): void {
  if (name === "density") values.sparsity = complement(value as number);
  else values[name] = value;
}

const joined = (points: Point[]): Point => ({
  values: Object.assign({}, ...points.map((p) => p.values)),
  paths: Object.assign({}, ...points.map((p) => p.paths)),
});

function dimension(given: readonly AxisName[], points: Point[]): Dimension {
  const names = given.map((name) => (name === "density" ? "sparsity" : name));
  return { names, points: [...distinct(names, points)], declared: points.length };
}

/** The points that differ in their values of these names, the first of each. Values are numbers, words, true, false or null. */
export function distinct(names: readonly AxisName[], points: Iterable<Point>): Iterable<Point> {
  const unique = new Map<unknown, Point>();
  const [only] = names;
  for (const point of points) {
    const { values } = point;
    const key = names.length === 1 ? values[only!] : JSON.stringify(names.map((name) => values[name]));
    if (!unique.has(key)) unique.set(key, point);
  }
  return unique.values();
}
