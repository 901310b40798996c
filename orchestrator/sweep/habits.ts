/** Values as people write them who come from another tool, and how they are written here: added to the message that refuses them. */
import { axisShape, type Range, rangeSchema } from "../../schema/sweep/axes.ts";
import {
  type AxisName,
  HYPERPARAMETER_NAMES,
  HYPERPARAMETERS,
  type HyperparameterName,
  homeOf,
  isSettingName,
  TABLE,
} from "../../schema/sweep/hyperparameters.ts";
import {
  decades,
  type Grid,
  type Meant,
  meaningOf,
  octaves,
  scalarMeant,
  stepped,
} from "./foreign-values.ts";
import { excerpt, type Path, quoted } from "./problems.ts";
import { rangeLength, rangeMistake, rangeValues } from "./values.ts";

/**
 * How a single value is written here that is written otherwise, or in quotes, or without those that it needs.
 * @param takes whether a value is one for this place
 */
export function scalarInstead(value: unknown, path: Path, takes: (value: unknown) => boolean): string {
  if (typeof value === "number" && Number.isInteger(value) && value < -1 && takes(`2^${value}`))
    return `; if an exponent is meant, write 2^${value}`;
  if (typeof value === "number" || typeof value === "boolean")
    return takes(String(value)) ? `; write it in quotes: "${value}"` : "";
  if (typeof value !== "string") return "";
  const text = value.trim();
  if (/^[^[]+]$/.test(text)) return '; a "[" is missing';
  const meant = scalarMeant(text);
  if (meant === undefined || !takes(meant)) return "";
  const number = typeof meant === "number" ? meant : Number.NaN;
  const log = EXPONENT_AT[path.slice(-2).join(".")];
  if (log !== undefined && number > 0 && /[*^/e]/.test(text))
    return `; from and to are exponents: write ${Number(log(number).toPrecision(6))}`;
  if (String(meant) === text || Number(text) === meant) return `; write it without quotes: ${text}`;
  const power = `2^${Math.log2(number)}`;
  const isPower = /[*^/]/.test(text) && Number.isInteger(Math.log2(number)) && takes(power);
  return `; write ${isPower ? power : meant}`;
}

const EXPONENT_AT: Record<string, (value: number) => number> = {
  "log2.from": Math.log2,
  "log2.to": Math.log2,
  "log10.from": Math.log10,
  "log10.to": Math.log10,
};

/** Where a value stands that another tool would write so. */
interface Place {
  /** axis: a value of a grid; draw: of a random search; section: where one value is for all runs. */
  kind: "axis" | "draw" | "section";
  name: AxisName;
}

/** Axes of a coordinate check; all else in it has one value. */
const CHECKED = ["parameterization", "width", "sparsity", "density", "layers"];

/** @returns null where nobody would write a range or a list */
export function placeOf(path: Path): Place | null {
  const inPhase = path[0] === "phases" ? path.slice(2) : path;
  if (inPhase[0] === "coordinate_check" && !CHECKED.includes(String(inPhase[1]))) return null;
  if (inPhase[0] === "axes" || inPhase[0] === "coordinate_check") {
    // Of a list of grids, which.
    const rest = inPhase.slice(typeof inPhase[1] === "number" ? 2 : 1);
    const isDraw = rest[0] === "random" && rest[1] === "distributions";
    const [first, second, ...others] = isDraw ? rest.slice(2) : rest;
    if (first === "settings" && second !== undefined && others.length === 0 && !isDraw)
      return { kind: "axis", name: `settings.${second}` };
    return isName(first) && second === undefined ? { kind: isDraw ? "draw" : "axis", name: first } : null;
  }
  if (path.length === 2 && path[0] === "settings") return { kind: "section", name: `settings.${path[1]}` };
  const name = HYPERPARAMETER_NAMES.find((of) => homeOf(of)?.join(".") === inPhase.join("."));
  return name === undefined ? null : { kind: "section", name };
}

const isName = (name: unknown): name is HyperparameterName => Object.hasOwn(TABLE, String(name));

/**
 * The outermost value on the way to a mistake that is written as another tool writes it: what is wrong inside follows from that.
 * @param at where `value` stands in the file
 */
export function foreignValue(value: unknown, at: Path, way: Path): { depth: number; hint: string } | null {
  let inner = value;
  for (let depth = 0; ; depth++) {
    const hint = insteadOf(inner, [...at, ...way.slice(0, depth)]);
    if (hint !== "") return { depth, hint };
    const part = way[depth];
    if (part === undefined || inner === null || typeof inner !== "object") return null;
    inner = (inner as Record<string | number, unknown>)[part];
  }
}

/**
 * How the value is written here that another tool writes so (foreign-values.ts). Whatever is suggested is valid in its place.
 * @returns empty for what is no tool's habit
 */
export function insteadOf(value: unknown, path: Path): string {
  const place = placeOf(path);
  if (place === null || (place.kind === "draw" && isDistribution(value))) return "";
  const { kind, name } = place;
  if (kind === "section" && isMap(value) && takes(name, value)) return underAxes(name, inYaml(value));
  if (kind === "axis" && name === "seed") return seedsInstead(value);
  const meant: Meant | null =
    kind === "section" && Array.isArray(value) ? { kind: "list", values: value } : meaningOf(value);
  if (meant === null) return "";
  switch (meant.kind) {
    case "list": {
      if (!meant.values.every(isPlain)) return "";
      const values = meant.values.map((one) => asTaken(name, one));
      if (values.includes(undefined)) return "; several values are a list, in brackets";
      if (kind === "draw") return `; write the list under choice: {choice: ${listed(values)}}`;
      if (kind === "section") return underAxes(name, listed(values));
      return typeof value === "string"
        ? `; several values are a list: ${listed(values)}`
        : `; write the list itself: ${listed(values)}`;
    }
    case "value": {
      const one = asTaken(name, meant.value);
      if (one === undefined) return "; write the value itself";
      if (kind === "draw") return `; write the value under choice: {choice: ${listed([one])}}`;
      return `; write the value itself: ${inYaml(one)}`;
    }
    case "grid": {
      const grid = takes(name, meant.grid) ? inYaml(meant.grid) : null;
      if (grid === null) return `; ${RANGES}`;
      if (kind === "draw") return `; a grid stands under axes, outside random: ${name}: ${grid}`;
      return kind === "section" ? underAxes(name, grid) : `; a grid is ${grid}`;
    }
    case "between": {
      const grid = gridBetween(name, meant);
      const drawn = drawnBetween(name, meant, grid);
      if (kind === "draw") return drawn === null ? "" : `; write ${inYaml(drawn)}`;
      const said = [
        ...(grid === null ? [] : [`a grid is ${inYaml(grid)}`]),
        // A check has no random part.
        ...(drawn === null || path.includes("coordinate_check")
          ? []
          : [`random draws are ${inYaml(drawn)} under random.distributions`]),
      ];
      if (said.length === 0) return `; ${RANGES}`;
      return kind === "section"
        ? `; several values stand under axes: ${said.join("; ")}`
        : `; ${said.join("; ")}`;
    }
    case "range":
      return kind === "section" ? `; several values stand under axes, as ${name}` : `; ${RANGES}`;
  }
}

/** Of seeds nobody cares which they are, but how many. */
function seedsInstead(value: unknown): string {
  // Ranges of our own, which are none of seeds, and {n: 3}.
  const [[key, inner] = ["", null], ...others] = isMap(value) ? Object.entries(value) : [];
  const grid: Meant | null = rangeSchema.safeParse(value).success
    ? { kind: "grid", grid: value as Grid }
    : null;
  const number: Meant | null =
    typeof inner === "number" && others.length === 0 && !["count", "first"].includes(key)
      ? { kind: "between", from: 1, to: inner, isLog: false }
      : null;
  const meant = grid ?? meaningOf(value) ?? number;
  if (meant === null) return "";
  const isSeed = (one: unknown): boolean => HYPERPARAMETERS.seed.safeParse(one).success;
  if (meant.kind === "list" || meant.kind === "value") {
    const values = (meant.kind === "list" ? meant.values : [meant.value]).map((one) => asTaken("seed", one));
    return values.every(isSeed) ? `; write a list: ${listed(values)}` : `; ${SEEDS}`;
  }
  const ends: Ends | undefined =
    meant.kind === "between" ? meant : meant.kind === "grid" ? (meant.grid.linear as Ends) : undefined;
  if (ends === undefined) return `; ${SEEDS}`;
  // The upper end of these does not belong to them.
  const isOpen = typeof value === "string" && /rand(int|range)/.test(value);
  const count = Math.floor((ends.to - ends.from) / (ends.step ?? 1)) + (isOpen ? 0 : 1);
  const seeds = { count, ...(ends.from <= 1 ? {} : { first: ends.from }) };
  return axisShape.seed.safeParse(seeds).success ? `; write ${inYaml(seeds)}` : `; ${SEEDS}`;
}

interface Ends {
  from: number;
  to: number;
  step?: number;
}

const SEEDS = "write {count: 3} for three seeds";

/** A value as this hyperparameter takes it; undefined: it takes none like it. */
function asTaken(name: AxisName, value: unknown): unknown {
  const takes = (one: unknown): boolean =>
    isSettingName(name) || HYPERPARAMETERS[name].safeParse(one).success;
  if (takes(value)) return value;
  const meant = typeof value === "string" ? scalarMeant(value) : undefined;
  return takes(meant) ? meant : undefined;
}

/** What may stand in a list of values at all. */
const isPlain = (value: unknown): boolean =>
  typeof value === "string" || typeof value === "boolean" || Number.isFinite(value);

export const isMap = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === "object" && !Array.isArray(value);

/** As it is written here. */
const isDistribution = (value: unknown): boolean =>
  isMap(value) &&
  Object.entries(value).some(
    ([key, inner]) =>
      (key === "choice" && Array.isArray(inner)) ||
      (/^(log_)?uniform$/.test(key) &&
        inner !== null &&
        typeof inner === "object" &&
        ("from" in inner || "to" in inner)),
  );

const underAxes = (name: AxisName, values: string): string =>
  `; several values stand under axes: ${name}: ${values}`;

const RANGES =
  "a grid is {log2: {from: -9, to: -5}}, {log10: {from: -4, to: -2}} or {linear: {from: 0, to: 1, step: 0.25}}; random draws stand under random";

type Between = Extract<Meant, { kind: "between" }>;

/** A range over so many decades is not meant in even steps. */
const isWide = ({ from, to, isLog }: Between): boolean => isLog || (from > 0 && to >= 10 * from);

/** Of another tool's bounds: as many values as it says, else the octaves around them, else five even steps. */
function gridBetween(name: AxisName, bounds: Between): Grid | null {
  const { from, to, count, step: own } = bounds;
  const step = Number(((to - from) / 4).toPrecision(6));
  const [first, last] = [from, to].map((end) => Number(Math.log10(end).toPrecision(6))) as [number, number];
  const counted: Grid | null =
    count === undefined
      ? null
      : isWide(bounds)
        ? { log10: stepped(first, last, false, undefined, count) }
        : { linear: stepped(from, to, true, undefined, count) };
  const grids: Grid[] = [
    ...(own === undefined || bounds.isLog ? [] : [{ linear: { from, to, step: own } }]),
    ...(counted === null ? [] : [counted]),
    ...(from > 0 ? [{ log2: octaves(from, to) }] : []),
    // Nobody has rates below 0.
    ...(to <= 0 ? [{ log2: { from, to } }] : []),
    { linear: { from, to, step } },
    { linear: { from: Math.ceil(from), to: Math.floor(to), step: Math.max(1, Math.round(step)) } },
  ];
  return grids.find((grid) => takes(name, grid)) ?? null;
}

function drawnBetween(name: AxisName, { from, to, isLog }: Between, grid: Grid | null): Grid | null {
  if (isSettingName(name)) return null;
  if (TABLE[name].drawn === "list") {
    const values = grid === null ? [] : rangeValues(rangeSchema.parse(grid));
    return Array.isArray(values) && values.length > 0 && values.length <= 8 ? { choice: values } : null;
  }
  const isTaken = [from, to].every((value) => HYPERPARAMETERS[name].safeParse(value).success);
  return isTaken ? { [isLog ? "log_uniform" : "uniform"]: { from, to } } : null;
}

/** Nobody wants more suggested, and each value is looked at. */
const LONGEST_GRID = 1000;

/** Whether a grid is one for this hyperparameter, down to each of its values. */
function takes(name: AxisName, grid: Grid): boolean {
  const range = rangeSchema.safeParse(grid);
  if (!range.success || (!isSettingName(name) && !["numbers", "tuned"].includes(TABLE[name].axis)))
    return false;
  if (rangeMistake(range.data) !== null || rangeLength(range.data) > LONGEST_GRID) return false;
  if (exponentsMeant(name, range.data, false) !== null) return false;
  const values = rangeValues(range.data) as number[];
  return isSettingName(name) || values.every((value) => HYPERPARAMETERS[name].safeParse(value).success);
}

const EXPONENTS = { log2: octaves, log10: decades };

/**
 * Of a range with values where exponents stand, {log10: {from: 1e-4, to: 1e-2}}: how it is written here.
 * @param isRefused whether the hyperparameter cannot take even the first value of the range
 * @returns null for a range that is as it should be
 */
export function exponentsMeant(name: AxisName, range: Range, isRefused: boolean): string | null {
  if ("linear" in range || "count" in range) return null;
  const [key, { from, to }] =
    "log10" in range ? (["log10", range.log10] as const) : (["log2", range.log2] as const);
  const isValue = (end: number): boolean =>
    end > 0 && (isSettingName(name) || HYPERPARAMETERS[name].safeParse(end).success);
  if (isRefused ? !isValue(from) || !isValue(to) : !areValues(from, to, range)) return null;
  const ends = EXPONENTS[key](from, to);
  const meant = { ...("multiples_of" in range ? { multiples_of: range.multiples_of } : {}), [key]: ends };
  const base = key.slice("log".length);
  const written = takes(name, meant) ? `; write ${inYaml(meant)}` : "";
  return `from and to are exponents: the range begins at ${base}^${from} and ends at ${base}^${to}${written}`;
}

/** Exponents between 0 and 1 that nobody means: neither is whole, or there is one alone. */
function areValues(from: number, to: number, range: Range): boolean {
  if (!(from > 0 && from <= to && to <= 1) || from === 1) return false;
  return to < 1 || rangeLength(range) === 1;
}

/** A few values as a list is written. */
const listed = (values: readonly unknown[]): string =>
  `[${excerpt(values.slice(0, 4).map(inYaml).join(", "))}${values.length > 4 ? ", …" : ""}]`;

/** In one line, with no more quotes than YAML wants. */
export function inYaml(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(inYaml).join(", ")}]`;
  if (value !== null && typeof value === "object")
    return `{${Object.entries(value)
      .map(([key, inner]) => `${key}: ${inYaml(inner)}`)
      .join(", ")}}`;
  const text = String(value);
  return typeof value !== "string" || /^[A-Za-z0-9_.+^-]+%?$/.test(text) ? text : quoted(text);
}
