/** How far sweeps have come: counts by state, and work done weighted by FLOPs so that wide runs count for what they cost. */

import { and, desc, eq, gt } from "drizzle-orm";
import {
  LOST_STATES,
  type PhaseState,
  RESULT_STATES,
  RUN_STATES,
  type RunState,
} from "../../schema/database/states.ts";
import { sweepCounts, sweeps } from "../../schema/database/tables.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { nearestName } from "../sweep/problems.ts";
import { countAdded, countPoints } from "./cells.ts";
import { amongGiven, type Database, prepared } from "./connection.ts";
import { readPhases, type SearchState, type TakenValue } from "./phases.ts";
import { sweepNames } from "./sweeps.ts";
import { tagsOf } from "./tags.ts";

export interface SweepProgress {
  id: number;
  sweep: string;
  /** Nothing is left to train. stopped: a phase could not start; failed: no run has a result. */
  state: "active" | "cancelled" | "complete" | "stopped" | "failed";
  /** In the file's order. Only what has started is in the counts below: what waits is not known yet. */
  phases: PhaseProgress[];
  submitted_at: number;
  /** What an operator has said of it. */
  note: string | null;
  /** Words that people have put on it. */
  tags: string[];
  /** Since when it is put away; null: it is not. */
  archived_at: number | null;
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
  /** How far it is, where it is a search that has begun. */
  search: SearchState | null;
  /** The file that its results come from, where they were trained elsewhere. */
  imported?: string;
}

const ENDED: ReadonlySet<RunState> = new Set([...RESULT_STATES, ...LOST_STATES]);

/** A sweep none of whose phases has started has one row, without counts. */
const counted = (which: "all" | "named") =>
  prepared(({ orm }) =>
    orm
      .select({
        id: sweeps.id,
        name: sweeps.name,
        state: sweeps.state,
        submitted_at: sweeps.submitted_at,
        note: sweeps.note,
        archived_at: sweeps.archived_at,
        counts: {
          state: sweepCounts.state,
          points: sweepCounts.points,
          runs: sweepCounts.runs,
          planned: sweepCounts.planned_flops,
          changed_at: sweepCounts.changed_at,
        },
      })
      .from(sweeps)
      .leftJoin(sweepCounts, and(eq(sweepCounts.sweep_id, sweeps.id), gt(sweepCounts.runs, 0)))
      .where(which === "all" ? undefined : amongGiven(sweeps.name, "names"))
      .orderBy(desc(sweeps.submitted_at), desc(sweeps.id))
      .prepare(),
  );
const [countedAll, countedNamed] = [counted("all"), counted("named")];

/**
 * Work done on runs that have not ended. Few of them have begun, but SQLite would look at all that have not ended: hence the index
 * by name, which the builder cannot say, and its condition word for word.
 */
const underWay = prepared(({ sqlite }) =>
  sqlite.prepare<[], { sweep_id: number; done: number }>(
    `SELECT w.sweep_id, sum(r.planned_flops * r.step / r.steps) AS done
     FROM runs r INDEXED BY runs_under_way CROSS JOIN sweep_runs w ON w.run_id = r.id
     WHERE r.step > 0 AND r.state IN ('pending', 'queued', 'running') GROUP BY w.sweep_id`,
  ),
);

/** Every sweep, newest first; or those of some names. */
export function sweepProgress(db: Database, names?: readonly string[]): SweepProgress[] {
  const rows =
    names === undefined ? countedAll(db).all() : countedNamed(db).all({ names: JSON.stringify(names) });
  const begun = new Map(
    underWay(db)
      .all()
      .map(({ sweep_id, done }) => [sweep_id, done]),
  );
  const progress = new Map<string, SweepProgress>();
  for (const { id, name, state, submitted_at, note, archived_at, counts } of rows) {
    let sweep = progress.get(name);
    if (!sweep) {
      sweep = {
        id,
        sweep: name,
        state,
        phases: phaseProgress(db, id),
        submitted_at,
        note,
        tags: tagsOf(db, id),
        archived_at,
        points: 0,
        runs: 0,
        by_state: Object.fromEntries(RUN_STATES.map((s) => [s, 0])) as Record<RunState, number>,
        fraction: 0,
        planned_flops: 0,
        done_flops: begun.get(id) ?? 0,
        last_result_at: null,
      };
      progress.set(name, sweep);
    }
    if (counts === null) continue;
    sweep.points += counts.points;
    sweep.runs += counts.runs;
    sweep.by_state[counts.state] = counts.runs;
    sweep.planned_flops += counts.planned;
    if (!ENDED.has(counts.state)) continue;
    sweep.done_flops += counts.planned;
    sweep.last_result_at = Math.max(sweep.last_result_at ?? 0, counts.changed_at);
  }
  for (const sweep of progress.values()) {
    sweep.fraction = sweep.planned_flops > 0 ? sweep.done_flops / sweep.planned_flops : 1;
    if (sweep.state === "active" && isSettled(sweep)) sweep.state = settledState(sweep);
  }
  return [...progress.values()];
}

function settledState({ phases, by_state, runs }: SweepProgress): SweepProgress["state"] {
  if (phases.some((phase) => phase.state === "stopped")) return "stopped";
  return runs > 0 && by_state.failed === runs ? "failed" : "complete";
}

/** For people: the share of the work; none where all failed. */
export const doneText = ({ state, fraction }: Pick<SweepProgress, "state" | "fraction">): string =>
  `${state === "failed" ? 0 : Math.floor(fraction * 100)}%`;

/** Runs that still have to be trained. */
export const unfinished = (p: SweepProgress): number =>
  p.by_state.pending + p.by_state.queued + p.by_state.running;

/** Whether nothing will be trained any more: no run is on its way, and no phase is yet to start or to add runs. */
export const isSettled = (p: SweepProgress): boolean =>
  unfinished(p) === 0 &&
  (p.state === "cancelled" || p.phases.every(({ state }) => state === "complete" || state === "stopped"));

const phaseProgress = (db: Database, sweep: number): PhaseProgress[] =>
  readPhases(db, sweep).map(({ id, name, state, reason, taken, search, definition: { imported } }) => ({
    ...(imported === undefined ? {} : { imported: imported.from }),
    name,
    state,
    reason,
    points: countPoints(db, id),
    added: countAdded(db, id),
    taken,
    search,
  }));

/** @throws MusweepError (usage) naming the nearest sweep there is */
export function progressOf(db: Database, name: string): SweepProgress {
  const [progress] = sweepProgress(db, [name]);
  if (progress) return progress;
  const close = nearestName(name, sweepNames(db));
  throw new MusweepError("unknown-sweep", `there is no sweep "${name}"`, {
    kind: "usage",
    remedy: close ? `Did you mean "${close}"?` : "`musweep status` lists the sweeps there are.",
  });
}
