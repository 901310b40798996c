/** Ends a sweep, or takes up again what of it has no result. Results stay, whatever is asked. */
import type { Database } from "./open.ts";
import { refreshRuns } from "./optima.ts";
import { cancelUnwanted } from "./submit.ts";

const RUNS_OF_SWEEP = `
  SELECT DISTINCT c.run_id FROM cells c JOIN phases p ON p.id = c.phase_id JOIN sweeps s ON s.id = p.sweep_id
  WHERE s.name = ?`;

/** Trains nothing more for a sweep; runs that another one wants go on. @returns the number of runs cancelled */
export function cancelSweep({ sqlite }: Database, sweep: string, now = Date.now()): number {
  return sqlite
    .transaction(() => {
      sqlite.prepare("UPDATE sweeps SET state = 'cancelled' WHERE name = ?").run(sweep);
      const count = cancelUnwanted(sqlite, now);
      const runs = sqlite.prepare<[string], { run_id: string }>(RUNS_OF_SWEEP).all(sweep);
      refreshRuns(
        sqlite,
        runs.map((r) => r.run_id),
      );
      return count;
    })
    .immediate();
}

/** failed: runs that failed; missing: cancelled ones as well, everything without a result that is not on its way. */
export type Requeue = "failed" | "missing";

/** @returns the number of runs that will be trained again */
export function requeueRuns({ sqlite }: Database, sweep: string, which: Requeue, now = Date.now()): number {
  const states = which === "failed" ? ["failed"] : ["failed", "cancelled"];
  return sqlite
    .transaction(() => {
      sqlite.prepare("UPDATE sweeps SET state = 'active' WHERE name = ?").run(sweep);
      const rows = sqlite
        .prepare<unknown[], { id: string }>(
          `UPDATE runs SET state = 'pending', error = NULL, updated_at = ?
           WHERE state IN (${states.map(() => "?").join(", ")}) AND id IN (${RUNS_OF_SWEEP}) RETURNING id`,
        )
        .all(now, ...states, sweep);
      refreshRuns(
        sqlite,
        rows.map((r) => r.id),
      );
      return rows.length;
    })
    .immediate();
}
