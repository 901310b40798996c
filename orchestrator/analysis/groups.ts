/**
 * Curves side by side: those of a phase that differ along one axis alone, the first of them the base of the others. A
 * coordinate that follows from the parameterization and the axis, such as the width in an iso-parameter sweep, moves with
 * the axis and tells no groups apart. Verdicts, refinement, figures and recommendations all group by this one rule.
 */
import type { Cell, CurveInput, Optimum } from "./types.ts";

/** Every axis of a curve by name, learning rate and seed left out: what its key says. */
export type CurveCoordinates = Record<string, unknown>;

/** What a verdict may be about, by rank: where two move in step, the question is about the first of them. */
const AXES = ["density", "width", "layers"] as const;
export type Axis = (typeof AXES)[number];

/** The coordinate that an axis moves; density and sparsity are one quantity. */
const AXIS_COORDINATE: Record<Axis, "sparsity" | "width" | "layers"> = {
  density: "sparsity",
  width: "width",
  layers: "layers",
};

/** A curve with what names it. */
export type NamedCurve<First> = { first: First; input: CurveInput };

type GroupCell<First> = Cell & { key: string; first: First };

export type AxisGroup<First> = {
  /** The coordinates that its curves share and that tell it from other groups, the parameterization among them. */
  shared: CurveCoordinates;
  /** By rising sparsity, width or layers; the first is the base. */
  cells: [GroupCell<First>, ...GroupCell<First>[]];
};

export const coordinatesOf = (key: string): CurveCoordinates => JSON.parse(key) as CurveCoordinates;

/** Whether a coordinate has one value wherever the others have one. */
export function follows(curves: readonly CurveCoordinates[], name: string, from: readonly string[]): boolean {
  const seen = new Map<string, string>();
  return curves.every((curve) => {
    const key = JSON.stringify(from.map((f) => curve[f]));
    const mine = JSON.stringify(curve[name]) ?? "";
    const known = seen.get(key);
    seen.set(key, mine);
    return known === undefined || known === mine;
  });
}

/** Names of the coordinates that tell groups along an axis apart, beside the parameterization. */
export function freeCoordinates(curves: readonly CurveCoordinates[], axis: Axis): string[] {
  const own = ["parameterization", AXIS_COORDINATE[axis]];
  return [...new Set(curves.flatMap((curve) => Object.keys(curve)))].filter(
    (name) => !own.includes(name) && !follows(curves, name, own),
  );
}

/** Whether a phase asks about an axis at all: it varies, and not in step with one that ranks before it. */
function isAsked(curves: readonly CurveCoordinates[], axis: Axis): boolean {
  const name = AXIS_COORDINATE[axis];
  return AXES.slice(0, AXES.indexOf(axis))
    .map((before) => ["parameterization", AXIS_COORDINATE[before]])
    .every((from) => !follows(curves, name, from));
}

/**
 * Every curve is in one group, alone where nothing differs from it along the axis. No groups where the phase does not ask.
 * @param curves all of one phase, by their key: canonical JSON of their coordinates; each has an optimum under the same key
 */
export function groupsAlong<First extends { width: number; sparsity: number; layers: number }>(
  axis: Axis,
  curves: ReadonlyMap<string, NamedCurve<First>>,
  optima: ReadonlyMap<string, Optimum>,
): AxisGroup<First>[] {
  const keys = [...curves.keys()];
  const coordinates = new Map(keys.map((key) => [key, coordinatesOf(key)]));
  const all = [...coordinates.values()];
  if (!isAsked(all, axis)) return [];
  const shared = ["parameterization", ...freeCoordinates(all, axis)];
  const name = AXIS_COORDINATE[axis];
  const groups = new Map<string, AxisGroup<First>>();
  for (const [key, { first, input }] of [...curves].sort(([, a], [, b]) => a.first[name] - b.first[name])) {
    const own = coordinates.get(key)!;
    const cell = {
      key,
      first,
      curve: input,
      width: first.width,
      density: 1 - first.sparsity,
      optimum: optima.get(key)!,
    };
    const place = Object.fromEntries(shared.filter((n) => n in own).map((n) => [n, own[n]]));
    const group = groups.get(JSON.stringify(place));
    if (group) group.cells.push(cell);
    else groups.set(JSON.stringify(place), { shared: place, cells: [cell] });
  }
  return [...groups.values()];
}
