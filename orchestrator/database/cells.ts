/** The grid points of a phase: how many, at what values, and with the runs behind them a page at a time. */
import {
  and,
  asc,
  count,
  countDistinct,
  desc,
  eq,
  getTableColumns,
  like,
  max,
  type SQL,
  sql,
} from "drizzle-orm";
import type { RunState } from "../../schema/database/states.ts";
import { cells, runs } from "../../schema/database/tables.ts";
import type { Parameterization } from "../../schema/sweep/rules.ts";
import type { Coordinates } from "../sweep/expand-sweep.ts";
import { connectionOf, type Database, given, prepared } from "./connection.ts";

const ofPhase = eq(cells.phase_id, given("phase"));

const size = prepared(({ orm }) => orm.select({ n: count() }).from(cells).where(ofPhase).prepare());

export const countPoints = (db: Database, phase: number): number => size(db).get({ phase })!.n;

const added = prepared(({ orm }) =>
  orm
    .select({ reason: cells.reason, points: count() })
    .from(cells)
    // As its index says it.
    .where(and(ofPhase, sql`${cells.reason} <> 'grid'`))
    .groupBy(cells.reason)
    .prepare(),
);

/** Points that the phase has added to its grid, by why. */
export const countAdded = (db: Database, phase: number): { reason: string; points: number }[] =>
  added(db).all({ phase });

const extended = prepared(({ orm }) =>
  orm
    .select({ curve: cells.curve, values: countDistinct(cells.tuned_value) })
    .from(cells)
    .where(and(ofPhase, like(cells.reason, "extend:%")))
    .groupBy(cells.curve)
    .prepare(),
);

/** How many values `extend` has given each curve. */
export const countExtensions = (db: Database, phase: number): Map<string, number> =>
  new Map(
    extended(db)
      .all({ phase })
      .map(({ curve, values }) => [curve, values]),
  );

const refined = prepared(({ orm }) =>
  orm
    .select({ n: count() })
    .from(cells)
    .where(and(ofPhase, like(cells.reason, "refine:%")))
    .prepare(),
);

/** Points that `refine` has added. */
export const countRefinements = (db: Database, phase: number): number => refined(db).get({ phase })!.n;

const last = prepared(({ orm }) =>
  orm
    .select({ position: max(cells.position) })
    .from(cells)
    .where(ofPhase)
    .prepare(),
);

export const lastPosition = (db: Database, phase: number): number => last(db).get({ phase })!.position ?? -1;

const tried = prepared(({ orm }) =>
  orm
    .select({ curve: cells.curve, tuned_value: cells.tuned_value, seed: cells.seed, reason: cells.reason })
    .from(cells)
    .where(ofPhase)
    .prepare(),
);

/** Every value and seed of every curve, trained or not. */
export const plannedPoints = (
  db: Database,
  phase: number,
): { curve: string; tuned_value: number; seed: number; reason: string }[] => tried(db).all({ phase });

const ofRun = prepared(({ orm }) =>
  orm
    .selectDistinct({ phase: cells.phase_id, curve: cells.curve })
    .from(cells)
    .where(eq(cells.run_id, given("run")))
    .prepare(),
);

/** The curves that a run is on. */
export const curvesOfRun = (db: Database, run: string): { phase: number; curve: string }[] =>
  ofRun(db).all({ run });

const dropAll = prepared(({ orm }) => orm.delete(cells).where(ofPhase).prepare());

/** @returns how many there were */
export const removePoints = (db: Database, phase: number): number => dropAll(db).run({ phase }).changes;

const parameterizations = prepared(({ orm }) =>
  orm
    .selectDistinct({ parameterization: cells.parameterization })
    .from(cells)
    .where(ofPhase)
    .orderBy(asc(cells.position))
    .prepare(),
);

/** In the order of the grid. */
export const parameterizationsOf = (db: Database, phase: number): Parameterization[] =>
  parameterizations(db)
    .all({ phase })
    .map((row) => row.parameterization);

const values = (column: typeof cells.width | typeof cells.sparsity) =>
  prepared(({ orm }) =>
    orm.selectDistinct({ value: column }).from(cells).where(ofPhase).orderBy(asc(column)).prepare(),
  );
const [widths, sparsities] = [values(cells.width), values(cells.sparsity)];

/** The values that curves are chosen by. */
export function choicesOf(
  db: Database,
  phase: number,
): { parameterization: Parameterization[]; width: number[]; sparsity: number[] } {
  const numbers = (statement: typeof widths): number[] =>
    statement(db)
      .all({ phase })
      .map((row) => row.value);
  return {
    parameterization: parameterizationsOf(db, phase),
    width: numbers(widths),
    sparsity: numbers(sparsities),
  };
}

const ranked = prepared(({ orm }) =>
  orm
    .select({
      run: runs.id,
      coordinates: cells.coordinates,
      state: runs.state,
      validation_loss: runs.validation_loss,
    })
    .from(cells)
    .innerJoin(runs, eq(runs.id, cells.run_id))
    .where(and(ofPhase, eq(cells.parameterization, given("parameterization"))))
    .orderBy(asc(cells.position))
    .prepare(),
);

export interface CellResult {
  run: string;
  coordinates: Coordinates;
  state: RunState;
  validation_loss: number | null;
}

/** What became of the points of a parameterization, in the order of the grid. */
export const cellResults = (db: Database, phase: number, parameterization: Parameterization): CellResult[] =>
  ranked(db)
    .all({ phase, parameterization })
    .map((row) => ({ ...row, coordinates: JSON.parse(row.coordinates) as Coordinates }));

/** Which points of a phase a page shows: all where nothing is chosen. */
export interface Chosen {
  phase: number;
  parameterization?: string | undefined;
  width?: number | undefined;
  sparsity?: number | undefined;
  outcome?: RunState | undefined;
}

/** Of `cells`, and of `runs` for an outcome. What is chosen differs from page to page, so that these statements are prepared each time. */
const isChosen = ({ phase, parameterization, width, sparsity }: Chosen): SQL | undefined =>
  and(
    eq(cells.phase_id, phase),
    parameterization === undefined
      ? undefined
      : eq(cells.parameterization, parameterization as Parameterization),
    width === undefined ? undefined : eq(cells.width, width),
    sparsity === undefined ? undefined : eq(cells.sparsity, sparsity),
  );

export interface ListedRun {
  position: number;
  /** What the list is ordered by. */
  key: number | string;
  coordinates: Coordinates;
  reason: string;
  run: string;
  state: RunState;
  validation_loss: number | null;
  step: number;
  steps: number;
  seconds: number | null;
  error: string | null;
}

/** "position": in training order. */
export interface RunOrder {
  by: "position" | "validation_loss" | "seconds" | { coordinate: string };
  descending: boolean;
}

export interface RunCondition {
  coordinate: string;
  comparison: "is" | "at-least" | "at-most";
  /** A word, or the numbers that are meant by what was written. */
  value: string | { from: number; to: number } | null;
}

/** Beyond every number there is, and a number that a cursor can hold: what has no value is listed last. */
const LAST = 1e308;

const pathOf = (name: string): string => `$."${name}"`;
const coordinateOf = (name: string): SQL =>
  sql`ifnull(json_extract(${cells.coordinates}, ${pathOf(name)}), '')`;

function orderedBy({ by, descending }: RunOrder): SQL<number | string> {
  if (typeof by === "object") return coordinateOf(by.coordinate) as SQL<number | string>;
  if (by === "position") return sql`${cells.position}`;
  return sql`ifnull(${by === "seconds" ? runs.seconds : runs.validation_loss}, ${descending ? -LAST : LAST})`;
}

function holds({ coordinate, comparison, value }: RunCondition): SQL {
  const its = coordinateOf(coordinate);
  if (value === null) return sql`${its} = ''`;
  const { from, to } = typeof value === "string" ? { from: value, to: value } : value;
  if (comparison === "at-least") return sql`${its} >= ${from}`;
  if (comparison === "at-most") return sql`${its} <= ${to}`;
  if (typeof value !== "string") return sql`${its} BETWEEN ${from} AND ${to}`;
  // SQLite has no truth values: what JSON's are is told from their type.
  return /^(true|false)$/i.test(value)
    ? sql`json_type(${cells.coordinates}, ${pathOf(coordinate)}) = ${value.toLowerCase()}`
    : sql`${its} = ${value} COLLATE NOCASE`;
}

/**
 * In an order, or against it when `backward`.
 * @param from key and position of the row that they come after; null: from the end
 */
export function listRuns(
  db: Database,
  chosen: Chosen & { where?: RunCondition | undefined },
  order: RunOrder,
  from: readonly [number | string, number] | null,
  backward: boolean,
  limit: number,
): ListedRun[] {
  const { state, validation_loss, step, steps, seconds, error } = getTableColumns(runs);
  const { position, coordinates, reason } = cells;
  const key = orderedBy(order);
  const falls = order.descending !== backward;
  const direction = falls ? desc : asc;
  return connectionOf(db)
    .orm.select({
      ...{ position, key, coordinates, reason, run: runs.id },
      ...{ state, validation_loss, step, steps, seconds, error },
    })
    .from(cells)
    .innerJoin(runs, eq(runs.id, cells.run_id))
    .where(
      and(
        isChosen(chosen),
        chosen.outcome === undefined ? undefined : eq(state, chosen.outcome),
        chosen.where === undefined ? undefined : holds(chosen.where),
        from === null
          ? undefined
          : falls
            ? sql`(${key}, ${position}) < (${from[0]}, ${from[1]})`
            : sql`(${key}, ${position}) > (${from[0]}, ${from[1]})`,
      ),
    )
    .orderBy(direction(key), direction(position))
    .limit(limit)
    .all()
    .map((row) => ({ ...row, coordinates: JSON.parse(row.coordinates) as Coordinates }));
}

/** The curves that have chosen points, in the order of the grid, each with how many. */
export function listCurves(db: Database, chosen: Chosen): { curve: string; points: number }[] {
  const all = connectionOf(db).orm.select({ curve: cells.curve, points: count() }).from(cells);
  // Without an outcome nothing of the runs is read.
  const some =
    chosen.outcome === undefined
      ? all.where(isChosen(chosen))
      : all
          .innerJoin(runs, eq(runs.id, cells.run_id))
          .where(and(isChosen(chosen), eq(runs.state, chosen.outcome)));
  return some.groupBy(cells.curve).orderBy(sql`min(${cells.position})`).all();
}

export interface CurveRun {
  curve: string;
  /** Of what the phase tunes, its learning rate as a rule. */
  tuned_value: number;
  seed: number;
  reason: string;
  run: string;
  state: RunState;
  loss: number | null;
  step: number;
  steps: number;
}

/** From the curves to their points: SQLite keeps to the order of the joins only where it is written out, which the builder cannot. */
const mapped = (outcome: string) =>
  prepared(({ sqlite }) =>
    sqlite.prepare<{ curves: string; phase: number; outcome: RunState | undefined }, CurveRun>(
      `SELECT c.curve, c.tuned_value, c.seed, c.reason, r.id AS run, r.state, r.validation_loss AS loss, r.step, r.steps
       FROM json_each(@curves) j CROSS JOIN cells c ON c.phase_id = @phase AND c.curve = j.value
       JOIN runs r ON r.id = c.run_id ${outcome}
       ORDER BY c.tuned_value, c.seed`,
    ),
  );
const [mappedAll, mappedSome] = [mapped(""), mapped("WHERE r.state = @outcome")];

/** The points of some curves, by rising value and seed. */
export const runsOfCurves = (
  db: Database,
  phase: number,
  curves: readonly string[],
  outcome: RunState | undefined,
): CurveRun[] =>
  (outcome === undefined ? mappedAll : mappedSome)(db).all({
    curves: JSON.stringify(curves),
    phase,
    outcome,
  });
