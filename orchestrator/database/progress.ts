/** How far sweeps have come: counts by state, and work done weighted by FLOPs so that wide runs count for what they cost. */

import { MusweepError } from "../../schema/errors.ts";
import type { PhaseState, RunState } from "../../schema/tables.ts";
import { nearestName } from "../sweep/problems.ts";
import type { Database } from "./open.ts";
import { readPhases, type TakenValue } from "./phases.ts";

export interface SweepProgress {
  id: number;
  sweep: string;
  /** stopped: nothing is left to train, but a phase could not start. */
  state: "active" | "cancelled" | "complete" | "stopped";
  /** In the file's order. Only what has started is in the counts below: what waits is not known yet. */
  phases: PhaseProgress[];
  submitted_at: number;
  /** Grid points, and the distinct runs behind them. */
  points: number;
  runs: number;
  by_state: Record<RunState, number>;
  /** 0 to 1, weighted by planned FLOPs; runs that ended early count as done. */
  fraction: number;
  planned_flops: number;
  done_flops: number;
  /** When a run of it last ended; null before the first has. */
  last_result_at: number | null;
}

export interface PhaseProgress {
  name: string;
  state: PhaseState;
  /** Why it stopped. */
  reason: string | null;
  points: number;
  /** Points that the phase has added to its grid, and why. */
  added: { reason: string; points: number }[];
  taken: TakenValue[];
}

interface Row {
  id: number;
  name: string;
  sweep_state: "active" | "cancelled";
  submitted_at: number;
  points: number | null;
  state: RunState | null;
  runs: number;
  planned: number | null;
  changed_at: number | null;
}

const EMPTY: Record<RunState, number> = {
  pending: 0,
  queued: 0,
  running: 0,
  finished: 0,
  diverged: 0,
  failed: 0,
  cancelled: 0,
};

const ENDED: ReadonlySet<RunState> = new Set(["finished", "diverged", "failed", "cancelled"]);

/** A sweep none of whose phases has started has one row, without a state. */
const progressQuery = (which: string): string => `
  SELECT s.id, s.name, s.state AS sweep_state, s.submitted_at, n.state, n.points, n.runs,
    n.planned_flops AS planned, n.changed_at
  FROM sweeps s LEFT JOIN sweep_counts n ON n.sweep_id = s.id AND n.runs > 0
  ${which} ORDER BY s.submitted_at DESC, s.id DESC`;

/** Work done on runs that have not ended. Few of them have begun, but SQLite would look at all that have not ended. */
const UNDER_WAY = `
  SELECT w.sweep_id, sum(r.planned_flops * r.step / r.steps) AS done
  FROM runs r INDEXED BY runs_under_way CROSS JOIN sweep_runs w ON w.run_id = r.id
  WHERE r.step > 0 AND r.state IN ('pending', 'queued', 'running') GROUP BY w.sweep_id`;

/** Every sweep, newest first; or those of some names. */
export function sweepProgress(db: Database, names?: readonly string[]): SweepProgress[] {
  const sql = progressQuery(
    names === undefined ? "" : "WHERE s.name IN (SELECT value FROM json_each(@names))",
  );
  const rows = db.sqlite
    .prepare<unknown[], Row>(sql)
    .all(names === undefined ? {} : { names: JSON.stringify(names) });
  const underWay = new Map(
    db.sqlite
      .prepare<[], { sweep_id: number; done: number }>(UNDER_WAY)
      .all()
      .map(({ sweep_id, done }) => [sweep_id, done]),
  );
  const sweeps = new Map<string, SweepProgress>();
  for (const row of rows) {
    let sweep = sweeps.get(row.name);
    if (!sweep) {
      sweep = {
        id: row.id,
        sweep: row.name,
        state: row.sweep_state,
        phases: phaseProgress(db, row.id),
        submitted_at: row.submitted_at,
        points: 0,
        runs: 0,
        by_state: { ...EMPTY },
        fraction: 0,
        planned_flops: 0,
        done_flops: underWay.get(row.id) ?? 0,
        last_result_at: null,
      };
      sweeps.set(row.name, sweep);
    }
    if (row.state === null) continue;
    sweep.points += row.points!;
    sweep.runs += row.runs;
    sweep.by_state[row.state] = row.runs;
    sweep.planned_flops += row.planned!;
    if (!ENDED.has(row.state)) continue;
    sweep.done_flops += row.planned!;
    sweep.last_result_at = Math.max(sweep.last_result_at ?? 0, row.changed_at!);
  }
  for (const sweep of sweeps.values()) {
    sweep.fraction = sweep.planned_flops > 0 ? sweep.done_flops / sweep.planned_flops : 1;
    if (sweep.state === "active" && isSettled(sweep))
      sweep.state = sweep.phases.some((phase) => phase.state === "stopped") ? "stopped" : "complete";
  }
  return [...sweeps.values()];
}

/** Runs that still have to be trained. */
export const unfinished = (p: SweepProgress): number =>
  p.by_state.pending + p.by_state.queued + p.by_state.running;

/** Whether nothing will be trained any more: no run is on its way, and no phase is yet to start or to add runs. */
export const isSettled = (p: SweepProgress): boolean =>
  unfinished(p) === 0 &&
  (p.state === "cancelled" || p.phases.every(({ state }) => state === "complete" || state === "stopped"));

function phaseProgress({ sqlite }: Database, sweepId: number): PhaseProgress[] {
  const points = sqlite.prepare<[number], { n: number }>(
    "SELECT count(*) AS n FROM cells WHERE phase_id = ?",
  );
  const added = sqlite.prepare<[number], { reason: string; points: number }>(
    "SELECT reason, count(*) AS points FROM cells WHERE phase_id = ? AND reason <> 'grid' GROUP BY reason",
  );
  return readPhases(sqlite, sweepId).map(({ id, name, state, reason, taken }) => ({
    name,
    state,
    reason,
    points: points.get(id)!.n,
    added: added.all(id),
    taken,
  }));
}

/** @throws MusweepError (usage) naming the nearest sweep there is */
export function progressOf(db: Database, name: string): SweepProgress {
  const [progress] = sweepProgress(db, [name]);
  if (progress) return progress;
  const names = db.sqlite
    .prepare<[], { name: string }>("SELECT name FROM sweeps")
    .all()
    .map((r) => r.name);
  const close = nearestName(name, names);
  throw new MusweepError("unknown-sweep", `there is no sweep "${name}"`, {
    kind: "usage",
    remedy: close ? `Did you mean "${close}"?` : "`musweep status` lists the sweeps there are.",
  });
}
