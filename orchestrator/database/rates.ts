/**
 * How fast sweeps go now: work done in the last minutes, from attempts that ended in them or still run. Nothing is remembered
 * between two looks, so a page that is opened for the first time knows it too.
 */
import { and, eq, gt, isNull, ne, or, type SQL, sql } from "drizzle-orm";
import { attempts, cells, phases, plans, runs } from "../../schema/database/tables.ts";
import { type Database, given, prepared } from "./connection.ts";

export interface Rate {
  runs_per_minute: number;
  tokens_per_second: number;
  flops_per_second: number;
}

const WINDOW_MS = 3 * 60_000;

/** An attempt's work is spread evenly over its time; one that goes on from a checkpoint has done what came after it. */
const steps = sql`(${runs.step} - coalesce(${attempts.resumed_from_step}, 0))`;
const fromPlan = (path: string): SQL => sql`json_extract(${plans.plan}, ${sql.raw(`'$.${path}'`)})`;

/** A lost attempt has done nothing that counts. A run that two phases of a sweep share counts once for it. */
const recent = prepared(({ orm }) =>
  orm
    .selectDistinct({
      sweep: phases.sweep_id,
      run: attempts.run_id,
      started_at: attempts.started_at,
      /** Until when its work is known: its end, or its last report. */
      until: sql<number>`coalesce(${attempts.ended_at}, ${runs.updated_at})`,
      ended: sql<number>`coalesce(${attempts.outcome} IN ('finished', 'diverged'), 0)`,
      flops: sql<number>`${runs.planned_flops} * ${steps} / ${runs.steps}`,
      tokens: sql<number>`${steps} * ${fromPlan("batch_size")} * ${fromPlan("shape.sequence_length")}`,
    })
    .from(attempts)
    .innerJoin(runs, and(eq(runs.id, attempts.run_id), eq(runs.attempt, attempts.attempt)))
    .innerJoin(plans, eq(plans.run_id, runs.id))
    .innerJoin(cells, eq(cells.run_id, attempts.run_id))
    .innerJoin(phases, eq(phases.id, cells.phase_id))
    .where(
      or(isNull(attempts.ended_at), and(gt(attempts.ended_at, given("since")), ne(attempts.outcome, "lost"))),
    )
    .prepare(),
);

/** By the sweep's id; a sweep at which nothing works has none. */
export function sweepRates(db: Database, now = Date.now()): Map<number, Rate> {
  const since = now - WINDOW_MS;
  const sweeps = new Map<number, { from: number; ended: number; tokens: number; flops: number }>();
  for (const row of recent(db).all({ since })) {
    const sum = sweeps.get(row.sweep) ?? { from: now, ended: 0, tokens: 0, flops: 0 };
    sweeps.set(row.sweep, sum);
    const from = Math.max(since, row.started_at);
    const share =
      row.until > row.started_at ? Math.max(0, (row.until - from) / (row.until - row.started_at)) : 1;
    sum.from = Math.min(sum.from, from);
    sum.ended += row.ended;
    sum.tokens += row.tokens * share;
    sum.flops += row.flops * share;
  }
  return new Map(
    [...sweeps].flatMap(([sweep, { from, ended, tokens, flops }]) => {
      const seconds = (now - from) / 1000;
      if (seconds < 1 || flops <= 0) return [];
      const rate: Rate = {
        runs_per_minute: (ended / seconds) * 60,
        tokens_per_second: tokens / seconds,
        flops_per_second: flops / seconds,
      };
      return [[sweep, rate]];
    }),
  );
}
