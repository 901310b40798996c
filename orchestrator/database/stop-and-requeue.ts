/** Ends a sweep, or trains what of it has ended again. What was there stays: results, or the attempts that they came from. */
import { eq } from "drizzle-orm";
import { RESULT_STATES } from "../../schema/database/states.ts";
import { sweepRuns, sweeps } from "../../schema/database/tables.ts";
import { type Database, given, prepared } from "./connection.ts";
import { forgetMeasurements } from "./measurements.ts";
import { refreshRuns } from "./optima.ts";
import { isSettled, progressOf } from "./progress.ts";
import { type Again, cancelUnwanted, trainAgain } from "./run-states.ts";
import { inStates } from "./runs.ts";
import { phasesBeside, placeAnew } from "./store-cells.ts";
import { findSweep, setSweepState } from "./sweeps.ts";

const ofSweep = prepared(({ orm }) =>
  orm
    .select({ run: sweepRuns.run_id })
    .from(sweepRuns)
    .innerJoin(sweeps, eq(sweeps.id, sweepRuns.sweep_id))
    .where(eq(sweeps.name, given("sweep")))
    .prepare(),
);

/**
 * Trains nothing more for a sweep; runs that another one wants go on. One of which nothing is left to train stays what it is.
 * @returns the number of runs cancelled
 */
export const cancelSweep = (db: Database, sweep: string, now = Date.now()): number =>
  db.transaction(() => {
    if (isSettled(progressOf(db, sweep))) return 0;
    setSweepState(db, sweep, "cancelled");
    placeAnew(db, phasesBeside(db, findSweep(db, sweep)!.id));
    const cancelled = cancelUnwanted(db, now);
    const runs = ofSweep(db).all({ sweep });
    refreshRuns(
      db,
      runs.map(({ run }) => run),
    );
    return cancelled;
  });

/** Trains runs of a sweep again that have ended. @returns how many */
export const requeueRuns = (db: Database, sweep: string, which: Again, now = Date.now()): number =>
  db.transaction(() => {
    const all = ofSweep(db)
      .all({ sweep })
      .map(({ run }) => run);
    const had = inStates(db, all, RESULT_STATES);
    const runs = trainAgain(db, sweep, which, now);
    // A cancelled sweep of which nothing is trained again stays cancelled.
    if (runs.length === 0) return 0;
    setSweepState(db, sweep, "active");
    // One that failed goes on from its checkpoint, and its curve with it.
    forgetMeasurements(
      db,
      runs.filter((run) => had.has(run)),
    );
    refreshRuns(db, runs);
    return runs.length;
  });
