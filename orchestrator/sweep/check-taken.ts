/**
 * The rules on what a phase takes from an earlier one: that there is such a phase, that it varies what is taken, and that
 * `at` names what it is taken from.
 */
import type { AxisName } from "../../schema/sweep/hyperparameters.ts";
import type { Phase } from "../../schema/sweep/sweep.ts";
import { complement } from "../parameterization/settings.ts";
import { type Allowance, combinations, product } from "./combinations.ts";
import { type Coordinates, coordinateNames, coordinatesReader, ofCurve, tunedOf } from "./expand-sweep.ts";
import { type Grid, readGrids, type Values } from "./grids.ts";
import { didYouMean, type Finding } from "./problems.ts";
import { decidedBy, settingsReader } from "./settings-of.ts";
import { isRandomSearch, type TakenAxis, takenAxes } from "./taken-axes.ts";

/** Where a phase takes from one of many curves, this many are counted. */
const MAX_MATCHES = 1000;

/** @param earlier the phases before this one; all: every phase of the file. Paths are within the phase. */
export function checkTaken(
  phase: Phase,
  earlier: readonly Phase[],
  all: readonly Phase[],
  allowance: Allowance,
): Finding[] {
  return takenAxes(phase.axes).flatMap((axis) => {
    const source = earlier.find((p) => p.name === axis.taken.from);
    if (source === undefined)
      return [
        { path: [...axis.path, "from"], message: noSuchPhase(axis.taken.from, phase.name, earlier, all) },
      ];
    if (axis.parameterizations.length === 0)
      return [
        {
          path: axis.path,
          atKey: true,
          message: `is taken per parameterization; expected parameterization as an axis of the same grid`,
        },
      ];
    return checkSource(axis, source, allowance);
  });
}

function noSuchPhase(from: string, self: string, earlier: readonly Phase[], all: readonly Phase[]): string {
  const names = earlier.map((p) => p.name);
  const what =
    from === self
      ? `phase "${from}" would take from itself`
      : all.some((p) => p.name === from)
        ? `phase "${from}" comes later`
        : `there is no phase "${from}"`;
  if (names.length === 0) return `${what}; expected an earlier phase, and this is the first`;
  return `${what}${didYouMean(from, names) || `; expected an earlier phase: ${names.join(", ")}`}`;
}

/** What tells the curves of a phase apart, as far as it is known before the phase has taken values itself. */
function knownNames(source: Phase, grids: readonly Grid[]): AxisName[] {
  const unknown = new Set<string>([tunedOf(source), "seed", ...takenAxes(source.axes).map((a) => a.name)]);
  return coordinateNames(grids).filter((name) => !unknown.has(name));
}

function checkSource(
  { name, path, taken, parameterizations }: TakenAxis,
  source: Phase,
  allowance: Allowance,
): Finding[] {
  const quoted = `phase "${source.name}"`;
  const { grids } = readGrids(source.axes);
  const varied = new Set(grids.flatMap((grid) => grid.dimensions.flatMap((d) => d.names)));
  if (!varied.has(name))
    return [
      {
        path: [...path, "from"],
        message: `${quoted} does not vary ${name}; expected an axis over it there`,
      },
    ];
  const known = knownNames(source, grids);
  const at = conditions(taken.at);
  const strange = Object.keys(at).filter((key) => !known.some((name) => name === key));
  if (strange.length > 0)
    return strange.map((key) => ({
      path: [...path, "at", ...asWritten(key, taken)],
      atKey: true,
      message: `${quoted} does not vary ${key}${didYouMean(key, known) || `; expected among ${known.join(", ")}`}`,
    }));
  const curves = curvesOf(source, grids, allowance);
  for (const [key, value] of Object.entries(at) as [AxisName, unknown][]) {
    const values = curves.valuesOf(key);
    if (values.has(value)) continue;
    return [
      {
        path: [...path, "at", ...asWritten(key, taken)],
        message: `matches no curve of ${quoted}, whose ${key} is ${firstOf([...values])}`,
      },
    ];
  }
  return [...new Set(parameterizations.map((p) => at.parameterization ?? p))].flatMap(
    (parameterization): Finding[] => {
      if (!curves.valuesOf("parameterization").has(parameterization))
        return [
          {
            path: [...path, "from"],
            message: `${quoted} has no ${parameterization}; expected in its axes, or at: {parameterization: …} to take from another`,
          },
        ];
      const found = curves.matching({ ...at, parameterization });
      if (found.length === 0)
        return [{ path: [...path, "at"], message: `matches no ${parameterization} curve of ${quoted}` }];
      if (name !== tunedOf(source) || isRandomSearch(source.axes) || found.length === 1) return [];
      const differing = known.filter((key) => new Set(found.map((curve) => curve[key])).size > 1);
      const count = found.length === MAX_MATCHES ? `${MAX_MATCHES} or more` : found.length;
      return [
        {
          path,
          atKey: true,
          message: `matches ${count} ${parameterization} curves of ${quoted}; expected at: {…} to choose one by ${differing.join(", ") || "what is not known before it is trained"}`,
        },
      ];
    },
  );
}

const firstOf = (values: readonly unknown[]): string =>
  `${values.slice(0, 20).join(", ")}${values.length > 20 ? ` and ${values.length - 20} more` : ""}`;

/** Where `at` has a coordinate. */
const asWritten = (key: string, { at }: TakenAxis["taken"]): string[] =>
  key === "sparsity" && !("sparsity" in at) ? ["density"] : key.split(".");

/** `at` in terms of coordinates, where density is sparsity, and settings stand beside the others. */
export function conditions(at: TakenAxis["taken"]["at"]): Partial<Coordinates> {
  const { density, settings = {}, ...rest } = at;
  const own = Object.entries(settings).map(([name, value]) => [`settings.${name}`, value]);
  return {
    ...(density === undefined ? {} : { sparsity: complement(density) }),
    ...rest,
    ...Object.fromEntries(own),
  } as Partial<Coordinates>;
}

export const matches = (coordinates: Partial<Coordinates>, wanted: Partial<Coordinates>): boolean =>
  Object.entries(wanted).every(
    ([name, value]) => value === undefined || value === coordinates[name as keyof Coordinates],
  );

type Curve = Partial<Coordinates>;

/** The curves of a phase, of which there may be a million: looked at no further than a question needs. */
function curvesOf(source: Phase, grids: readonly Grid[], allowance: Allowance) {
  const settings = settingsReader(source);
  const tuned = tunedOf(source);
  const coordinatesAt = coordinatesReader(grids);
  const curveAt = (values: Values): Curve => ofCurve(coordinatesAt(settings, values), tuned);
  const seen = new Map<AxisName, ReadonlySet<unknown>>();
  return {
    /** Every value of a coordinate on any curve. */
    valuesOf(name: AxisName): ReadonlySet<unknown> {
      const before = seen.get(name);
      if (before !== undefined) return before;
      const values = new Set<unknown>();
      for (const grid of grids)
        for (const point of combinations(grid, new Set(decidedBy(name)), allowance))
          values.add(curveAt(point.values)[name]);
      seen.set(name, values);
      return values;
    },
    /** The distinct curves with these coordinates, as many as are worth counting. */
    matching(wanted: Curve): Curve[] {
      const found = new Map<string, Curve>();
      for (const grid of grids) {
        const dimensions = grid.dimensions
          .filter((d) => d.names.length > 1 || (d.names[0] !== "seed" && d.names[0] !== tuned))
          .map((d) => ({ ...d, points: d.points.filter(({ values }) => agrees(values, wanted)) }));
        for (const { values } of product(dimensions)) {
          allowance.spend();
          const curve = curveAt(values);
          if (matches(curve, wanted)) found.set(JSON.stringify(curve), curve);
          if (found.size === MAX_MATCHES) return [...found.values()];
        }
      }
      return [...found.values()];
    },
  };
}

/** Whether none of the values is another than the wanted one. */
const agrees = (values: Values, wanted: Curve): boolean =>
  Object.entries(values).every(([name, value]) => {
    const expected = wanted[name as AxisName];
    return expected === undefined || expected === value;
  });
