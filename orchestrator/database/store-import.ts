/**
 * Stores results of runs that were trained elsewhere as a sweep of one phase. Such a run has no plan: it is a result, and nothing
 * can train it again. Its id is the hash of what it is, so that the same table brings the same runs.
 */
import { createHash } from "node:crypto";
import { cells, runs } from "../../schema/database/tables.ts";
import { PARAMETERIZATIONS, type Parameterization } from "../../schema/sweep/rules.ts";
import { sectionsSchema } from "../../schema/sweep/sweep.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { canonicalJson } from "../../schema/wire/plan.ts";
import { NO_DATA } from "../parameterization/resolve-plan.ts";
import { type Coordinates, curveOf } from "../sweep/expand-sweep.ts";
import { removePoints } from "./cells.ts";
import { type Database, given, prepared } from "./connection.ts";
import { refreshPhase } from "./optima.ts";
import { type Definition, type Imported, putPhase, readPhases } from "./phases.ts";
import { lastOrdinal } from "./runs.ts";
import { findSweep, putSweep } from "./sweeps.ts";
import type { OnMade } from "./transfer.ts";

export interface ImportToStore {
  name: string;
  /** What stands in place of the sweep file: where the results come from, and how they were read. */
  text: string;
  imported: Imported;
  results: readonly Result[];
}

interface Result {
  coordinates: Record<string, unknown>;
  /** Null: diverged. */
  loss: number | null;
}

const PHASE = "results";

const putRun = prepared(({ orm }) =>
  orm
    .insert(runs)
    .values({
      id: given("id"),
      state: given("state"),
      ordinal: given("ordinal"),
      step: given("steps"),
      steps: given("steps"),
      planned_flops: 0,
      validation_loss: given("loss"),
      divergence: given("divergence"),
      engine: given("engine"),
      created_at: given("now"),
      updated_at: given("now"),
    })
    .onConflictDoNothing()
    .prepare(),
);

const putCell = prepared(({ orm }) =>
  orm
    .insert(cells)
    .values({
      phase_id: given("phase"),
      run_id: given("run"),
      position: given("position"),
      curve: given("curve"),
      parameterization: given("parameterization"),
      width: given("width"),
      layers: given("layers"),
      sparsity: given("sparsity"),
      learning_rate: given("learning_rate"),
      seed: given("seed"),
      coordinates: given("json"),
      reason: "grid",
      tuned_value: given("learning_rate"),
    })
    .prepare(),
);

/**
 * In one transaction; a sweep of that name that was imported before becomes this one.
 * @param onMade told of each fit and verdict: of thousands of curves they take minutes
 * @throws MusweepError (usage): there is a sweep of that name that is trained here
 */
export const storeImport = (db: Database, sweep: ImportToStore, onMade?: OnMade, now = Date.now()): void =>
  db.transaction(() => {
    const { name, text, imported, results } = sweep;
    refuseTrained(db, name);
    const id = putSweep(db, { name, file: text, file_name: null, data_hash: "", priority: 1, now });
    const definition: Definition = {
      phase: {
        ...sectionsSchema.parse({}),
        name: PHASE,
        trainer: "elsewhere",
        revision: "1",
        axes: {},
        allow_unbracketed: false,
        keep_weights: false,
      },
      data: NO_DATA,
      imported,
    };
    const phase = putPhase(db, {
      sweep: id,
      name: PHASE,
      position: 0,
      definition: canonicalJson(definition),
      state: "active",
      taken: [],
      tuned: "learning_rate",
      kind: "grid",
    });
    removePoints(db, phase);
    const first = lastOrdinal(db) + 1;
    const fixedSteps = imported.fixed.steps;
    for (const [position, { coordinates, loss }] of results.toSorted(inOrderOfGrids).entries()) {
      const run = runIdOf(name, coordinates, loss);
      const steps = coordinates.steps ?? fixedSteps;
      putRun(db).run({
        id: run,
        state: loss === null ? "diverged" : "finished",
        ordinal: first + position,
        steps: typeof steps === "number" ? steps : 1,
        loss,
        divergence: loss === null ? "non-finite" : null,
        engine: `${IMPORT} ${imported.from}`,
        now,
      });
      putCell(db).run({
        ...coordinates,
        phase,
        run,
        position,
        curve: curveOf(coordinates as Coordinates),
        json: canonicalJson(coordinates),
      });
    }
    refreshPhase(db, phase, onMade);
  });

/** As grids come: all curves of the first seed, then of the next; curves by place, their points by rising rate. */
function inOrderOfGrids(a: Result, b: Result): number {
  const last = ["sparsity", "learning_rate"];
  const others = Object.keys(a.coordinates).filter((name) => !last.includes(name));
  for (const name of ["seed", "parameterization", "width", "layers", ...others, ...last]) {
    const order = compare(name, a.coordinates[name], b.coordinates[name]);
    if (order !== 0) return order;
  }
  return 0;
}

function compare(name: string, x: unknown, y: unknown): number {
  if (name === "parameterization")
    return (
      PARAMETERIZATIONS.indexOf(x as Parameterization) - PARAMETERIZATIONS.indexOf(y as Parameterization)
    );
  if (typeof x === "number" && typeof y === "number") return x - y;
  return String(x).localeCompare(String(y), "en");
}

/** In the place of an engine's name, before the file's. */
const IMPORT = "import";

/** @returns the file that a run's result comes from; null: it was trained here */
export const importedFrom = (engine: string): string | null =>
  engine.startsWith(`${IMPORT} `) ? engine.slice(IMPORT.length + 1) : null;

const runIdOf = (...what: readonly unknown[]): string =>
  `r${createHash("sha256").update(canonicalJson(what)).digest("hex").slice(0, 20)}`;

function refuseTrained(db: Database, name: string): void {
  const known = findSweep(db, name);
  if (known === undefined || readPhases(db, known.id).every(({ definition }) => definition.imported)) return;
  throw new MusweepError("sweep-exists", `there is a sweep "${name}" already, which is trained here`, {
    kind: "usage",
    remedy: "Choose another --name. Nothing was stored.",
  });
}
