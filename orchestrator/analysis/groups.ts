/**
 * Curves side by side: those of a phase that differ along one axis alone, the first of them the base of the others. A
 * coordinate that follows from the parameterization and the axis, such as the width in an iso-parameter sweep, moves with
 * the axis and tells no groups apart. Verdicts, refinement, figures and recommendations all group by this one rule.
 */
import { AXES, type Axis } from "../../schema/database/states.ts";

export type { Axis };

/** Every axis of a curve by name, learning rate and seed left out: what its key says. */
export type CurveCoordinates = {
  parameterization: string;
  width: number;
  layers: number;
  sparsity: number;
  [name: string]: unknown;
};

/** The coordinate that an axis moves; density and sparsity are one quantity. */
export const coordinateOf = (axis: Axis): string => (axis === "density" ? "sparsity" : axis);

/** Where a curve stands along an axis. */
export const valueAlong = (axis: Axis, coordinates: CurveCoordinates): number =>
  axis === "density" ? 1 - coordinates.sparsity : Number(coordinates[axis]);

/** After density, width and layers: what theory speaks of, then the others by name. */
const RANKED: readonly string[] = [...AXES, "tokens", "steps", "batch_size", "sequence_length"];

/** Each once, by rank. */
export function rankAxes(axes: Iterable<Axis>): Axis[] {
  const rank = (axis: Axis): number => (RANKED.indexOf(axis) + RANKED.length + 1) % (RANKED.length + 1);
  return [...new Set(axes)].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

/** Not where it has no such number: of a setting that one grid of several varies, curves of the others have none. */
const isOn = (curve: CurveCoordinates, name: string): boolean => typeof curve[name] === "number";

/** The axes of a phase: density, width and layers, and every other coordinate that is not the same number on all curves that have one. */
export function axesOf(curves: readonly CurveCoordinates[]): Axis[] {
  const others = namesOf(curves).filter(
    (name) =>
      !OWN.has(name) &&
      new Set(curves.filter((curve) => isOn(curve, name)).map((curve) => curve[name])).size > 1,
  );
  return rankAxes([...AXES, ...others]);
}
const OWN = new Set(["parameterization", ...AXES.map(coordinateOf)]);

export type Placed = {
  /** Canonical JSON of its coordinates. */
  curve: string;
  coordinates: CurveCoordinates;
};

export type Group<Curve> = {
  /** The coordinates that its curves share and that tell it from other groups. */
  shared: Record<string, unknown>;
  /** Names of the coordinates that move with the axis. */
  tied: string[];
  members: [Curve, ...Curve[]];
};

export const coordinatesOf = (curve: string): CurveCoordinates => JSON.parse(curve) as CurveCoordinates;

const written = (value: unknown): string => JSON.stringify(value) ?? "";

const namesOf = (curves: readonly CurveCoordinates[]): string[] => [
  ...new Set(curves.flatMap((curve) => Object.keys(curve))),
];

/** Whether a coordinate has one value wherever the others have one. */
export function follows(curves: readonly CurveCoordinates[], name: string, from: readonly string[]): boolean {
  const seen = new Map<string, string>();
  return curves.every((curve) => {
    const key = JSON.stringify(from.map((f) => curve[f]));
    const mine = written(curve[name]);
    const known = seen.get(key);
    seen.set(key, mine);
    return known === undefined || known === mine;
  });
}

/** Names of the coordinates that do not follow from parameterization and axes: what tells groups along them apart. */
export function freeCoordinates(curves: readonly CurveCoordinates[], axes: readonly Axis[]): string[] {
  const own = ["parameterization", ...axes.map(coordinateOf)];
  return namesOf(curves).filter((name) => !own.includes(name) && !follows(curves, name, own));
}

/** Curves alike in some coordinates, in their order. */
export function groupBy<Curve extends Placed>(
  curves: readonly Curve[],
  names: readonly string[],
): Omit<Group<Curve>, "tied">[] {
  const groups = new Map<string, Omit<Group<Curve>, "tied">>();
  for (const curve of curves) {
    const own = curve.coordinates;
    const shared = Object.fromEntries(names.filter((n) => n in own).map((n) => [n, own[n]]));
    const key = JSON.stringify(shared);
    const group = groups.get(key);
    if (group) group.members.push(curve);
    else groups.set(key, { shared, members: [curve] });
  }
  return [...groups.values()];
}

/** Whether a phase asks about an axis at all: it varies, and not in step with one that ranks before it. */
function isAsked(curves: readonly CurveCoordinates[], axis: Axis): boolean {
  const ranked = axesOf(curves);
  return ranked
    .slice(0, ranked.indexOf(axis))
    .map((before) => ["parameterization", coordinateOf(before)])
    .every((from) => !follows(curves, coordinateOf(axis), from));
}

/**
 * Every curve is in one group, alone where nothing differs from it along the axis. No groups where the phase does not ask.
 * Members come by rising sparsity, width, layers, …: the first is the base.
 * @param curves all of one phase
 */
export function groupsAlong<Curve extends Placed>(axis: Axis, curves: readonly Curve[]): Group<Curve>[] {
  const name = coordinateOf(axis);
  const on = curves.filter(({ coordinates }) => isOn(coordinates, name));
  const off = curves.filter(({ coordinates }) => !isOn(coordinates, name));
  const all = on.map(({ coordinates }) => coordinates);
  if (!isAsked(all, axis)) return [];
  const free = freeCoordinates(all, [axis]);
  const value = ({ coordinates }: Curve): number => Number(coordinates[name]);
  const sorted = [...on].sort((a, b) => value(a) - value(b));
  const alone = off.map((curve): Group<Curve> => ({ shared: curve.coordinates, tied: [], members: [curve] }));
  const groups = groupBy(sorted, ["parameterization", ...free]).map((group) => {
    const places = group.members.map(({ coordinates }) => coordinates);
    return {
      ...group,
      tied: namesOf(places).filter((n) => n !== name && new Set(places.map((p) => written(p[n]))).size > 1),
    };
  });
  return [...groups, ...alone];
}

/** Curves that stand for the same model under several parameterizations: whose losses compare. */
export function samePlaces<Curve extends Placed>(curves: readonly Curve[]): Omit<Group<Curve>, "tied">[] {
  const all = curves.map(({ coordinates }) => coordinates);
  return groupBy(curves, ["sparsity", ...freeCoordinates(all, ["density"])]);
}
