import type { Command } from "commander";
import { csvField } from "../report/figures/csv.ts";
import { shown, startQuery, type Value } from "../sql/query.ts";
import { textTable } from "../terminal/table.ts";
import { type CommonOptions, common, withDatabase } from "./common.ts";

interface SqlOptions extends CommonOptions {
  csv?: boolean;
}

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
  ).action(async (text: string, options: SqlOptions) => {
    await withDatabase(options, { readonly: true }, (db) => {
      const query = startQuery(db.sqlite, text);
      const { columns } = query;
      const rows = [...query.rows];
      const output = options.json
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
      process.stdout.write(`${output}\n`);
    });
  });
}
