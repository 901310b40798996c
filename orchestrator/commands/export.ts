/** `musweep export SWEEP`: every run of a sweep, or every point of their training curves, as a table for other tools; `musweep import` reads the runs back. */
import { writeFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { MusweepError } from "../../schema/wire/errors.ts";
import { readCurvesTable } from "../database/measurements.ts";
import { progressOf } from "../database/progress.ts";
import { readResultsTable } from "../database/results-table.ts";
import { csv } from "../report/figures/csv.ts";
import { parquet } from "../report/parquet.ts";
import { plural } from "../terminal/format.ts";
import { type CommonOptions, common, print, printData, say, withDatabase } from "./common.ts";

const FORMATS = ["csv", "jsonl", "parquet"] as const;
type Format = (typeof FORMATS)[number];

interface Options extends CommonOptions {
  to?: Format;
  output?: string;
  curves?: true;
}

export function addExport(program: Command): void {
  common(
    program
      .command("export <sweep>")
      .description(
        "every run of a sweep as a table, a row per grid point, with all its axes; for pandas and others",
      )
      .addOption(
        new Option(
          "--to <format>",
          "csv; jsonl: one JSON object a line; parquet, with --output (default: as the file is called, else csv)",
        ).choices(FORMATS),
      )
      .option("--curves", "the training curves instead: a row per run and step, with a script's own numbers")
      .option("--output <file>", "write it there (default: standard output)"),
    [
      "musweep export quickstart > runs.csv",
      "musweep export quickstart --to jsonl --output runs.jsonl",
      "musweep export quickstart --to parquet --output runs.parquet",
      "musweep export quickstart --curves > curves.csv",
      "musweep export quickstart --dir old | musweep import - --name quickstart-of-old",
    ],
  ).action(async (sweep: string, options: Options) => {
    if (options.to === "parquet" && options.output === undefined)
      throw new MusweepError("bad-option", "--to parquet writes no text", {
        kind: "usage",
        remedy: "Name a file: --output runs.parquet.",
      });
    const rows = await withDatabase(options, { readonly: true }, (db) => {
      progressOf(db, sweep);
      return options.curves ? readCurvesTable(db, sweep) : readResultsTable(db, sweep);
    });
    const { output: file } = options;
    if (file === undefined) {
      printData(written(rows, options.json ? "jsonl" : (options.to ?? "csv")).toString());
      return;
    }
    const format = options.to ?? formatOf(file);
    writeFileSync(file, written(rows, format));
    if (options.json) print(options, { file, format, rows: rows.length }, () => "");
    else say(`wrote ${plural(rows.length, options.curves ? "point" : "run")} to ${file}`);
  });
}

const formatOf = (file: string): Format =>
  file.endsWith(".parquet") ? "parquet" : /\.(jsonl|ndjson)$/.test(file) ? "jsonl" : "csv";

const written = (rows: Parameters<typeof csv>[0], format: Format): string | Buffer => {
  if (format === "parquet") return parquet(rows);
  return format === "jsonl" ? rows.map((row) => `${JSON.stringify(row)}\n`).join("") : csv(rows);
};
