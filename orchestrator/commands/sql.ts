import type { Command } from "commander";
import { MusweepError } from "../../schema/errors.ts";
import { textTable } from "../terminal/table.ts";
import { type CommonOptions, common, withDatabase } from "./common.ts";

interface SqlOptions extends CommonOptions {
  csv?: boolean;
}

type Value = string | number | bigint | Buffer | null;

export function addSql(program: Command): void {
  common(
    program
      .command("sql <query>")
      .description("query the results, read-only; the views are described in docs/sql.md")
      .option("--csv", "print CSV with a heading line"),
    [
      `musweep sql "SELECT parameterization, sparsity, log2_lr, val_loss FROM run_results WHERE sweep = 'quickstart'"`,
      `musweep sql "SELECT * FROM optima" --csv > optima.csv`,
    ],
  ).action(async (query: string, options: SqlOptions) => {
    await withDatabase(options, { readonly: true }, (db) => {
      const { columns, rows } = runQuery(query, (sql) => {
        const statement = db.sqlite.prepare(sql);
        if (!statement.reader) throw new Error("only queries that return rows can be run here");
        return {
          columns: statement.columns().map((c) => c.name),
          rows: statement.raw(true).all() as Value[][],
        };
      });
      const text = options.json
        ? JSON.stringify(
            rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i]]))),
            null,
            2,
          )
        : options.csv
          ? [columns, ...rows].map((row) => row.map(csvField).join(",")).join("\n")
          : textTable(
              columns.map((title, i) => ({
                title,
                align: rows.some((row) => typeof row[i] === "number")
                  ? ("right" as const)
                  : ("left" as const),
                value: (row: Value[]) => shown(row[i]!),
              })),
              rows,
            );
      process.stdout.write(`${text}\n`);
    });
  });
}

function runQuery<T>(query: string, execute: (sql: string) => T): T {
  try {
    return execute(query);
  } catch (cause) {
    throw new MusweepError("sql", `the query failed: ${(cause as Error).message}`, {
      kind: "usage",
      remedy: "docs/sql.md lists the views and their columns; the database is opened read-only.",
      cause,
    });
  }
}

const shown = (value: Value): string =>
  value === null
    ? ""
    : typeof value === "number" && !Number.isInteger(value)
      ? String(Number(value.toPrecision(7)))
      : String(value);

/** RFC 4180. */
const csvField = (value: Value): string => {
  const text = value === null ? "" : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
