/**
 * Stores a sweep: its phases, the grid points of those that can start, and the runs behind them that no earlier sweep has
 * brought. A name is a sweep; submitting it again with another file makes it what that file says, and keeps every result.
 */
import type { TakenName } from "../../schema/axes.ts";
import type { Capability } from "../../schema/queue.ts";
import type { Phase } from "../../schema/sweep.ts";
import type { DataIdentity } from "../parameterization/resolve-plan.ts";
import { type Cell, expandPhase, tunedOf } from "../sweep/expand-sweep.ts";
import { sourcesOf } from "../sweep/taken-axes.ts";
import type { Database } from "./open.ts";
import { refreshPhase } from "./optima.ts";
import { definitionOf } from "./phases.ts";
import { type GatheredCells, gatherCells, reviveCancelled } from "./store-cells.ts";

export interface SweepToStore {
  name: string;
  /** The YAML as submitted. */
  file: string;
  data: DataIdentity;
  capability: Capability;
  phases: readonly Phase[];
}

export interface Stored {
  sweep: string;
  /** Grid points now in the sweep, and how many of them are new or gone since the last submission. */
  points: number;
  added: number;
  removed: number;
  /** Distinct runs behind the points: brought by this submission, already trained, failed; all others wait or are in progress. */
  runs: number;
  new_runs: number;
  done: number;
  /** Trained again only when they are requeued. */
  failed: number;
  /** Phases whose points are not known yet, because they take values from one that is not decided. */
  waiting: string[];
}

/** Yields while the grids are expanded; then everything is stored in one transaction, or nothing. */
export function* storeSweep(db: Database, sweep: SweepToStore, now = Date.now()): Generator<void, Stored> {
  const grids = new Map<Phase, GatheredCells>();
  try {
    for (const phase of sweep.phases) {
      if (sourcesOf(phase).length > 0) continue;
      const gathered = gatherCells(db.sqlite);
      grids.set(phase, gathered);
      yield* gathering(db, expandPhase(phase, sweep.data).cells(), gathered);
    }
    return db.sqlite.transaction(() => store(db, sweep, grids, now)).immediate();
  } finally {
    for (const gathered of grids.values()) gathered.drop();
  }
}

/** Cells in a transaction of their own, which the database file does not see. */
const BATCH = 50;

function* gathering(
  { sqlite }: Database,
  cells: Generator<Cell>,
  gathered: GatheredCells,
): Generator<void, void> {
  let position = 0;
  const gatherBatch = sqlite.transaction((): boolean => {
    for (let n = 0; n < BATCH; n++) {
      const { done, value } = cells.next();
      if (done) return false;
      gathered.add(value, position++, "grid");
    }
    return true;
  });
  while (gatherBatch()) yield;
}

/** @param grids of the phases that take nothing from others */
function store(
  { sqlite }: Database,
  sweep: SweepToStore,
  grids: ReadonlyMap<Phase, GatheredCells>,
  now: number,
): Stored {
  const { id: sweepId } = sqlite
    .prepare<unknown[], { id: number }>(
      `INSERT INTO sweeps (name, file, data_hash, submitted_at) VALUES (@name, @file, @data_hash, @now)
       ON CONFLICT (name) DO UPDATE SET
         revision = revision + (file <> excluded.file), file = excluded.file, data_hash = excluded.data_hash,
         state = 'active', submitted_at = excluded.submitted_at
       RETURNING id`,
    )
    .get({ name: sweep.name, file: sweep.file, data_hash: sweep.data.hash, now })!;
  const before = countPoints(sqlite, sweepId);
  let newRuns = 0;
  let removed = removePhases(sqlite, sweepId, sweep.phases);
  const changed = new Set<string>();
  for (const [position, phase] of sweep.phases.entries()) {
    const sources = sourcesOf(phase);
    const definition = definitionOf({ phase, data: sweep.data, capability: sweep.capability });
    const known = findPhase(sqlite, sweepId, phase.name);
    const isChanged = known?.definition !== definition || sources.some((name) => changed.has(name));
    if (isChanged) changed.add(phase.name);
    // What takes values waits for them anew when they, or what is done with them, may have become others.
    const waits = sources.length > 0 && (isChanged || known?.state === "waiting");
    const id = writePhase(sqlite, sweepId, phase.name, {
      position,
      definition,
      state: waits ? "waiting" : sources.length > 0 ? (known?.state ?? "waiting") : "active",
      taken: waits ? "[]" : (known?.taken ?? "[]"),
      tuned: tunedOf(phase),
      kind: phase.coordinates === undefined ? "grid" : "coordinate-check",
    });
    const grid = grids.get(phase);
    if (grid === undefined) {
      if (isChanged) removed += sqlite.prepare("DELETE FROM cells WHERE phase_id = ?").run(id).changes;
    } else {
      newRuns += grid.store(id, { capability: sweep.capability, now });
      removed += grid.removeOthers(id, { keepAdded: !isChanged });
    }
    reviveCancelled(sqlite, id, now);
    refreshPhase(sqlite, id);
  }
  cancelUnwanted(sqlite, now);
  const { points } = countPoints(sqlite, sweepId);
  return {
    sweep: sweep.name,
    points,
    added: points - before.points + removed,
    removed,
    new_runs: newRuns,
    ...countRuns(sqlite, sweepId),
    waiting: sqlite
      .prepare<[number], { name: string }>(
        "SELECT name FROM phases WHERE sweep_id = ? AND state = 'waiting' ORDER BY position",
      )
      .all(sweepId)
      .map((row) => row.name),
  };
}

/** Phases that the file no longer has. @returns the points that go with them */
function removePhases(sqlite: Database["sqlite"], sweepId: number, phases: readonly Phase[]): number {
  const names = JSON.stringify(phases.map((p) => p.name));
  const gone = "sweep_id = @sweepId AND name NOT IN (SELECT value FROM json_each(@names))";
  const removed = sqlite
    .prepare(`DELETE FROM cells WHERE phase_id IN (SELECT id FROM phases WHERE ${gone})`)
    .run({ sweepId, names }).changes;
  sqlite.prepare(`DELETE FROM phases WHERE ${gone}`).run({ sweepId, names });
  return removed;
}

const findPhase = (sqlite: Database["sqlite"], sweepId: number, name: string) =>
  sqlite
    .prepare<unknown[], { definition: string; state: string; taken: string }>(
      "SELECT definition, state, taken FROM phases WHERE sweep_id = ? AND name = ?",
    )
    .get(sweepId, name);

function writePhase(
  sqlite: Database["sqlite"],
  sweepId: number,
  name: string,
  values: {
    position: number;
    definition: string;
    state: string;
    taken: string;
    tuned: TakenName;
    kind: string;
  },
): number {
  return sqlite
    .prepare<unknown[], { id: number }>(
      `INSERT INTO phases (sweep_id, name, position, definition, state, taken, tuned, kind, due)
       VALUES (@sweepId, @name, @position, @definition, @state, @taken, @tuned, @kind, 1)
       ON CONFLICT (sweep_id, name) DO UPDATE SET
         position = excluded.position, definition = excluded.definition, state = excluded.state, taken = excluded.taken,
         tuned = excluded.tuned, kind = excluded.kind,
         reason = CASE WHEN excluded.state = 'stopped' THEN reason END, due = 1
       RETURNING id`,
    )
    .get({ sweepId, name, ...values })!.id;
}

const countPoints = (sqlite: Database["sqlite"], sweepId: number): { points: number } =>
  sqlite
    .prepare<[number], { points: number }>(
      "SELECT count(*) AS points FROM cells WHERE phase_id IN (SELECT id FROM phases WHERE sweep_id = ?)",
    )
    .get(sweepId)!;

const countRuns = (sqlite: Database["sqlite"], sweepId: number): Pick<Stored, "runs" | "done" | "failed"> =>
  sqlite
    .prepare<[number], Pick<Stored, "runs" | "done" | "failed">>(
      `SELECT count(*) AS runs, coalesce(sum(state IN ('finished', 'diverged')), 0) AS done,
         coalesce(sum(state = 'failed'), 0) AS failed FROM runs
       WHERE id IN (SELECT c.run_id FROM cells c JOIN phases p ON p.id = c.phase_id WHERE p.sweep_id = ?)`,
    )
    .get(sweepId)!;

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
