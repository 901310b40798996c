/** The results of a phase as curves, and the optima that are fitted to them. */
import { and, asc, count, eq, getTableColumns, sql } from "drizzle-orm";
import { OPEN_STATES, type RunState } from "../../schema/database/states.ts";
import { cells, curveOptima, runs } from "../../schema/database/tables.ts";
import { type CurveCoordinates, coordinatesOf, type Placed } from "../analysis/groups.ts";
import type { CurveInput, CurvePoint, Optimum, OptimumFlag, Place } from "../analysis/types.ts";
import type { Outcome } from "./apply-event.ts";
import {
  amongGiven,
  amongGivenOrAny,
  connectionOf,
  type Database,
  given,
  prepared,
  putRow,
} from "./connection.ts";

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

const columns = {
  curve: cells.curve,
  position: cells.position,
  tuned_value: cells.tuned_value,
  seed: cells.seed,
  run: cells.run_id,
  state: runs.state,
  validation_loss: runs.validation_loss,
};
/** Rows as arrays of these columns: a phase may have ten thousand, and as objects they take twice as long. */
type CellRow = [
  curve: string,
  position: number,
  tuned_value: number,
  seed: number,
  run: string,
  state: RunState,
  validation_loss: number | null,
];

const OPEN: ReadonlySet<RunState> = new Set(OPEN_STATES);

/**
 * @param rows ordered by position
 * @param foreseen runs that are about to become others than they are
 */
function curvesOf(rows: readonly CellRow[], foreseen?: ReadonlyMap<string, Outcome>): PhaseCurves {
  const curves: PhaseCurves = new Map();
  const points = new Map<string, Map<number, CurvePoint>>();
  for (const [key, position, tuned_value, seed, run, storedState, storedLoss] of rows) {
    let curve = curves.get(key);
    if (!curve) {
      curve = { curve: key, coordinates: coordinatesOf(key), position, input: { points: [] }, open: 0 };
      curves.set(key, curve);
      points.set(key, new Map());
    }
    let point = points.get(key)!.get(tuned_value);
    if (!point) {
      point = { log2_tuned: Math.log2(tuned_value), seeds: [], missing: 0 };
      points.get(key)!.set(tuned_value, point);
      curve.input.points.push(point);
    }
    const { state, validation_loss: loss } = foreseen?.get(run) ?? {
      state: storedState,
      validation_loss: storedLoss,
    };
    if (state === "finished") point.seeds.push({ seed, loss, diverged: false });
    else if (state === "diverged") point.seeds.push({ seed, loss: null, diverged: true });
    else point.missing++;
    if (OPEN.has(state)) curve.open++;
  }
  return curves;
}

const every = prepared(({ orm }) =>
  orm
    .select(columns)
    .from(cells)
    .innerJoin(runs, eq(runs.id, cells.run_id))
    .where(eq(cells.phase_id, given("phase")))
    .orderBy(asc(cells.position))
    .prepare(),
);

export const readCurves = (db: Database, phase: number): PhaseCurves =>
  curvesOf(every(db).values({ phase }) as CellRow[]);

const some = prepared(({ orm }) =>
  orm
    .select(columns)
    .from(cells)
    .innerJoin(runs, eq(runs.id, cells.run_id))
    .where(and(eq(cells.phase_id, given("phase")), amongGiven(cells.curve, "curves")))
    // Without the plus SQLite walks over the whole phase in order of position.
    .orderBy(sql`+${cells.position}`, asc(cells.id))
    .prepare(),
);

/**
 * Only some of a phase's curves.
 * @param foreseen as their runs will be, where they are about to change
 */
export const readSomeCurves = (
  db: Database,
  phase: number,
  curves: readonly string[],
  foreseen?: ReadonlyMap<string, Outcome>,
): PhaseCurves => curvesOf(some(db).values({ phase, curves: JSON.stringify(curves) }) as CellRow[], foreseen);

const { curve, basis, residual_ss, residual_df, others_sd, others_df, ...fitted } =
  getTableColumns(curveOptima);
const {
  phase_id,
  parameterization,
  width,
  layers,
  sparsity,
  position,
  per_cent_above_best,
  open,
  ...optimum
} = fitted;

const optima = prepared(({ orm }) =>
  orm
    .select({ curve, ...optimum })
    .from(curveOptima)
    .where(and(eq(phase_id, given("phase")), amongGivenOrAny(curve, "curves")))
    .orderBy(asc(position))
    .prepare(),
);

/** The stored optima of a phase, by curve, in the order of the grid. @param curves some of them; null: all */
export const readOptima = (
  db: Database,
  phase: number,
  curves: readonly string[] | null = null,
): Map<string, Optimum> =>
  new Map(
    optima(db)
      .all({ phase, curves: curves === null ? null : JSON.stringify(curves) })
      .map(({ curve, flag, places, ...rest }) => [
        curve,
        { flag: flag as OptimumFlag, places: JSON.parse(places) as Place[], ...rest },
      ]),
  );

/** By what curves are chosen; undefined: whatever it is. */
export interface CurveChoice {
  parameterization?: string | undefined;
  width?: number | undefined;
  sparsity?: number | undefined;
}

const chosenOf = ({ parameterization: p, width: w, sparsity: s }: CurveChoice, ofPhase: number) =>
  and(
    eq(phase_id, ofPhase),
    p === undefined ? undefined : sql`${parameterization} = ${p}`,
    w === undefined ? undefined : eq(width, w),
    s === undefined ? undefined : eq(sparsity, s),
  );

export const countCurves = (db: Database, phase: number, chosen: CurveChoice = {}): number =>
  connectionOf(db).orm.select({ n: count() }).from(curveOptima).where(chosenOf(chosen, phase)).get()!.n;

/** Keys of the first of them, in the order of the grid. */
export const firstCurves = (db: Database, phase: number, chosen: CurveChoice, most: number): string[] =>
  connectionOf(db)
    .orm.select({ curve })
    .from(curveOptima)
    .where(chosenOf(chosen, phase))
    .orderBy(asc(position))
    .limit(most)
    .all()
    .map((row) => row.curve);

/** What is known of a stored fit: its part in the pooled noise, and what it was made of. */
export interface StoredFit {
  curve: string;
  residual_ss: number;
  residual_df: number;
  others_sd: number | null;
  others_df: number | null;
  basis: string;
}

const fits = prepared(({ orm }) =>
  orm
    .select({ curve, residual_ss, residual_df, others_sd, others_df, basis })
    .from(curveOptima)
    .where(eq(phase_id, given("phase")))
    .prepare(),
);

export const readStoredFits = (db: Database, phase: number): StoredFit[] => fits(db).all({ phase });

/** Whose level beside other parameterizations' is not known yet. */
export const putOptimum = putRow(curveOptima);

const setAbove = prepared(({ orm }) =>
  orm
    .update(curveOptima)
    .set({ per_cent_above_best: given("above") })
    .where(and(eq(phase_id, given("phase")), eq(curve, given("curve"))))
    .prepare(),
);

export const setLevel = (db: Database, phase: number, curve: string, above: number | null): void =>
  void setAbove(db).run({ phase, curve, above });

const drop = prepared(({ orm }) =>
  orm
    .delete(curveOptima)
    .where(and(eq(phase_id, given("phase")), eq(curve, given("curve"))))
    .prepare(),
);

export const removeOptimum = (db: Database, phase: number, curve: string): void =>
  void drop(db).run({ phase, curve });

const dropAll = prepared(({ orm }) => orm.delete(curveOptima).prepare());

export const removeAllOptima = (db: Database): void => void dropAll(db).run();
