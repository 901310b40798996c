/**
 * The rules on what a phase takes from an earlier one: that there is such a phase, that it varies what is taken, and that
 * `at` names what it is taken from.
 */
import { HYPERPARAMETER_NAMES, type HyperparameterName } from "../../schema/hyperparameters.ts";
import type { Phase } from "../../schema/sweep.ts";
import { complement } from "../parameterization/settings.ts";
import { product } from "./check-sweep.ts";
import { type Coordinates, curveCoordinates, tunedOf } from "./expand-sweep.ts";
import { readGrids } from "./grids.ts";
import { didYouMean, type Finding } from "./problems.ts";
import { fileValues, partialSettings } from "./settings-of.ts";
import { isSearch, type TakenAxis, takenAxes } from "./taken-axes.ts";

/** @param earlier the phases before this one; all: every phase of the file. Paths are within the phase. */
export function checkTaken(phase: Phase, earlier: readonly Phase[], all: readonly Phase[]): Finding[] {
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
    return checkSource(axis, source);
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

/** Coordinates that stand for no curve, or that nobody knows before the source has taken them itself. */
function knownNames(source: Phase, coordinates: readonly Partial<Coordinates>[]): string[] {
  const unknown = new Set<string>([tunedOf(source), "seed", ...takenAxes(source.axes).map((a) => a.name)]);
  return [...new Set(coordinates.flatMap((c) => Object.keys(c)))].filter((name) => !unknown.has(name));
}

function checkSource({ name, path, taken, parameterizations }: TakenAxis, source: Phase): Finding[] {
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
  const curves = curvesOf(source);
  const known = knownNames(source, curves);
  const at = conditions(taken.at);
  const strange = Object.keys(taken.at).filter(
    (key) => !known.includes(key === "density" ? "sparsity" : key),
  );
  if (strange.length > 0)
    return strange.map((key) => ({
      path: [...path, "at", key],
      atKey: true,
      message: `${quoted} does not vary ${key}${didYouMean(key, known) || `; expected among ${known.join(", ")}`}`,
    }));
  const matching = (wanted: Partial<Coordinates>) => curves.filter((curve) => matches(curve, wanted));
  const unseen = Object.entries(at).find(([key, value]) => matching({ [key]: value }).length === 0);
  if (unseen !== undefined) {
    const values = [...new Set(curves.map((curve) => String(curve[unseen[0] as HyperparameterName])))];
    const key = unseen[0] === "sparsity" && !("sparsity" in taken.at) ? "density" : unseen[0];
    return [
      {
        path: [...path, "at", key],
        message: `matches no curve of ${quoted}, whose ${unseen[0]} is ${values.join(", ")}`,
      },
    ];
  }
  return [...new Set(parameterizations.map((p) => at.parameterization ?? p))].flatMap(
    (parameterization): Finding[] => {
      if (matching({ parameterization }).length === 0)
        return [
          {
            path: [...path, "from"],
            message: `${quoted} has no ${parameterization}; expected in its axes, or at: {parameterization: …} to take from another`,
          },
        ];
      const found = matching({ ...at, parameterization });
      if (found.length === 0)
        return [{ path: [...path, "at"], message: `matches no ${parameterization} curve of ${quoted}` }];
      if (name !== tunedOf(source) || isSearch(source.axes) || found.length === 1) return [];
      const differing = known.filter(
        (key) => new Set(found.map((c) => c[key as HyperparameterName])).size > 1,
      );
      return [
        {
          path,
          atKey: true,
          message: `matches ${found.length} ${parameterization} curves of ${quoted}; expected at: {…} to choose one by ${differing.join(", ") || "what is not known before it is trained"}`,
        },
      ];
    },
  );
}

/** `at` in terms of coordinates, where density is sparsity. */
export function conditions(at: TakenAxis["taken"]["at"]): Partial<Coordinates> {
  const { density, ...rest } = at;
  return (density === undefined ? rest : { sparsity: complement(density), ...rest }) as Partial<Coordinates>;
}

export const matches = (coordinates: Partial<Coordinates>, wanted: Partial<Coordinates>): boolean =>
  HYPERPARAMETER_NAMES.every((name) => wanted[name] === undefined || wanted[name] === coordinates[name]);

/** The distinct curves of a phase, by their coordinates. */
function curvesOf(phase: Phase): Partial<Coordinates>[] {
  const { grids } = readGrids(phase.axes);
  const file = fileValues(phase);
  const tuned = tunedOf(phase);
  const curves = new Map<string, Partial<Coordinates>>();
  for (const grid of grids) {
    const dimensions = grid.dimensions.filter(
      (d) => d.names.length > 1 || (d.names[0] !== "seed" && d.names[0] !== tuned),
    );
    for (const { values } of product(dimensions)) {
      const coordinates = curveCoordinates(grids, partialSettings(phase, file, values), tuned);
      curves.set(JSON.stringify(coordinates), coordinates);
    }
  }
  return [...curves.values()];
}
