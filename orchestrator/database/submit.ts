/**
 * Stores a sweep: its phases, the grid points of those that can start, and the runs behind them that no earlier sweep has
 * brought. A name is a sweep; submitting it again with another file makes it what that file says, and keeps every result.
 */
import type { Phase } from "../../schema/sweep/sweep.ts";
import { canonicalJson } from "../../schema/wire/plan.ts";
import type { DataIdentity } from "../parameterization/resolve-plan.ts";
import { type Cell, expandPhase, tunedOf } from "../sweep/expand-sweep.ts";
import { sourcesOf } from "../sweep/taken-axes.ts";
import { removePoints } from "./cells.ts";
import type { Database } from "./connection.ts";
import { refreshPhase } from "./optima.ts";
import {
  type Definition,
  keepsAdded,
  putPhase,
  readPhases,
  removePhase,
  type StoredPhase,
  trainingText,
} from "./phases.ts";
import { cancelUnwanted, reviveCancelled } from "./run-states.ts";
import { type GatheredCells, gatherCells, placeRuns } from "./store-cells.ts";
import { countSweep, type EngineCount, enginesOf, putSweep } from "./sweeps.ts";

export interface SweepToStore {
  name: string;
  /** The YAML as submitted. */
  file: string;
  /** Without its directory. */
  file_name?: string;
  data: DataIdentity;
  /** Its share of the workers beside other sweeps. */
  priority: number;
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
  /** Who trained what is done. */
  engines: EngineCount[];
  /** Phases whose points are not known yet, because they take values from one that is not decided. */
  waiting: string[];
}

/** Yields while the grids are expanded; then everything is stored in one transaction, or nothing. */
export function* storeSweep(db: Database, sweep: SweepToStore, now = Date.now()): Generator<void, Stored> {
  const grids = new Map<Phase, GatheredCells>();
  try {
    for (const phase of sweep.phases) {
      if (sourcesOf(phase).length > 0) continue;
      const gathered = gatherCells(db);
      grids.set(phase, gathered);
      // A search adds its runs itself (orchestrator/phases/searched-runs.ts).
      if (phase.search === undefined)
        yield* gathering(db, phase, expandPhase(phase, sweep.data).cells(), gathered);
    }
    return db.transaction(() => store(db, sweep, grids, now));
  } finally {
    for (const gathered of grids.values()) gathered.drop();
  }
}

/** Cells in a transaction of their own, which the database file does not see. */
const BATCH = 50;

function* gathering(
  db: Database,
  phase: Phase,
  cells: Generator<Cell>,
  gathered: GatheredCells,
): Generator<void, void> {
  let position = 0;
  const gatherBatch = (): boolean => {
    for (let n = 0; n < BATCH; n++) {
      const { done, value } = cells.next();
      if (done) return false;
      gathered.add(value, phase, position++, "grid");
    }
    return true;
  };
  while (db.snapshot(gatherBatch)) yield;
}

/** @param grids of the phases that take nothing from others */
function store(
  db: Database,
  sweep: SweepToStore,
  grids: ReadonlyMap<Phase, GatheredCells>,
  now: number,
): Stored {
  const { name, file, file_name = null, data, priority } = sweep;
  const id = putSweep(db, { name, file, file_name, data_hash: data.hash, priority, now });
  const before = countSweep(db, id);
  const known = new Map(readPhases(db, id).map((phase) => [phase.name, phase]));
  let newRuns = 0;
  let removed = removePhases(db, known, sweep.phases);
  const changed = new Set<string>();
  for (const [position, phase] of sweep.phases.entries()) {
    const sources = sourcesOf(phase);
    const definition: Definition = { phase, data };
    const stored = known.get(phase.name);
    const isKept =
      stored !== undefined &&
      keepsAdded(stored.definition, definition) &&
      !sources.some((source) => changed.has(source));
    // A search that is asked otherwise keeps its points, but what was taken from it may become another value.
    if (!isKept || trainingText(stored.definition) !== trainingText(definition)) changed.add(phase.name);
    // What takes values waits for them anew when they, or what is done with them, may have become others.
    const waits = sources.length > 0 && (!isKept || stored.state === "waiting");
    const phaseId = putPhase(db, {
      sweep: id,
      name: phase.name,
      position,
      definition: canonicalJson(definition),
      state: waits ? "waiting" : sources.length > 0 ? stored!.state : "active",
      taken: waits ? [] : (stored?.taken ?? []),
      tuned: tunedOf(phase),
      kind: phase.coordinates === undefined ? "grid" : "coordinate-check",
    });
    const grid = grids.get(phase);
    // Also where nothing has changed: what a worker held the last time was left where it was.
    if (stored !== undefined) placeRuns(db, phaseId, phase);
    if (grid === undefined) {
      if (!isKept) removed += removePoints(db, phaseId);
    } else {
      newRuns += grid.store(phaseId, now);
      removed += grid.removeOthers(phaseId, { keepAdded: isKept });
    }
    reviveCancelled(db, phaseId, now);
    refreshPhase(db, phaseId);
  }
  cancelUnwanted(db, now);
  const { points, ...runs } = countSweep(db, id);
  return {
    sweep: name,
    points,
    added: points - before.points + removed,
    removed,
    new_runs: newRuns,
    ...runs,
    engines: enginesOf(db, id),
    waiting: readPhases(db, id).flatMap((phase) => (phase.state === "waiting" ? [phase.name] : [])),
  };
}

/** Phases that the file no longer has. @returns the points that go with them */
function removePhases(
  db: Database,
  known: ReadonlyMap<string, StoredPhase>,
  phases: readonly Phase[],
): number {
  let removed = 0;
  for (const { id, name } of known.values()) {
    if (phases.some((phase) => phase.name === name)) continue;
    removed += removePoints(db, id);
    removePhase(db, id);
  }
  return removed;
}
