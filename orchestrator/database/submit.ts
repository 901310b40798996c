/**
 * Stores a sweep: its grid points as cells, and the runs behind them that no earlier sweep has brought. A name is a sweep;
 * submitting it again with another file makes it what that file says, and keeps every result.
 */
import { trainingFlops } from "../../schema/cost.ts";
import type { Plan } from "../../schema/plan.ts";
import { canonicalJson } from "../../schema/plan.ts";
import type { Capability } from "../../schema/queue.ts";
import type { Database } from "./open.ts";
import { refreshPhase } from "./optima.ts";

interface CellToStore {
  coordinates: {
    parameterization: string;
    width: number;
    layers: number;
    sparsity: number;
    learning_rate: number;
    seed: number;
  };
  curve: string;
  plan: Plan;
  run: string;
  keep_weights: boolean;
}

export interface SweepToStore {
  name: string;
  /** The YAML as submitted. */
  file: string;
  data_hash: string;
  capability: Capability;
  phase: string;
  cells: Iterable<CellToStore>;
}

export interface Stored {
  sweep: string;
  /** Grid points now in the sweep, and how many of them are new or gone since the last submission. */
  points: number;
  added: number;
  removed: number;
  /** Distinct runs behind the points: brought by this submission, already trained, and waiting or in progress. */
  runs: number;
  new_runs: number;
  done: number;
}

export function storeSweep(db: Database, sweep: SweepToStore, now = Date.now()): Stored {
  return db.sqlite.transaction(() => store(db, sweep, now)).immediate();
}

function store({ sqlite }: Database, sweep: SweepToStore, now: number): Stored {
  const { id: sweepId } = sqlite
    .prepare<unknown[], { id: number }>(
      `INSERT INTO sweeps (name, file, data_hash, submitted_at) VALUES (@name, @file, @data_hash, @now)
       ON CONFLICT (name) DO UPDATE SET
         revision = revision + (file <> excluded.file), file = excluded.file, data_hash = excluded.data_hash,
         state = 'active', submitted_at = excluded.submitted_at
       RETURNING id`,
    )
    .get({ name: sweep.name, file: sweep.file, data_hash: sweep.data_hash, now })!;
  const { id: phaseId } = sqlite
    .prepare<unknown[], { id: number }>(
      `INSERT INTO phases (sweep_id, name, position) VALUES (?, ?, 0)
       ON CONFLICT (sweep_id, name) DO UPDATE SET position = excluded.position RETURNING id`,
    )
    .get(sweepId, sweep.phase)!;

  const addRun = sqlite.prepare(
    `INSERT INTO runs (id, plan, capability, ordinal, keep_weights, steps, planned_flops, created_at, updated_at)
     VALUES (@run, @plan, @capability, @ordinal, @keep_weights, @steps, @planned_flops, @now, @now)
     ON CONFLICT (id) DO UPDATE SET keep_weights = max(keep_weights, excluded.keep_weights)`,
  );
  const findRun = sqlite.prepare<[string], { state: string }>("SELECT state FROM runs WHERE id = ?");
  const addCell = sqlite.prepare(
    `INSERT INTO cells (phase_id, run_id, position, curve, parameterization, width, layers, sparsity, learning_rate, seed, coordinates)
     VALUES (@phaseId, @run, @position, @curve, @parameterization, @width, @layers, @sparsity, @learning_rate, @seed, @json)
     ON CONFLICT (phase_id, curve, learning_rate, seed) DO UPDATE SET
       run_id = excluded.run_id, position = excluded.position, coordinates = excluded.coordinates
     WHERE run_id <> excluded.run_id OR position <> excluded.position`,
  );
  let ordinal = sqlite.prepare<[], { n: number }>("SELECT coalesce(max(ordinal), 0) AS n FROM runs").get()!.n;

  sqlite.exec(
    "CREATE TEMP TABLE IF NOT EXISTS wanted (run_id TEXT, curve TEXT, learning_rate REAL, seed INTEGER)",
  );
  sqlite.exec("DELETE FROM wanted");
  const addWanted = sqlite.prepare("INSERT INTO wanted VALUES (@run, @curve, @learning_rate, @seed)");
  const before = countCells(sqlite, phaseId);
  let position = 0;
  let newRuns = 0;
  for (const cell of sweep.cells) {
    const { run, curve, coordinates } = cell;
    if (!findRun.get(run)) newRuns++;
    addRun.run({
      run,
      plan: canonicalJson(cell.plan),
      capability: sweep.capability,
      ordinal: ++ordinal,
      keep_weights: cell.keep_weights ? 1 : 0,
      steps: cell.plan.steps,
      planned_flops: trainingFlops(cell.plan),
      now,
    });
    addCell.run({
      ...coordinates,
      phaseId,
      run,
      position: position++,
      curve,
      json: canonicalJson(coordinates),
    });
    addWanted.run({ run, curve, learning_rate: coordinates.learning_rate, seed: coordinates.seed });
  }
  const added = countCells(sqlite, phaseId) - before;
  const removed = sqlite
    .prepare(
      `DELETE FROM cells WHERE phase_id IN (SELECT id FROM phases WHERE sweep_id = ?)
       AND NOT EXISTS (SELECT 1 FROM wanted w WHERE w.run_id = cells.run_id AND w.curve = cells.curve
                       AND w.learning_rate = cells.learning_rate AND w.seed = cells.seed)`,
    )
    .run(sweepId).changes;
  // What was cancelled is wanted again; what nobody wants any more is not trained.
  sqlite
    .prepare(
      "UPDATE runs SET state = 'pending', updated_at = ? WHERE state = 'cancelled' AND id IN (SELECT run_id FROM wanted)",
    )
    .run(now);
  cancelUnwanted(sqlite, now);
  refreshPhase(sqlite, phaseId);

  const counts = sqlite
    .prepare<[], { runs: number; done: number }>(
      `SELECT count(*) AS runs, coalesce(sum(state IN ('finished', 'diverged')), 0) AS done
       FROM runs WHERE id IN (SELECT run_id FROM wanted)`,
    )
    .get()!;
  return { sweep: sweep.name, points: position, added, removed, new_runs: newRuns, ...counts };
}

const countCells = (sqlite: Database["sqlite"], phase: number): number =>
  sqlite.prepare<[number], { n: number }>("SELECT count(*) AS n FROM cells WHERE phase_id = ?").get(phase)!.n;

/** Cancels every unfinished run that no active sweep asks for. The dispatcher takes the jobs off the queue. */
export function cancelUnwanted(sqlite: Database["sqlite"], now: number): number {
  return sqlite
    .prepare(
      `UPDATE runs SET state = 'cancelled', updated_at = @now
       WHERE state IN ('pending', 'queued', 'running') AND NOT EXISTS (
         SELECT 1 FROM cells c JOIN phases p ON p.id = c.phase_id JOIN sweeps s ON s.id = p.sweep_id
         WHERE c.run_id = runs.id AND s.state = 'active')`,
    )
    .run({ now }).changes;
}
