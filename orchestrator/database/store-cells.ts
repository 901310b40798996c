/**
 * Writes grid points, and the runs behind them that nothing has asked for before. They are gathered in a table of this connection's
 * own, which takes as long as it takes and nobody sees; then they move into their phase in a few statements.
 */
import { plannedFlops } from "../../schema/wire/cost.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { type Need, needOfRun, type Placement } from "../../schema/wire/need.ts";
import { canonicalJson, LIMITS, type RunPlan } from "../../schema/wire/plan.ts";
import type { Cell } from "../sweep/expand-sweep.ts";
import { type Database, prepared } from "./connection.ts";
import { readPhase } from "./phases.ts";
import { lastOrdinal, runState } from "./runs.ts";

export interface GatheredCells {
  /**
   * In training order.
   * @param placement where its run is to be trained
   * @param reason why the point is there: "grid", or what added it
   */
  add(cell: Cell, placement: Placement, position: number, reason: string): void;
  /**
   * Moves them into their phase. Call inside a transaction.
   * @returns how many of their runs are new
   * @throws MusweepError (conflict) where runs were removed since they were gathered
   */
  store(phase: number, now: number): number;
  /**
   * Call after storing them.
   * @param options keepAdded: points that the phase has added to its grid stay
   * @returns how many other points have left the phase
   */
  removeOthers(phase: number, options: { keepAdded: boolean }): number;
  /** Forgets them, whether stored or not. */
  drop(): void;
}

/**
 * The run gets another need; one that waits on the queue of another leaves it, which the dispatcher sees to. What a worker holds
 * stays with it.
 * @param orElse why it leaves the queue though its need is the same
 */
const moved = (need: string, orElse = "0"): string =>
  `need = CASE WHEN state = 'running' THEN need ELSE ${need} END,
   state = CASE WHEN state = 'queued' AND on_queue = 1 AND (need <> ${need} OR ${orElse}) THEN 'pending' ELSE state END`;

/**
 * A table of the connection's own is none that the builder's declarations know; and it cannot fill a table from a selection without
 * giving every column, or number its rows.
 */
const statements = prepared(({ sqlite }) => {
  sqlite.exec(
    `CREATE TEMP TABLE gathered_cells (gathering INTEGER, run_id TEXT, plan TEXT, steps INTEGER, planned_flops REAL,
       need TEXT, keep_weights INTEGER, position INTEGER, curve TEXT NOT NULL, parameterization TEXT, width INTEGER, layers INTEGER,
       sparsity REAL, learning_rate REAL, seed INTEGER NOT NULL, coordinates TEXT, reason TEXT, tuned_value REAL NOT NULL)`,
  );
  return {
    add: sqlite.prepare(
      `INSERT INTO gathered_cells VALUES (@gathering, @run, @plan, @steps, @planned_flops, @need, @keep_weights, @position, @curve,
         @parameterization, @width, @layers, @sparsity, @learning_rate, @seed, @json, @reason, @tuned_value)`,
    ),
    storeRuns: sqlite.prepare(
      `INSERT INTO runs (id, need, ordinal, keep_weights, steps, planned_flops, created_at, updated_at)
       SELECT run_id, need, @ordinal + row_number() OVER (ORDER BY rowid), keep_weights, steps, planned_flops, @now, @now
       FROM gathered_cells WHERE gathering = @gathering ORDER BY rowid
       ON CONFLICT (id) DO UPDATE SET keep_weights = max(keep_weights, excluded.keep_weights),
         ${moved("excluded.need", "excluded.keep_weights > keep_weights")}`,
    ),
    storePlans: sqlite.prepare(
      `INSERT INTO plans (run_id, plan)
       SELECT run_id, plan FROM gathered_cells WHERE gathering = @gathering AND plan IS NOT NULL ORDER BY rowid
       ON CONFLICT (run_id) DO NOTHING`,
    ),
    withoutPlan: sqlite.prepare<{ gathering: number }, { run: string }>(
      `SELECT run_id AS run FROM gathered_cells g WHERE gathering = @gathering
       AND NOT EXISTS (SELECT 1 FROM plans p WHERE p.run_id = g.run_id) LIMIT 1`,
    ),
    storeCells: sqlite.prepare(
      `INSERT INTO cells (phase_id, run_id, position, curve, parameterization, width, layers, sparsity, learning_rate,
         seed, coordinates, reason, tuned_value)
       SELECT @phase, run_id, position, curve, parameterization, width, layers, sparsity, learning_rate, seed, coordinates,
         reason, tuned_value
       FROM gathered_cells WHERE gathering = @gathering ORDER BY rowid
       ON CONFLICT (phase_id, curve, tuned_value, seed) DO UPDATE SET
         run_id = excluded.run_id, position = excluded.position, coordinates = excluded.coordinates,
         reason = excluded.reason
       WHERE run_id <> excluded.run_id OR position <> excluded.position OR reason <> excluded.reason`,
    ),
    removeOthers: sqlite.prepare(
      `DELETE FROM cells WHERE phase_id = @phase AND (reason = 'grid' OR NOT @keepAdded)
       AND (curve, tuned_value, seed) NOT IN
         (SELECT curve, tuned_value, seed FROM gathered_cells WHERE gathering = @gathering)`,
    ),
    drop: sqlite.prepare("DELETE FROM gathered_cells WHERE gathering = @gathering"),
  };
});

const placed = prepared(({ sqlite }) => ({
  kinds: sqlite.prepare<[number], { name: string; precision: RunPlan["precision"] }>(
    `SELECT DISTINCT json_extract(plan, '$.trainer.name') AS name, json_extract(plan, '$.precision') AS precision
     FROM cells c JOIN plans p ON p.run_id = c.run_id WHERE c.phase_id = ?`,
  ),
  move: sqlite.prepare<{ phase: number; name: string; precision: string; need: Need }>(
    `UPDATE runs SET ${moved("@need")}
     WHERE need <> @need AND id IN (
       SELECT c.run_id FROM cells c JOIN plans p ON p.run_id = c.run_id
       WHERE c.phase_id = @phase AND json_extract(plan, '$.trainer.name') = @name
         AND json_extract(plan, '$.precision') = @precision)`,
  ),
}));

/** All runs of a phase are to be trained elsewhere from now on, those included that it has added to its grid. */
export function placeRuns(db: Database, phase: number, placement: Placement): void {
  const { kinds, move } = placed(db);
  for (const { name, precision } of kinds.all(phase)) {
    const need = needOfRun({ trainer: { name, revision: "" }, precision }, placement);
    move.run({ phase, name, precision, need });
  }
}

const beside = prepared(({ sqlite }) =>
  sqlite
    .prepare<{ sweep: number }, number>(
      `SELECT DISTINCT p.id FROM sweep_runs w JOIN cells c ON c.run_id = w.run_id JOIN phases p ON p.id = c.phase_id
       JOIN sweeps s ON s.id = p.sweep_id
       WHERE w.sweep_id = @sweep AND s.id <> @sweep AND s.state = 'active' ORDER BY s.id, p.position`,
    )
    .pluck(),
);

/** Phases of other active sweeps that want runs of this one. */
export const phasesBeside = (db: Database, sweep: number): number[] => beside(db).all({ sweep });

/** Once a sweep wants them no longer, runs that it has moved are trained where the others want them. */
export function placeAnew(db: Database, phases: readonly number[]): void {
  for (const phase of phases) placeRuns(db, phase, readPhase(db, phase).definition.phase);
}

/** One at a time is not enough: between the turns of a submission another one may begin. */
let gatherings = 0;

export function gatherCells(db: Database): GatheredCells {
  const { add, storeRuns, storePlans, withoutPlan, storeCells, removeOthers, drop } = statements(db);
  const gathering = ++gatherings;
  return {
    add(cell, placement, position, reason) {
      const { run, curve, coordinates, tuned_value, plan, keep_weights } = cell;
      add.run({
        ...coordinates,
        gathering,
        run,
        plan: runState(db, run) === undefined ? canonicalJson(plan) : null,
        // As long as anything may take, where nobody but the script knows.
        steps: plan.steps ?? LIMITS.steps,
        planned_flops: plannedFlops(plan, placement),
        need: needOfRun(plan, placement),
        keep_weights: keep_weights ? 1 : 0,
        position,
        curve,
        json: canonicalJson(coordinates),
        reason,
        tuned_value,
      });
    },
    store(phase, now) {
      storeRuns.run({ gathering, ordinal: lastOrdinal(db), now });
      const { changes: newRuns } = storePlans.run({ gathering });
      // Of a run that was there when it was gathered, no plan was kept.
      if (withoutPlan.get({ gathering }) !== undefined)
        throw new MusweepError(
          "removed-meanwhile",
          "runs of this sweep were removed while it was being stored",
          {
            kind: "conflict",
            remedy: "Submit it again.",
          },
        );
      storeCells.run({ gathering, phase });
      return newRuns;
    },
    removeOthers: (phase, { keepAdded }) =>
      removeOthers.run({ phase, gathering, keepAdded: keepAdded ? 1 : 0 }).changes,
    drop: () => void drop.run({ gathering }),
  };
}
