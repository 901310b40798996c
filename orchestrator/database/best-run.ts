/** The run of a sweep with the lowest loss so far. */
import { and, asc, eq, isNotNull } from "drizzle-orm";
import { cells, phases, runs } from "../../schema/database/tables.ts";
import type { Coordinates } from "../sweep/expand-sweep.ts";
import { type Database, given, prepared } from "./connection.ts";

const lowest = prepared(({ orm }) =>
  orm
    .select({ coordinates: cells.coordinates, loss: runs.validation_loss })
    .from(cells)
    .innerJoin(phases, eq(phases.id, cells.phase_id))
    .innerJoin(runs, eq(runs.id, cells.run_id))
    .where(
      and(eq(phases.sweep_id, given("sweep")), eq(runs.state, "finished"), isNotNull(runs.validation_loss)),
    )
    .orderBy(asc(runs.validation_loss))
    .limit(1)
    .prepare(),
);

/** @returns its place in the sweep and its validation loss; undefined before one has finished */
export function bestRun(db: Database, sweep: number): { coordinates: Coordinates; loss: number } | undefined {
  const best = lowest(db).get({ sweep });
  return best === undefined
    ? undefined
    : { coordinates: JSON.parse(best.coordinates) as Coordinates, loss: best.loss! };
}
