/** The curves of a search that have no run yet: while there are any, no verdict says that all transfer. */
import {
  type Axis,
  axesOf,
  type CurveCoordinates,
  coordinatesOf,
  groupsAlong,
  type Placed,
} from "../analysis/groups.ts";
import { expandPhase } from "../sweep/expand-sweep.ts";
import { type StoredPhase, startedPhase } from "./phases.ts";

/** To what a phase asks along an axis, of some of its curves: the places of those that stand beside them without a run. */
export type UntrainedBeside = (axis: Axis, members: readonly Placed[]) => CurveCoordinates[];

/** @param trained the curves that have runs */
export function untrainedCurves(
  phase: Pick<StoredPhase, "definition" | "taken">,
  trained: readonly Placed[],
): UntrainedBeside {
  if (phase.definition.phase.search === undefined) return () => [];
  const started = new Set(trained.map(({ curve }) => curve));
  const all = searchedCurves(phase);
  if (all.every(({ curve }) => started.has(curve))) return () => [];
  const axes = axesOf(all.map(({ coordinates }) => coordinates));
  const groups = new Map(axes.map((axis) => [axis, groupsAlong(axis, all)]));
  return (axis, members) => {
    const own = new Set(members.map(({ curve }) => curve));
    return (groups.get(axis) ?? [])
      .filter((group) => group.members.some(({ curve }) => own.has(curve)))
      .flatMap((group) => group.members.filter(({ curve }) => !started.has(curve)))
      .map(({ coordinates }) => coordinates);
  };
}

/** A grid of thousands of points is walked over once, not at every result: the last searches are kept. */
const KEPT = 16;
const recent = new Map<string, Placed[]>();

function searchedCurves(phase: Pick<StoredPhase, "definition" | "taken">): Placed[] {
  const key = JSON.stringify([phase.definition, phase.taken]);
  const known = recent.get(key);
  if (known !== undefined) return known;
  const curves = expandPhase(startedPhase(phase), phase.definition.data)
    .curves()
    .map(({ curve }) => ({ curve, coordinates: coordinatesOf(curve) }));
  recent.set(key, curves);
  if (recent.size > KEPT) recent.delete(recent.keys().next().value!);
  return curves;
}
