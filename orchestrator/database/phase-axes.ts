/** What varies within a phase, and what one of its runs was told: for tables and descriptions, not for the analysis. */
import { asc, eq } from "drizzle-orm";
import { cells, phases, plans, runs } from "../../schema/database/tables.ts";
import type { RunPlan } from "../../schema/wire/plan.ts";
import { type Database, given, prepared } from "./connection.ts";

export interface VaryingAxis {
  /** As a coordinate is called. */
  name: string;
  /** How many values, the smallest and the largest of them, and all of them where they are few. Null is a value, and neither of the ends. */
  count: number;
  least: number | string;
  most: number | string;
  values: (number | string | null)[] | null;
}

/** Enough points, in training order, to see every axis vary: a sweep may have a million. */
const LOOKED_AT = 5000;
const FEW = 8;

const varying = prepared(({ sqlite }) =>
  sqlite.prepare<
    { phase: number; limit: number; few: number },
    Omit<VaryingAxis, "values"> & { values: string | null }
  >(
    `WITH v AS (SELECT j.key AS name, CASE j.type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE j.value END AS value
       FROM (SELECT coordinates FROM cells WHERE phase_id = @phase ORDER BY position LIMIT @limit) c, json_each(c.coordinates) j)
     SELECT name, count(DISTINCT value) + max(value IS NULL) AS count, min(value) AS least, max(value) AS most,
       CASE WHEN count(DISTINCT value) <= @few THEN json_group_array(DISTINCT value) END AS "values"
     FROM v GROUP BY name HAVING count(DISTINCT value) + max(value IS NULL) > 1`,
  ),
);

/** Coordinates that are not the same in all points of a phase. */
export const varyingAxes = (db: Database, phase: number): VaryingAxis[] =>
  varying(db)
    .all({ phase, limit: LOOKED_AT, few: FEW })
    .map(({ values, ...axis }) => ({ ...axis, values: values === null ? null : JSON.parse(values) }));

/** The least and the most of it in any run of a phase. */
export type Range = [least: number, most: number];

const ranges = prepared(({ sqlite }) =>
  sqlite.prepare<{ phase: number; limit: number }, Record<"steps" | "warmup" | "tokens", string>>(
    `WITH p AS (SELECT json_extract(p.plan, '$.steps') AS steps, json_extract(p.plan, '$.schedule.warmup_steps') AS warmup,
         json_extract(p.plan, '$.batch_size') * json_extract(p.plan, '$.shape.sequence_length') AS tokens
       FROM (SELECT run_id FROM cells WHERE phase_id = @phase ORDER BY position LIMIT @limit) c
       JOIN plans p ON p.run_id = c.run_id)
     SELECT json_array(min(steps), max(steps)) AS steps, json_array(min(warmup), max(warmup)) AS warmup,
       json_array(min(steps * tokens), max(steps * tokens)) AS tokens FROM p`,
  ),
);

/** How long the runs of a phase are. For the model that ships; reads their plans. */
export function lengthsOf(db: Database, phase: number): Record<"steps" | "warmup" | "tokens", Range> {
  const { steps, warmup, tokens } = ranges(db).get({ phase, limit: LOOKED_AT })!;
  return { steps: JSON.parse(steps), warmup: JSON.parse(warmup), tokens: JSON.parse(tokens) };
}

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
