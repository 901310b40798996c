/** The results of a phase as curves, and the optima that are fitted to them. */
import type Sqlite from "better-sqlite3";
import { type CurveCoordinates, coordinatesOf, type Placed } from "../analysis/groups.ts";
import type { CurveInput, CurvePoint, Optimum } from "../analysis/types.ts";

interface CellRow {
  curve: string;
  position: number;
  tuned_value: number;
  seed: number;
  state: string;
  validation_loss: number | null;
}

export interface StoredCurve extends Placed {
  coordinates: CurveCoordinates;
  /** Of its first grid point. */
  position: number;
  input: CurveInput;
  /** Runs still to be trained; those that failed or were cancelled are not, though the input misses them too. */
  open: number;
}

/** By their key, in the order of the grid. */
export type PhaseCurves = Map<string, StoredCurve>;

const CELLS = `
  SELECT c.curve, c.position, c.tuned_value, c.seed, r.state, r.validation_loss
  FROM cells c JOIN runs r ON r.id = c.run_id
  WHERE c.phase_id = @phase`;

const OPEN = new Set(["pending", "queued", "running"]);

/** @param rows ordered by position */
function curvesOf(rows: CellRow[]): PhaseCurves {
  const curves: PhaseCurves = new Map();
  const points = new Map<string, Map<number, CurvePoint>>();
  for (const row of rows) {
    let curve = curves.get(row.curve);
    if (!curve) {
      curve = {
        curve: row.curve,
        coordinates: coordinatesOf(row.curve),
        position: row.position,
        input: { points: [] },
        open: 0,
      };
      curves.set(row.curve, curve);
      points.set(row.curve, new Map());
    }
    let point = points.get(row.curve)!.get(row.tuned_value);
    if (!point) {
      point = { log2_lr: Math.log2(row.tuned_value), seeds: [], missing: 0 };
      points.get(row.curve)!.set(row.tuned_value, point);
      curve.input.points.push(point);
    }
    if (row.state === "finished")
      point.seeds.push({ seed: row.seed, loss: row.validation_loss, diverged: false });
    else if (row.state === "diverged") point.seeds.push({ seed: row.seed, loss: null, diverged: true });
    else point.missing++;
    if (OPEN.has(row.state)) curve.open++;
  }
  return curves;
}

export const readCurves = (sqlite: Sqlite.Database, phase: number): PhaseCurves =>
  curvesOf(sqlite.prepare<unknown[], CellRow>(`${CELLS} ORDER BY c.position`).all({ phase }));

/** Only some of a phase's curves. */
export function readSomeCurves(
  sqlite: Sqlite.Database,
  phase: number,
  curves: readonly string[],
): PhaseCurves {
  const rows = sqlite
    .prepare<unknown[], CellRow>(
      // Without the plus SQLite walks over the whole phase in order of position.
      `${CELLS} AND c.curve IN (SELECT value FROM json_each(@curves)) ORDER BY +c.position, c.id`,
    )
    .all({ phase, curves: JSON.stringify(curves) });
  return curvesOf(rows);
}

/** The stored optima of a phase, by curve, in the order of the grid. */
export function readOptima(sqlite: Sqlite.Database, phase: number): Map<string, Optimum> {
  const rows = sqlite
    .prepare<[number], Optimum & { curve: string }>(
      `SELECT curve, flag, log2_lr, log2_lr_low, log2_lr_high, log2_lr_low_90, log2_lr_high_90, loss, loss_low, loss_high,
         valley_low, valley_high, stability_edge, grid_log2_lr, grid_loss, points, seeds, missing
       FROM curve_optima WHERE phase_id = ? ORDER BY position`,
    )
    .all(phase);
  return new Map(rows.map(({ curve, ...optimum }) => [curve, optimum]));
}
