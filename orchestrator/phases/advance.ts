/**
 * Where phases start and end. A phase is
 *   waiting   until every phase it takes values from, and its coordinate check, is complete; then it starts, or
 *   stopped   when one of those values cannot be taken or the check has not passed, with the reason; looked at again
 *             whenever its sources change;
 *   active    while runs of it are to be trained, those included that it adds to its grid (added-runs.ts);
 *   complete  when all have ended and nothing is to be added; a coordinate check has its slopes then.
 *
 * Whatever ends a run, or submits a sweep, marks its phases as due in the same transaction (database/optima.ts,
 * database/submit.ts). The orchestrator looks at what is due here, in one transaction: a phase starts once, whenever and
 * wherever a process dies.
 */
import { broken, lineSentence } from "../analysis/coordinate-lines.ts";
import { dropFits, readFits, storeFits } from "../database/coordinates.ts";
import type { Database } from "../database/open.ts";
import { refreshPhase } from "../database/optima.ts";
import {
  dueSweeps,
  hasOpenRuns,
  markSweepSeen,
  readPhases,
  type StoredPhase,
  savePhase,
  startedPhase,
} from "../database/phases.ts";
import { reviveCancelled } from "../database/run-states.ts";
import { gatherCells } from "../database/store-cells.ts";
import { expandPhase } from "../sweep/expand-sweep.ts";
import { sourcesOf } from "../sweep/taken-axes.ts";
import { addRuns } from "./added-runs.ts";
import { takeValues } from "./take-values.ts";

/** Where no worker is known. */
const SLOTS = 4;

/**
 * Looks at every phase that is due.
 * @param options slots: of all workers; a search adds so many runs at a time
 * @returns the ids of the sweeps that were looked at
 */
export function advancePhases(db: Database, { now = Date.now(), slots = SLOTS } = {}): number[] {
  if (dueSweeps(db).length === 0) return [];
  return db.transaction(() => {
    const sweeps = dueSweeps(db);
    for (const id of sweeps) {
      advanceSweep(db, id, now, slots);
      markSweepSeen(db, id);
    }
    return sweeps;
  });
}

/** In the order of the file: a source comes before what takes from it. */
function advanceSweep(db: Database, sweepId: number, now: number, slots: number): void {
  const phases = new Map<string, StoredPhase>();
  for (const phase of readPhases(db, sweepId)) {
    phases.set(phase.name, phase);
    const before = JSON.stringify(phase);
    if (phase.state === "waiting" || phase.state === "stopped") start(db, phase, phases, now);
    if (phase.state === "active" || phase.state === "complete") settle(db, phase, now, slots);
    if (JSON.stringify(phase) !== before) savePhase(db, phase);
  }
}

function start(db: Database, self: StoredPhase, phases: ReadonlyMap<string, StoredPhase>, now: number): void {
  const { definition } = self;
  const sources = sourcesOf(definition.phase).map((name) => phases.get(name)!);
  const stopped = sources.find((source) => source.state === "stopped");
  if (stopped !== undefined) {
    stop(self, `phase ${stopped.name}, for which it waits, stopped`);
    return;
  }
  self.state = "waiting";
  self.reason = null;
  if (sources.some((source) => source.state !== "complete")) return;

  const { after } = definition.phase;
  const failed = after === undefined ? [] : broken(readFits(db, phases.get(after)!.id));
  if (failed.length > 0) {
    stop(self, `its coordinate check did not pass: ${failed.map(lineSentence).join("; ")}`);
    return;
  }
  const taken = takeValues(db, definition.phase, phases);
  if ("problem" in taken) {
    stop(self, taken.problem);
    return;
  }
  self.state = "active";
  self.taken = taken;
  // Whoever refreshes its curves reads from the database what it took.
  savePhase(db, self);
  const gathered = gatherCells(db);
  let position = 0;
  if (definition.phase.search === undefined)
    for (const cell of expandPhase(startedPhase(self), definition.data).cells())
      gathered.add(cell, definition.phase, position++, "grid");
  gathered.store(self.id, now);
  gathered.drop();
  reviveCancelled(db, self.id, now);
  refreshPhase(db, self.id);
}

function stop(self: StoredPhase, reason: string): void {
  self.state = "stopped";
  self.reason = reason;
}

/** Runs that are added may have been trained before, so that the phase can go on at once. */
function settle(db: Database, self: StoredPhase, now: number, slots: number): void {
  do {
    self.state = hasOpenRuns(db, self.id) ? "active" : "complete";
  } while (self.state === "complete" && addRuns(db, self, now, slots));
  const check = self.definition.phase.coordinates;
  if (check === undefined) return;
  if (self.state === "complete") storeFits(db, self.id, check);
  else dropFits(db, self.id);
}
