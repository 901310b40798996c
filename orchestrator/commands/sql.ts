import type { Command } from "commander";
import { MusweepError } from "../../schema/wire/errors.ts";
import { printable } from "../../schema/wire/printable.ts";
import { startQuery, type Value } from "../database/query.ts";
import { csvField } from "../report/figures/csv.ts";
import { OPTIMA_QUERY, RESULTS_QUERY } from "../sql/examples.ts";
import { shown } from "../sql/shown.ts";
import { textTable } from "../terminal/table.ts";
import { type CommonOptions, common, printData, withDatabase } from "./common.ts";

interface SqlOptions extends CommonOptions {
  csv?: boolean;
}

export function addSql(program: Command): void {
  common(
    program
      .command("sql <query>")
      .description("query the results, read-only; the views are described in docs/sql.md")
      .option("--csv", "print CSV with a heading line"),
    [`musweep sql "${RESULTS_QUERY}"`, `musweep sql "${OPTIMA_QUERY}" --csv > optima.csv`],
  ).action(async (text: string, options: SqlOptions) => {
    if (options.csv && options.json)
      throw new MusweepError("bad-option", "--csv and --json are both given", {
        kind: "usage",
        remedy: "Choose one.",
      });
    await withDatabase(options, { readonly: true }, (db) => {
      const query = startQuery(db, text);
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
      if (options.csv) printData(`${output}\n`);
      else process.stdout.write(printable(`${output}\n`));
    });
  });
}
