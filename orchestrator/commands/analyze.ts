/** `musweep analyze FILE`: the answer that a table of results gives, and nothing is stored. */
import type { Command } from "commander";
import { readAnswer } from "../report/answer.ts";
import { answerText } from "../report/answer-text.ts";
import { type CommonOptions, common, printAnswer, say } from "./common.ts";
import { type ImportOptions, importNotes, importOptions } from "./import-options.ts";
import { withTable } from "./imported-table.ts";

export function addAnalyze(program: Command): void {
  importOptions(
    common(
      program
        .command("analyze <file>")
        .description(
          "the answer from results that exist (CSV, JSON or Parquet; - is standard input); stores nothing",
        ),
      [
        "musweep analyze results.csv",
        "musweep analyze trials.csv --column loss=value --set width=512 --json",
      ],
      "none",
    ),
  ).action(async (file: string, options: CommonOptions & ImportOptions) => {
    await withTable(file, options, (db, name, read) => {
      const notes = importNotes(read);
      const answer = readAnswer(db, name);
      if (!options.json) for (const note of notes) say(note);
      printAnswer(options, { notes, ...answer }, () => `\n${answerText(answer)}`);
    });
  });
}
