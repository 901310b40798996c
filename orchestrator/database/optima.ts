/**
 * Keeps the fitted optima current: whatever changes a run's state calls this in the same transaction, so a report and an
 * SQL query can never disagree.
 */
import type Sqlite from "better-sqlite3";
import { pooledNoise } from "../analysis/noise.ts";
import { fitOptimum } from "../analysis/optimum.ts";
import type { CurveInput, CurvePoint, Noise, Optimum } from "../analysis/types.ts";

interface CellRow {
  curve: string;
  parameterization: string;
  width: number;
  layers: number;
  sparsity: number;
  position: number;
  learning_rate: number;
  seed: number;
  state: string;
  validation_loss: number | null;
}

export type PhaseCurves = Map<string, { first: CellRow; input: CurveInput }>;

const CELLS = `
  SELECT c.curve, c.parameterization, c.width, c.layers, c.sparsity, c.position, c.learning_rate, c.seed,
         r.state, r.validation_loss
  FROM cells c JOIN runs r ON r.id = c.run_id
  WHERE c.phase_id = @phase`;

/** Curves above this many are refreshed one by one as results arrive, and all together when the phase is complete. */
const CURVES_REFRESHED_TOGETHER = 64;

/** Groups rows (ordered by position) into curves. */
function curvesOf(rows: CellRow[]): Map<string, { first: CellRow; input: CurveInput }> {
  const curves = new Map<string, { first: CellRow; input: CurveInput }>();
  for (const row of rows) {
    const curve = curves.get(row.curve) ?? { first: row, input: { points: [] } };
    curves.set(row.curve, curve);
    const log2_lr = Math.log2(row.learning_rate);
    let point: CurvePoint | undefined = curve.input.points.find((p) => p.log2_lr === log2_lr);
    if (!point) {
      point = { log2_lr, seeds: [], missing: 0 };
      curve.input.points.push(point);
    }
    if (row.state === "finished")
      point.seeds.push({ seed: row.seed, loss: row.validation_loss, diverged: false });
    else if (row.state === "diverged") point.seeds.push({ seed: row.seed, loss: null, diverged: true });
    else point.missing++;
  }
  return curves;
}

export function readCurves(sqlite: Sqlite.Database, phase: number): PhaseCurves {
  return curvesOf(sqlite.prepare<unknown[], CellRow>(`${CELLS} ORDER BY c.position`).all({ phase }));
}

/** Fits every curve of a phase again, and drops the optima of curves that are no longer in it. */
export function refreshPhase(sqlite: Sqlite.Database, phase: number): void {
  const curves = readCurves(sqlite, phase);
  sqlite.prepare("DELETE FROM curve_optima WHERE phase_id = ?").run(phase);
  const noise = pooledNoise([...curves.values()].map((c) => c.input));
  for (const [curve, { first, input }] of curves) storeOptimum(sqlite, phase, curve, first, input, noise);
}

/** Fits what a set of runs touches, and has their phases looked at (orchestrator/phases/advance.ts). */
export function refreshRuns(sqlite: Sqlite.Database, runs: Iterable<string>): void {
  const touched = sqlite.prepare<[string], { phase_id: number; curve: string }>(
    "SELECT DISTINCT phase_id, curve FROM cells WHERE run_id = ?",
  );
  const dirty = new Map<number, Set<string>>();
  for (const run of runs) {
    for (const { phase_id, curve } of touched.all(run)) {
      const curves = dirty.get(phase_id);
      if (curves) curves.add(curve);
      else dirty.set(phase_id, new Set([curve]));
    }
  }
  const markDue = sqlite.prepare("UPDATE phases SET due = 1 WHERE id = ?");
  for (const [phase, curves] of dirty) {
    markDue.run(phase);
    const size = sqlite
      .prepare<[number], { n: number }>("SELECT count(*) AS n FROM curve_optima WHERE phase_id = ?")
      .get(phase)!.n;
    if (size <= CURVES_REFRESHED_TOGETHER || !hasMissing(sqlite, phase)) refreshPhase(sqlite, phase);
    else for (const curve of curves) refreshCurve(sqlite, phase, curve);
  }
}

function hasMissing(sqlite: Sqlite.Database, phase: number): boolean {
  return (
    sqlite
      .prepare(
        `SELECT 1 FROM cells c JOIN runs r ON r.id = c.run_id
         WHERE c.phase_id = ? AND r.state IN ('pending', 'queued', 'running') LIMIT 1`,
      )
      .get(phase) !== undefined
  );
}

function refreshCurve(sqlite: Sqlite.Database, phase: number, curve: string): void {
  const rows = sqlite
    .prepare<unknown[], CellRow>(`${CELLS} AND c.curve = @curve ORDER BY c.position`)
    .all({ phase, curve });
  for (const { first, input } of curvesOf(rows).values()) {
    storeOptimum(sqlite, phase, curve, first, input, pooledNoise([input]));
  }
}

function storeOptimum(
  sqlite: Sqlite.Database,
  phase: number,
  curve: string,
  first: CellRow,
  input: CurveInput,
  noise: Noise | null,
): void {
  const { parameterization, width, layers, sparsity, position } = first;
  const optimum = fitOptimum(input, noise ? { noise } : {});
  sqlite
    .prepare(
      `INSERT OR REPLACE INTO curve_optima (phase_id, curve, parameterization, width, layers, sparsity, position, flag,
         log2_lr, log2_lr_low, log2_lr_high, log2_lr_low_90, log2_lr_high_90, loss, loss_low, loss_high,
         valley_low, valley_high, stability_edge, grid_log2_lr, grid_loss, points, seeds, missing)
       VALUES (@phase, @curve, @parameterization, @width, @layers, @sparsity, @position, @flag,
         @log2_lr, @log2_lr_low, @log2_lr_high, @log2_lr_low_90, @log2_lr_high_90, @loss, @loss_low, @loss_high,
         @valley_low, @valley_high, @stability_edge, @grid_log2_lr, @grid_loss, @points, @seeds, @missing)`,
    )
    .run({ phase, curve, parameterization, width, layers, sparsity, position, ...optimum });
}

/** The stored optima of a phase, by curve. */
export function readOptima(sqlite: Sqlite.Database, phase: number): Map<string, Optimum> {
  const rows = sqlite
    .prepare<[number], Optimum & { curve: string }>(
      `SELECT curve, flag, log2_lr, log2_lr_low, log2_lr_high, log2_lr_low_90, log2_lr_high_90, loss, loss_low, loss_high,
         valley_low, valley_high, stability_edge, grid_log2_lr, grid_loss, points, seeds, missing
       FROM curve_optima WHERE phase_id = ?`,
    )
    .all(phase);
  return new Map(rows.map(({ curve, ...optimum }) => [curve, optimum]));
}
