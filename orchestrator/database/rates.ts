/**
 * How fast sweeps go now: work done in the last minutes, from attempts that ended in them or still run. Nothing is remembered
 * between two looks, so a page that is opened for the first time knows it too.
 */
import type { Database } from "./open.ts";

export interface Rate {
  runs_per_minute: number;
  tokens_per_second: number;
  flops_per_second: number;
}

const WINDOW_MS = 3 * 60_000;

interface Row {
  sweep: number;
  started_at: number;
  /** Until when its work is known: its end, or its last report. */
  until: number;
  ended: number;
  flops: number;
  tokens: number;
}

/**
 * An attempt's work is spread evenly over its time. A lost attempt has done nothing that counts.
 * A run that two phases of a sweep share counts once for it.
 */
const RECENT = `
  SELECT DISTINCT p.sweep_id AS sweep, a.run_id, a.started_at, coalesce(a.ended_at, r.updated_at) AS until,
    a.outcome IN ('finished', 'diverged') AS ended,
    r.planned_flops * (r.step - coalesce(a.resumed_from_step, 0)) / r.steps AS flops,
    (r.step - coalesce(a.resumed_from_step, 0))
      * json_extract(plan, '$.batch_size') * json_extract(plan, '$.shape.sequence_length') AS tokens
  FROM attempts a
  JOIN runs r ON r.id = a.run_id AND r.attempt = a.attempt
  JOIN plans ON plans.run_id = r.id
  JOIN cells c ON c.run_id = a.run_id
  JOIN phases p ON p.id = c.phase_id
  WHERE a.ended_at IS NULL OR (a.ended_at > @since AND a.outcome <> 'lost')`;

/** By the sweep's id; a sweep at which nothing works has none. */
export function sweepRates({ sqlite }: Database, now = Date.now()): Map<number, Rate> {
  const since = now - WINDOW_MS;
  const sweeps = new Map<number, { from: number; ended: number; tokens: number; flops: number }>();
  for (const row of sqlite.prepare<unknown[], Row>(RECENT).all({ since })) {
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
