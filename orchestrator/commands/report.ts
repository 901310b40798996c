import type { Command } from "commander";
import { answerText } from "../report/answer-text.ts";
import { readFigureData } from "../report/figures/data.ts";
import type { ReportTargets } from "../report/figures/write-report.ts";
import { type CommonOptions, common, printAnswer, say, withDatabase } from "./common.ts";

export function addReport(program: Command): void {
  common(
    program
      .command("report <sweep>")
      .description("the answer: optimal learning rate per sparsity with its interval, drift, cost, verdicts")
      .option("--html <file>", "also as one HTML file: sentences, figures, tables; nothing is fetched")
      .option("--svg <directory>", "also the figures as SVG, light and dark")
      .option("--png <directory>", "also the figures as PNG")
      .option("--csv <directory>", "also curves, optima, transfer, exponents and level as .csv files"),
    [
      "musweep report quickstart",
      "musweep report quickstart --html report.html --png figures",
      "musweep report quickstart --csv tables",
      "musweep report quickstart --json | jq '.rows[].optimum.log2_tuned'",
    ],
  ).action(async (sweep: string, options: CommonOptions & ReportTargets) => {
    // The database is read once and closed: rendering takes seconds, and writers should not wait for it.
    const data = await withDatabase(options, { readonly: true }, (db) => readFigureData(db, sweep));
    const { html, svg, png, csv } = options;
    printAnswer(options, data.answer, () => answerText(data.answer));
    if ([html, svg, png, csv].every((target) => target === undefined)) return;
    // Loaded here: every command's start would pay for the charting and rendering libraries.
    const { writeReport } = await import("../report/figures/write-report.ts");
    const { files, notes } = await writeReport(data, { html, svg, png, csv });
    for (const note of notes) say(note);
    for (const file of files) say(`wrote ${file}`);
  });
}
