/** Adds to a phase, all of whose runs have ended, the runs that `extend` and `refine` want next (analysis/more-runs.ts). */
import type Sqlite from "better-sqlite3";
import {
  extendCurve,
  type MoreRuns,
  type PlannedCurve,
  refineCurve,
  refineVerdict,
} from "../analysis/more-runs.ts";
import { readCurves, readOptima } from "../database/curves.ts";
import { refreshPhase } from "../database/optima.ts";
import { type StoredPhase, startedPhase } from "../database/phases.ts";
import { gatherCells, reviveCancelled } from "../database/store-cells.ts";
import { expandPhase } from "../sweep/expand-sweep.ts";
import { isSearch } from "../sweep/taken-axes.ts";

interface Addition extends MoreRuns {
  curve: string;
}

/** @returns whether there was anything to add */
export function addRuns(sqlite: Sqlite.Database, self: StoredPhase, now: number): boolean {
  if (self.definition === null) return false;
  const { phase, data, capability } = self.definition;
  if ((phase.extend === undefined && phase.refine === undefined) || isSearch(phase.axes)) return false;
  const curves = plannedCurves(sqlite, self.id);
  let additions = phase.extend === undefined ? [] : extensions(sqlite, self.id, curves, phase.extend.max);
  if (additions.length === 0 && phase.refine !== undefined)
    additions = refinements(sqlite, self.id, curves, phase.refine.budget);
  if (additions.length === 0) return false;

  const gathered = gatherCells(sqlite);
  const expansion = expandPhase(startedPhase(self), data);
  const reasons = new Map(additions.map(({ curve, reason }) => [curve, reason]));
  const cells = expansion.extraCells(new Map(additions.map(({ curve, points }) => [curve, points])));
  let position = sqlite
    .prepare<[number], { n: number }>("SELECT max(position) + 1 AS n FROM cells WHERE phase_id = ?")
    .get(self.id)!.n;
  for (const cell of cells) gathered.add(cell, position++, reasons.get(cell.curve)!);
  gathered.store(self.id, { capability, now });
  gathered.drop();
  reviveCancelled(sqlite, self.id, now);
  refreshPhase(sqlite, self.id);
  return true;
}

type Planned = Map<string, PlannedCurve>;

function plannedCurves(sqlite: Sqlite.Database, phaseId: number): Planned {
  const optima = readOptima(sqlite, phaseId);
  const cells = sqlite
    .prepare<[number], { curve: string; tuned_value: number; seed: number }>(
      "SELECT curve, tuned_value, seed FROM cells WHERE phase_id = ?",
    )
    .all(phaseId);
  const rates = new Map<string, Set<number>>();
  const seeds = new Map<string, Set<number>>();
  const note = (sets: Map<string, Set<number>>, curve: string, value: number) =>
    sets.set(curve, (sets.get(curve) ?? new Set()).add(value));
  for (const cell of cells) {
    note(rates, cell.curve, cell.tuned_value);
    note(seeds, cell.curve, cell.seed);
  }
  const rising = (values: Set<number>) => [...values].sort((a, b) => a - b);
  return new Map(
    [...readCurves(sqlite, phaseId)].map(([curve, { input }]) => [
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
function extensions(sqlite: Sqlite.Database, phaseId: number, curves: Planned, max: number): Addition[] {
  const added = new Map(
    sqlite
      .prepare<[number], { curve: string; n: number }>(
        `SELECT curve, count(DISTINCT tuned_value) AS n FROM cells
         WHERE phase_id = ? AND reason LIKE 'extend:%' GROUP BY curve`,
      )
      .all(phaseId)
      .map((row) => [row.curve, row.n]),
  );
  return [...curves].flatMap(([curve, planned]) => {
    const more = (added.get(curve) ?? 0) < max ? extendCurve(planned) : null;
    return more === null ? [] : [{ curve, ...more }];
  });
}

/** One step for every curve that is undecided, as far as the budget goes. */
function refinements(sqlite: Sqlite.Database, phaseId: number, curves: Planned, budget: number): Addition[] {
  const { spent } = sqlite
    .prepare<[number], { spent: number }>(
      "SELECT count(*) AS spent FROM cells WHERE phase_id = ? AND reason LIKE 'refine:%'",
    )
    .get(phaseId)!;
  let left = budget - spent;
  return wanted(sqlite, phaseId, curves).filter(({ points }) => {
    if (points.length === 0 || points.length > left) return false;
    left -= points.length;
    return true;
  });
}

/** Curves that are undecided by themselves, then those that leave a verdict so, along any axis, with their base. */
function wanted(sqlite: Sqlite.Database, phaseId: number, curves: Planned): Addition[] {
  const additions = new Map<string, Addition>();
  for (const [curve, planned] of curves) {
    const more = refineCurve(planned);
    if (more !== null) additions.set(curve, { curve, ...more });
  }
  const undecided = sqlite
    .prepare<[number], { base: string; curve: string; more_seeds: number | null }>(
      `SELECT v.base, t.curve, v.more_seeds
       FROM verdicts v JOIN curve_transfer t ON t.phase_id = v.phase_id AND t.axis = v.axis AND t.base = v.base
       JOIN curve_optima o ON o.phase_id = t.phase_id AND o.curve = t.curve
       WHERE v.phase_id = ? AND v.verdict = 'inconclusive' AND t.verdict = 'inconclusive' ORDER BY v.axis, o.position`,
    )
    .all(phaseId);
  for (const { base, curve, more_seeds } of undecided) {
    if (curves.get(base)!.optimum.flag !== "bracketed") continue;
    for (const key of [base, curve]) {
      if (additions.has(key)) continue;
      const more = refineVerdict(curves.get(key)!, { more_seeds });
      if (more !== null) additions.set(key, { curve: key, ...more });
    }
  }
  return [...additions.values()];
}
