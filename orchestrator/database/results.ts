/** What is stored of a sweep's answer: rows of the views of the same names, and what its failed runs said. */
import { and, asc, count, desc, eq, getViewSelectedFields, sql } from "drizzle-orm";
import { exponents, level, optima, runs, sweepRuns, transfer } from "../../schema/database/tables.ts";
import { amongGivenOrAny, type Database, given, prepared } from "./connection.ts";

/** As SQLite's LIMIT has it. */
const EVERY_ROW = -1;

export type OptimaRow = typeof optima.$inferSelect;
export type TransferRow = typeof transfer.$inferSelect;
export type ExponentsRow = typeof exponents.$inferSelect;
export type LevelRow = typeof level.$inferSelect;

/** The views' columns, in their order. */
export const VIEW_COLUMNS = {
  optima: Object.keys(getViewSelectedFields(optima)),
  transfer: Object.keys(getViewSelectedFields(transfer)),
  exponents: Object.keys(getViewSelectedFields(exponents)),
  level: Object.keys(getViewSelectedFields(level)),
};

const optimaOf = prepared(({ orm }) =>
  orm
    .select()
    .from(optima)
    .where(and(eq(optima.sweep, given("sweep")), amongGivenOrAny(optima.curve, "curves")))
    .prepare(),
);
const transferOf = prepared(({ orm }) =>
  orm
    .select()
    .from(transfer)
    .where(and(eq(transfer.sweep, given("sweep")), amongGivenOrAny(transfer.curve, "curves")))
    .prepare(),
);
const exponentsOf = prepared(({ orm }) =>
  orm
    .select()
    .from(exponents)
    .where(eq(exponents.sweep, given("sweep")))
    .limit(sql.placeholder("most"))
    .prepare(),
);
const levelOf = prepared(({ orm }) =>
  orm
    .select()
    .from(level)
    .where(and(eq(level.sweep, given("sweep")), amongGivenOrAny(level.curve, "curves")))
    .prepare(),
);

/** Curves whose rows are wanted, by their keys; null: of all. */
export type OfCurves = readonly string[] | null;

const asJson = (curves: OfCurves): string | null => (curves === null ? null : JSON.stringify(curves));

export const optimaRows = (db: Database, sweep: string, curves: OfCurves = null): OptimaRow[] =>
  optimaOf(db).all({ sweep, curves: asJson(curves) });
export const transferRows = (db: Database, sweep: string, curves: OfCurves = null): TransferRow[] =>
  transferOf(db).all({ sweep, curves: asJson(curves) });
export const levelRows = (db: Database, sweep: string, curves: OfCurves = null): LevelRow[] =>
  levelOf(db).all({ sweep, curves: asJson(curves) });
export const exponentsRows = (db: Database, sweep: string, most: number | null = null): ExponentsRow[] =>
  exponentsOf(db).all({ sweep, most: most ?? EVERY_ROW });

const failed = prepared(({ orm }) => {
  const error = sql<string>`coalesce(${runs.error}, 'no reason given')`;
  return orm
    .select({ error, runs: count() })
    .from(runs)
    .innerJoin(sweepRuns, eq(sweepRuns.run_id, runs.id))
    .where(and(eq(runs.state, "failed"), eq(sweepRuns.sweep_id, given("sweep"))))
    .groupBy(error)
    .orderBy(desc(count()), asc(error))
    .prepare();
});

/** What failed runs said, most frequent first. */
export const failuresOf = (db: Database, sweep: number): { error: string; runs: number }[] =>
  failed(db).all({ sweep });
