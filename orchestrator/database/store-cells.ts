/**
 * Writes grid points, and the runs behind them that nothing has asked for before. They are gathered in a table of this connection's
 * own, which takes as long as it takes and nobody sees; then they move into their phase in a few statements.
 */
import type Sqlite from "better-sqlite3";
import { trainingFlops } from "../../schema/cost.ts";
import { canonicalJson } from "../../schema/plan.ts";
import type { Capability } from "../../schema/queue.ts";
import type { Cell } from "../sweep/expand-sweep.ts";

export interface GatheredCells {
  /**
   * In training order.
   * @param reason why the point is there: "grid", or what added it
   */
  add(cell: Cell, position: number, reason: string): void;
  /**
   * Call inside a transaction.
   * @returns how many of their runs are new
   */
  store(phaseId: number, options: { capability: Capability; now: number }): number;
  /**
   * Call after storing them.
   * @param options keepAdded: points that the phase has added to its grid stay
   * @returns how many other points have left the phase
   */
  removeOthers(phaseId: number, options: { keepAdded: boolean }): number;
  /** Forgets them, whether stored or not. */
  drop(): void;
}

/** One at a time is not enough: between the turns of a submission another one may begin. */
let gatherings = 0;

export function gatherCells(sqlite: Sqlite.Database): GatheredCells {
  sqlite.exec(
    `CREATE TEMP TABLE IF NOT EXISTS gathered_cells (gathering INTEGER, run_id TEXT, plan TEXT, steps INTEGER,
       planned_flops REAL, keep_weights INTEGER, position INTEGER, curve TEXT NOT NULL, parameterization TEXT, width INTEGER,
       layers INTEGER, sparsity REAL, learning_rate REAL, seed INTEGER NOT NULL, coordinates TEXT, reason TEXT,
       tuned_value REAL NOT NULL)`,
  );
  const gathering = ++gatherings;
  const findRun = sqlite.prepare<[string], unknown>("SELECT 1 FROM runs WHERE id = ?");
  const addCell = sqlite.prepare(
    `INSERT INTO gathered_cells VALUES (@gathering, @run, @plan, @steps, @planned_flops, @keep_weights, @position, @curve,
       @parameterization, @width, @layers, @sparsity, @learning_rate, @seed, @json, @reason, @tuned_value)`,
  );
  return {
    add(cell, position, reason) {
      const { run, curve, coordinates, tuned_value, plan, keep_weights } = cell;
      addCell.run({
        ...coordinates,
        gathering,
        run,
        plan: findRun.get(run) === undefined ? canonicalJson(plan) : null,
        steps: plan.steps,
        planned_flops: trainingFlops(plan),
        keep_weights: keep_weights ? 1 : 0,
        position,
        curve,
        json: canonicalJson(coordinates),
        reason,
        tuned_value,
      });
    },
    store(phaseId, { capability, now }) {
      const ordinal = sqlite.prepare<[], number>("SELECT coalesce(max(ordinal), 0) FROM runs").pluck().get()!;
      sqlite
        .prepare(
          `INSERT INTO runs (id, capability, ordinal, keep_weights, steps, planned_flops, created_at, updated_at)
           SELECT run_id, @capability, @ordinal + row_number() OVER (ORDER BY rowid), keep_weights, steps, planned_flops, @now,
             @now
           FROM gathered_cells WHERE gathering = @gathering ORDER BY rowid
           ON CONFLICT (id) DO UPDATE SET keep_weights = max(keep_weights, excluded.keep_weights)`,
        )
        .run({ gathering, capability, ordinal, now });
      const { changes: newRuns } = sqlite
        .prepare(
          `INSERT INTO plans (run_id, plan)
           SELECT run_id, plan FROM gathered_cells WHERE gathering = ? AND plan IS NOT NULL ORDER BY rowid
           ON CONFLICT (run_id) DO NOTHING`,
        )
        .run(gathering);
      sqlite
        .prepare(
          `INSERT INTO cells (phase_id, run_id, position, curve, parameterization, width, layers, sparsity, learning_rate,
             seed, coordinates, reason, tuned_value)
           SELECT @phaseId, run_id, position, curve, parameterization, width, layers, sparsity, learning_rate, seed, coordinates,
             reason, tuned_value
           FROM gathered_cells WHERE gathering = @gathering ORDER BY rowid
           ON CONFLICT (phase_id, curve, tuned_value, seed) DO UPDATE SET
             run_id = excluded.run_id, position = excluded.position, coordinates = excluded.coordinates,
             reason = excluded.reason
           WHERE run_id <> excluded.run_id OR position <> excluded.position OR reason <> excluded.reason`,
        )
        .run({ gathering, phaseId });
      return newRuns;
    },
    removeOthers: (phaseId, { keepAdded }) =>
      sqlite
        .prepare(
          `DELETE FROM cells WHERE phase_id = @phaseId AND (reason = 'grid' OR NOT @keepAdded)
           AND (curve, tuned_value, seed) NOT IN
             (SELECT curve, tuned_value, seed FROM gathered_cells WHERE gathering = @gathering)`,
        )
        .run({ phaseId, gathering, keepAdded: keepAdded ? 1 : 0 }).changes,
    drop: () => void sqlite.prepare("DELETE FROM gathered_cells WHERE gathering = ?").run(gathering),
  };
}

/** Runs that were cancelled, and that an active sweep's phase asks for again. */
export function reviveCancelled(sqlite: Sqlite.Database, phaseId: number, now: number): void {
  sqlite
    .prepare(
      `UPDATE runs SET state = 'pending', updated_at = @now WHERE state = 'cancelled'
       AND id IN (SELECT run_id FROM cells WHERE phase_id = @phaseId)`,
    )
    .run({ phaseId, now });
}
