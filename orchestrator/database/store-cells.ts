/** Writes grid points, and the runs behind them that nothing has asked for before. */
import type Sqlite from "better-sqlite3";
import { trainingFlops } from "../../schema/cost.ts";
import { canonicalJson } from "../../schema/plan.ts";
import type { Capability } from "../../schema/queue.ts";
import type { Cell } from "../sweep/expand-sweep.ts";

export interface CellWriter {
  /**
   * @param reason why the point is there: "grid", or what added it
   * @returns whether its run is new
   */
  write(cell: Cell, position: number, reason: string): boolean;
}

/** For one phase, in training order. Call inside a transaction. */
export function cellWriter(
  sqlite: Sqlite.Database,
  phaseId: number,
  options: { capability: Capability; now: number },
): CellWriter {
  const findRun = sqlite.prepare<[string], { state: string }>("SELECT state FROM runs WHERE id = ?");
  const addRun = sqlite.prepare(
    `INSERT INTO runs (id, capability, ordinal, keep_weights, steps, planned_flops, created_at, updated_at)
     VALUES (@run, @capability, @ordinal, @keep_weights, @steps, @planned_flops, @now, @now)
     ON CONFLICT (id) DO UPDATE SET keep_weights = max(keep_weights, excluded.keep_weights)`,
  );
  const addPlan = sqlite.prepare("INSERT INTO plans (run_id, plan) VALUES (?, ?)");
  const addCell = sqlite.prepare(
    `INSERT INTO cells (phase_id, run_id, position, curve, parameterization, width, layers, sparsity, learning_rate, seed,
       coordinates, reason, tuned_value)
     VALUES (@phaseId, @run, @position, @curve, @parameterization, @width, @layers, @sparsity, @learning_rate, @seed,
       @json, @reason, @tuned_value)
     ON CONFLICT (phase_id, curve, tuned_value, seed) DO UPDATE SET
       run_id = excluded.run_id, position = excluded.position, coordinates = excluded.coordinates, reason = excluded.reason
     WHERE run_id <> excluded.run_id OR position <> excluded.position OR reason <> excluded.reason`,
  );
  let ordinal = sqlite.prepare<[], { n: number }>("SELECT coalesce(max(ordinal), 0) AS n FROM runs").get()!.n;
  return {
    write(cell, position, reason) {
      const { run, curve, coordinates, tuned_value } = cell;
      const isNew = findRun.get(run) === undefined;
      addRun.run({
        run,
        capability: options.capability,
        ordinal: ++ordinal,
        keep_weights: cell.keep_weights ? 1 : 0,
        steps: cell.plan.steps,
        planned_flops: trainingFlops(cell.plan),
        now: options.now,
      });
      if (isNew) addPlan.run(run, canonicalJson(cell.plan));
      addCell.run({
        ...coordinates,
        phaseId,
        run,
        position,
        curve,
        json: canonicalJson(coordinates),
        reason,
        tuned_value,
      });
      return isNew;
    },
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
