/** What varies within a phase, and what one of its runs was told: for tables and descriptions, not for the analysis. */
import { asc, eq } from "drizzle-orm";
import { cells, phases, plans, runs } from "../../schema/database/tables.ts";
import type { RunPlan } from "../../schema/wire/plan.ts";
import { type Database, given, prepared } from "./connection.ts";

export interface VaryingAxis {
  /** As a coordinate is called. */
  name: string;
  values: number;
}

/** Enough points, in training order, to see every axis vary: a sweep may have a million. */
const LOOKED_AT = 5000;

const varying = prepared(({ sqlite }) =>
  sqlite.prepare<{ phase: number; limit: number }, VaryingAxis>(
    `SELECT j.key AS name, count(DISTINCT j.value) AS "values"
     FROM (SELECT coordinates FROM cells WHERE phase_id = @phase ORDER BY position LIMIT @limit) c,
       json_each(c.coordinates) j
     GROUP BY j.key HAVING count(DISTINCT j.value) > 1`,
  ),
);

/** Coordinates that are not the same in all points of a phase. */
export const varyingAxes = (db: Database, phase: number): VaryingAxis[] =>
  varying(db).all({ phase, limit: LOOKED_AT });

const first = prepared(({ orm }) =>
  orm
    .select({ plan: plans.plan })
    .from(cells)
    .innerJoin(plans, eq(plans.run_id, cells.run_id))
    .where(eq(cells.phase_id, given("phase")))
    .orderBy(asc(cells.position))
    .limit(1)
    .prepare(),
);

/** The plan of a phase's first point; undefined before it has any, and for imported results. */
export function firstPlan(db: Database, phase: number): RunPlan | undefined {
  const row = first(db).get({ phase });
  return row === undefined ? undefined : (JSON.parse(row.plan) as RunPlan);
}

const hosts = prepared(({ orm }) =>
  orm
    .selectDistinct({ host: runs.host })
    .from(cells)
    .innerJoin(phases, eq(phases.id, cells.phase_id))
    .innerJoin(runs, eq(runs.id, cells.run_id))
    .where(eq(phases.sweep_id, given("sweep")))
    .prepare(),
);

/** Where a sweep's runs were trained. */
export const hostsOf = (db: Database, sweep: number): string[] =>
  hosts(db)
    .all({ sweep })
    .flatMap(({ host }) => host ?? [])
    .sort();
