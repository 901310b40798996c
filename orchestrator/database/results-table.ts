/** A sweep's runs as a table to take away: the view run_results, with a column for every axis that has none there, and for every number
 * that scripts report beside their losses. */
import { asc, eq } from "drizzle-orm";
import { runResults } from "../../schema/database/tables.ts";
import { type Database, given, prepared } from "./connection.ts";

type Value = string | number | null;
export type ResultRow = Record<string, Value>;

const ofSweep = prepared(({ orm }) =>
  orm
    .select()
    .from(runResults)
    .where(eq(runResults.sweep, given("sweep")))
    .orderBy(
      asc(runResults.phase),
      asc(runResults.parameterization),
      asc(runResults.width),
      asc(runResults.sparsity),
      asc(runResults.learning_rate),
      asc(runResults.seed),
    )
    .prepare(),
);

/** All rows have the same columns, in the same order; what a run has not is null. */
export function readResultsTable(db: Database, sweep: string): ResultRow[] {
  const rows = ofSweep(db)
    .all({ sweep })
    .map(({ curve: _curve, coordinates, own_metrics, ...row }) => ({
      row,
      axes: JSON.parse(coordinates) as Record<string, unknown>,
      own: JSON.parse(own_metrics ?? "{}") as Record<string, number>,
    }));
  const reported = [...new Set(rows.flatMap(({ own }) => Object.keys(own)))];
  const others = [...new Set(rows.flatMap(({ axes }) => Object.keys(axes)))].filter(
    (name) => rows[0] !== undefined && !(name in rows[0].row),
  );
  return rows.map(({ row: { sweep, phase, ...row }, axes, own }) => ({
    sweep,
    phase,
    ...Object.fromEntries(others.map((name) => [name, plain(axes[name])])),
    ...row,
    ...Object.fromEntries(reported.map((name) => [`metrics.${name}`, plain(own[name])])),
  }));
}

const plain = (value: unknown): Value =>
  typeof value === "number" || typeof value === "string"
    ? value
    : value === undefined || value === null
      ? null
      : String(value);
