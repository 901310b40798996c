/**
 * Runs that are away: trained where no queue can be reached, from a file of plans. Such a run is queued, or running once its claim has
 * come back, without a job in Redis. Its events are applied like any others'; when it is taken back, or another attempt is made at it,
 * what still comes of it is fenced.
 */
import { randomUUID } from "node:crypto";
import { and, asc, eq, inArray, sql } from "drizzle-orm";
import { plans, runs, sweepRuns, sweeps } from "../../schema/database/tables.ts";
import type { AwayJob } from "../../schema/wire/away.ts";
import { attemptNumber } from "../../schema/wire/job.ts";
import type { Need } from "../../schema/wire/need.ts";
import type { Plan } from "../../schema/wire/plan.ts";
import { loseAttempts } from "./attempts.ts";
import { amongGiven, type Database, given, prepared } from "./connection.ts";
import { sendAway, TAKEN_BACK, takeBackRun } from "./run-states.ts";

/** What the program that trains runs from a file can train; it looks for a device of its own. */
const NEEDS: readonly Need[] = ["musweep", "musweep-torch"].flatMap((who) => [
  who,
  `${who}@cpu`,
  `${who}@cuda`,
]);

const pending = prepared(({ orm }) =>
  orm
    .select({
      id: runs.id,
      need: runs.need,
      dispatch: runs.dispatch,
      keep_weights: runs.keep_weights,
      plan: plans.plan,
    })
    .from(runs)
    .innerJoin(plans, eq(plans.run_id, runs.id))
    .innerJoin(sweepRuns, eq(sweepRuns.run_id, runs.id))
    .innerJoin(sweeps, eq(sweeps.id, sweepRuns.sweep_id))
    .where(
      and(
        eq(runs.state, "pending"),
        eq(runs.on_queue, false),
        eq(sweeps.name, given("sweep")),
        amongGiven(runs.need, "needs"),
      ),
    )
    .orderBy(asc(runs.ordinal))
    .limit(sql.placeholder("limit"))
    .prepare(),
);

/**
 * Marks pending runs of a sweep as away. Call inside the transaction in which the jobs are written: with what is not written, nothing
 * goes away.
 * @param limit at most so many, those first that are trained first
 */
export function takeAway(db: Database, sweep: string, limit: number, now = Date.now()): AwayJob[] {
  return pending(db)
    .all({ sweep, limit, needs: JSON.stringify(NEEDS) })
    .map((row) => {
      const dispatch = row.dispatch + 1;
      sendAway(db, { id: row.id, dispatch }, now);
      return {
        version: 1,
        run: row.id,
        attempt: attemptNumber(dispatch, 1),
        token: randomUUID(),
        keep_weights: row.keep_weights,
        plan: JSON.parse(row.plan) as Plan,
      };
    });
}

const away = prepared(({ orm }) =>
  orm
    .select({ id: runs.id })
    .from(runs)
    .innerJoin(sweepRuns, eq(sweepRuns.run_id, runs.id))
    .innerJoin(sweeps, eq(sweeps.id, sweepRuns.sweep_id))
    .where(
      and(
        inArray(runs.state, ["queued", "running"]),
        sql`${runs.on_queue} = 0`,
        eq(sweeps.name, given("sweep")),
      ),
    )
    .prepare(),
);

/** Runs of a sweep that are away. */
export const awayRuns = (db: Database, sweep: string): string[] =>
  away(db)
    .all({ sweep })
    .map(({ id }) => id);

/** Makes what is away of a sweep pending again. @returns how many runs */
export const takeBack = (db: Database, sweep: string, now = Date.now()): number =>
  db.transaction(() => {
    const back = awayRuns(db, sweep);
    for (const run of back) {
      takeBackRun(db, run, now);
      loseAttempts(db, { run, at: now, error: TAKEN_BACK });
    }
    return back.length;
  });
