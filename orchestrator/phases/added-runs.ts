/** Adds to a phase, all of whose runs have ended, the runs that `extend` and `refine` want next (analysis/more-runs.ts). */
import {
  extendCurve,
  type MoreRuns,
  type PlannedCurve,
  refineCurve,
  refineVerdict,
} from "../analysis/more-runs.ts";
import {
  countExtensions,
  countPoints,
  countRefinements,
  lastPosition,
  plannedPoints,
} from "../database/cells.ts";
import { readCurves, readOptima } from "../database/curves.ts";
import type { Database } from "../database/open.ts";
import { refreshPhase } from "../database/optima.ts";
import { hasOpenRuns, type StoredPhase, startedPhase } from "../database/phases.ts";
import { reviveCancelled } from "../database/run-states.ts";
import { gatherCells } from "../database/store-cells.ts";
import { decidedCurves, undecidedPairs } from "../database/transfer.ts";
import { expandPhase } from "../sweep/expand-sweep.ts";
import { isRandomSearch } from "../sweep/taken-axes.ts";
import { addSearched } from "./searched-runs.ts";

export interface Addition extends MoreRuns {
  curve: string;
  /** False: all verdicts that the curve has a part in are decided without. */
  decides: boolean;
}

/** @returns whether the phase has points now that it had not: what asks for those that have failed would ask for ever */
export function addRuns(db: Database, self: StoredPhase, now: number, slots: number): boolean {
  const { phase, data } = self.definition;
  if (phase.search !== undefined) return addSearched(db, self, phase.search, now, slots);
  if ((phase.extend === undefined && phase.refine === undefined) || isRandomSearch(phase.axes)) return false;
  const curves = plannedCurves(db, self.id);
  let additions = phase.extend === undefined ? [] : extensions(db, self.id, curves, phase.extend.max);
  if (additions.length === 0 && phase.refine !== undefined)
    additions = refinements(db, self.id, curves, phase.refine.budget);
  if (additions.length === 0) return false;

  const gathered = gatherCells(db);
  const expansion = expandPhase(startedPhase(self), data);
  const reasons = new Map(additions.map(({ curve, reason }) => [curve, reason]));
  const cells = expansion.extraCells(new Map(additions.map(({ curve, points }) => [curve, points])));
  let position = lastPosition(db, self.id);
  for (const cell of cells) gathered.add(cell, phase, ++position, reasons.get(cell.curve)!);
  const before = countPoints(db, self.id);
  gathered.store(self.id, now);
  gathered.drop();
  reviveCancelled(db, self.id, now);
  refreshPhase(db, self.id);
  return countPoints(db, self.id) > before || hasOpenRuns(db, self.id);
}

/** What would decide a phase most: as `extend` and `refine` would add it, without their limits. Reads alone. */
export function nextRuns(db: Database, phaseId: number): Addition[] {
  const curves = plannedCurves(db, phaseId);
  const beyond = extensions(db, phaseId, curves, Number.POSITIVE_INFINITY);
  const extended = new Set(beyond.map(({ curve }) => curve));
  return [...beyond, ...wanted(db, phaseId, curves).filter(({ curve }) => !extended.has(curve))];
}

type Planned = Map<string, PlannedCurve>;

function plannedCurves(db: Database, phaseId: number): Planned {
  const optima = readOptima(db, phaseId);
  const rates = new Map<string, Set<number>>();
  const seeds = new Map<string, Set<number>>();
  const note = (sets: Map<string, Set<number>>, curve: string, value: number) =>
    sets.set(curve, (sets.get(curve) ?? new Set()).add(value));
  for (const cell of plannedPoints(db, phaseId)) {
    note(rates, cell.curve, cell.tuned_value);
    note(seeds, cell.curve, cell.seed);
  }
  const rising = (values: Set<number>) => [...values].sort((a, b) => a - b);
  return new Map(
    [...readCurves(db, phaseId)].map(([curve, { input }]) => [
      curve,
      {
        curve: input,
        optimum: optima.get(curve)!,
        rates: rising(rates.get(curve)!),
        seeds: rising(seeds.get(curve)!),
      },
    ]),
  );
}

/** One more value for every curve that is open, and has not been given `max` yet. */
function extensions(db: Database, phaseId: number, curves: Planned, max: number): Addition[] {
  const added = countExtensions(db, phaseId);
  return [...curves].flatMap(([curve, planned]) => {
    const more = (added.get(curve) ?? 0) < max ? extendCurve(planned) : null;
    return more === null ? [] : [{ curve, ...more, decides: true }];
  });
}

/** One step for every curve that is undecided, as far as the budget goes. */
function refinements(db: Database, phaseId: number, curves: Planned, budget: number): Addition[] {
  let left = budget - countRefinements(db, phaseId);
  return wanted(db, phaseId, curves).filter(({ points }) => {
    if (points.length === 0 || points.length > left) return false;
    left -= points.length;
    return true;
  });
}

/**
 * Curves that are undecided by themselves, then those that leave a verdict so, along any axis, with their base; last those whose verdicts
 * are all decided without their optimum.
 */
function wanted(db: Database, phaseId: number, curves: Planned): Addition[] {
  const additions = new Map<string, Addition>();
  const decided = decidedCurves(db, phaseId);
  const later: Addition[] = [];
  for (const [curve, planned] of curves) {
    const more = refineCurve(planned);
    if (more === null) continue;
    if (decided.has(curve))
      later.push({ curve, points: more.points, reason: `${more.reason}${BESIDE}`, decides: false });
    else additions.set(curve, { curve, ...more, decides: true });
  }
  for (const { base, curve, more_seeds } of undecidedPairs(db, phaseId)) {
    if (curves.get(base)!.optimum.flag !== "bracketed") continue;
    for (const key of [base, curve]) {
      if (additions.has(key)) continue;
      const more = refineVerdict(curves.get(key)!, { more_seeds });
      if (more !== null) additions.set(key, { curve: key, ...more, decides: true });
    }
  }
  return [...additions.values(), ...later];
}
const BESIDE = "; its verdicts are decided, this would sharpen the optimum";
