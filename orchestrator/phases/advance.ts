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
import type Sqlite from "better-sqlite3";
import { broken, dropFits, readFits, storeFits } from "../database/coordinates.ts";
import type { Database } from "../database/open.ts";
import { refreshPhase } from "../database/optima.ts";
import { readPhases, type StoredPhase, startedPhase } from "../database/phases.ts";
import { gatherCells, reviveCancelled } from "../database/store-cells.ts";
import { lineSentence } from "../report/coordinate-text.ts";
import { expandPhase } from "../sweep/expand-sweep.ts";
import { sourcesOf } from "../sweep/taken-axes.ts";
import { addRuns } from "./added-runs.ts";
import { takeValues } from "./take-values.ts";

/** Looks at every phase that is due. @returns the ids of the sweeps that were looked at */
export function advancePhases({ sqlite }: Database, now = Date.now()): number[] {
  const due = sqlite.prepare<[], { id: number }>(
    "SELECT DISTINCT s.id FROM sweeps s JOIN phases p ON p.sweep_id = s.id WHERE p.due = 1 AND s.state = 'active'",
  );
  if (due.get() === undefined) return [];
  return sqlite
    .transaction(() => {
      const sweeps = due.all().map((row) => row.id);
      for (const id of sweeps) {
        advanceSweep(sqlite, id, now);
        sqlite.prepare("UPDATE phases SET due = 0 WHERE sweep_id = ?").run(id);
      }
      return sweeps;
    })
    .immediate();
}

/** In the order of the file: a source comes before what takes from it. */
function advanceSweep(sqlite: Sqlite.Database, sweepId: number, now: number): void {
  const phases = new Map<string, StoredPhase>();
  for (const phase of readPhases(sqlite, sweepId)) {
    phases.set(phase.name, phase);
    const before = JSON.stringify(phase);
    if (phase.state === "waiting" || phase.state === "stopped") start(sqlite, phase, phases, now);
    if (phase.state === "active" || phase.state === "complete") settle(sqlite, phase, now);
    if (JSON.stringify(phase) === before) continue;
    sqlite
      .prepare("UPDATE phases SET state = ?, reason = ?, taken = ? WHERE id = ?")
      .run(phase.state, phase.reason, JSON.stringify(phase.taken), phase.id);
  }
}

function start(
  sqlite: Sqlite.Database,
  self: StoredPhase,
  phases: ReadonlyMap<string, StoredPhase>,
  now: number,
): void {
  const definition = self.definition!;
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
  const failed = after === undefined ? [] : broken(readFits(sqlite, phases.get(after)!.id));
  if (failed.length > 0) {
    stop(self, `its coordinate check did not pass: ${failed.map(lineSentence).join("; ")}`);
    return;
  }
  const taken = takeValues(sqlite, definition.phase, phases);
  if ("problem" in taken) {
    stop(self, taken.problem);
    return;
  }
  self.state = "active";
  self.taken = taken;
  const gathered = gatherCells(sqlite);
  let position = 0;
  for (const cell of expandPhase(startedPhase(self), definition.data).cells())
    gathered.add(cell, position++, "grid");
  gathered.store(self.id, { capability: definition.capability, now });
  gathered.drop();
  reviveCancelled(sqlite, self.id, now);
  refreshPhase(sqlite, self.id);
}

function stop(self: StoredPhase, reason: string): void {
  self.state = "stopped";
  self.reason = reason;
}

/** Runs that are added may have been trained before, so that the phase can go on at once. */
function settle(sqlite: Sqlite.Database, self: StoredPhase, now: number): void {
  do {
    self.state = hasUnfinished(sqlite, self.id) ? "active" : "complete";
  } while (self.state === "complete" && addRuns(sqlite, self, now));
  const check = self.definition?.phase.coordinates;
  if (check === undefined) return;
  if (self.state === "complete") storeFits(sqlite, self.id, check);
  else dropFits(sqlite, self.id);
}

/** Walks from the unfinished runs, which are few when it matters. */
function hasUnfinished(sqlite: Sqlite.Database, phaseId: number): boolean {
  return (
    sqlite
      .prepare(
        `SELECT 1 FROM runs r CROSS JOIN cells c ON c.run_id = r.id
         WHERE r.state IN ('pending', 'queued', 'running') AND c.phase_id = ? LIMIT 1`,
      )
      .get(phaseId) !== undefined
  );
}
