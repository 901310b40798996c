/**
 * From the file's axes to grids: a grid is a list of dimensions, a dimension a list of points, a point an assignment of
 * values to one hyperparameter (an axis), or to several (a tied row, a random draw). The sweep is the union over grids of the
 * products of their dimensions.
 */
import type { Axes, GridFile, TakenName } from "../../schema/axes.ts";
import {
  HYPERPARAMETER_NAMES,
  HYPERPARAMETERS,
  type HyperparameterName,
  type Hyperparameters,
} from "../../schema/hyperparameters.ts";
import { canonicalJson } from "../../schema/plan.ts";
import { complement } from "../parameterization/settings.ts";
import { explainIssues } from "./explain-issues.ts";
import type { Finding, Path } from "./problems.ts";
import { multiplesOf } from "./taken-axes.ts";
import { type Distribution, draw, rangeValues } from "./values.ts";

export type Values = { [K in HyperparameterName]?: Hyperparameters[K] | undefined };

export interface Point {
  values: Values;
  /** Where in the file each value stands. */
  paths: { [K in HyperparameterName]?: Path };
}

export interface Dimension {
  names: readonly HyperparameterName[];
  /** Without duplicates. */
  points: readonly Point[];
  /** How many were declared. */
  declared: number;
}

export interface Grid {
  path: Path;
  dimensions: readonly Dimension[];
}

/**
 * Outermost first: seeds, so that every curve has a first version before any has a second; learning rates last, so that
 * one curve's points are neighbours in the queue.
 */
const OUTERMOST: readonly HyperparameterName[] = ["seed", "parameterization"];
const INNERMOST: readonly HyperparameterName[] = ["learning_rate"];

export function readGrids(axes: Axes): { grids: Grid[]; findings: Finding[] } {
  const findings: Finding[] = [];
  const files: { file: GridFile; path: Path }[] = Array.isArray(axes)
    ? axes.map((file, i) => ({ file, path: ["axes", i] }))
    : [{ file: axes, path: ["axes"] }];
  const grids = files.map(({ file, path }) => ({ path, dimensions: dimensionsOf(file, path, findings) }));
  return { grids, findings };
}

function dimensionsOf(grid: GridFile, path: Path, findings: Finding[]): Dimension[] {
  const middle = HYPERPARAMETER_NAMES.filter((n) => !OUTERMOST.includes(n) && !INNERMOST.includes(n));
  const axes = (names: readonly HyperparameterName[]) =>
    names.flatMap((name) => axisDimension(grid, name, [...path, name], findings));
  return [
    ...axes(OUTERMOST),
    ...tiedDimension(grid, [...path, "together"], findings),
    ...randomDimension(grid, [...path, "random"], findings),
    ...axes(middle),
    ...axes(INNERMOST),
  ];
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
  if (invalid !== undefined) {
    findings.push({ path, message: `the range has a value that ${name} cannot take: ${why(name, invalid)}` });
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
  const names = HYPERPARAMETER_NAMES.filter((name) => rows.some((row) => name in row));
  if (names.length === 0) {
    findings.push({ path, message: "the rows are empty; expected such as {width: 768, sparsity: 0.5}" });
    return [];
  }
  const ragged = rows.flatMap((row, i) => {
    const lacking = names.filter((name) => !(name in row));
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
    if (grid.random !== undefined && name in grid.random.distributions)
      findings.push({ path, atKey: true, message: `${name} is also in random; expected in one place` });
  if (ragged.length > 0) return [];
  const points = rows.map((row, i) =>
    joined(names.map((name) => pointOf(name, row[name], [...path, i, name]))),
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
  const points = Array.from({ length: n }, (_, i) =>
    joined(
      names.map((name) => {
        const value = draw(distributions[name] as Distribution, seed, name, i);
        return pointOf(name, value, [...path, "distributions", name]);
      }),
    ),
  );
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

/** Density is the same quantity as sparsity: from here on there is only sparsity. */
function pointOf(name: HyperparameterName, value: unknown, path: Path): Point {
  return name === "density"
    ? { values: { sparsity: complement(value as number) }, paths: { sparsity: path } }
    : { values: { [name]: value } as Values, paths: { [name]: path } };
}

const joined = (points: Point[]): Point => ({
  values: Object.assign({}, ...points.map((p) => p.values)),
  paths: Object.assign({}, ...points.map((p) => p.paths)),
});

function dimension(names: readonly HyperparameterName[], points: Point[]): Dimension {
  const unique = new Map<string, Point>();
  for (const point of points) {
    const key = canonicalJson(point.values);
    if (!unique.has(key)) unique.set(key, point);
  }
  return {
    names: names.map((name) => (name === "density" ? "sparsity" : name)),
    points: [...unique.values()],
    declared: points.length,
  };
}
