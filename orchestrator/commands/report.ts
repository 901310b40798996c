import type { Command } from "commander";
import { readAnswer } from "../report/answer.ts";
import { answerText } from "../report/answer-text.ts";
import { type CommonOptions, common, print, withDatabase } from "./common.ts";

export function addReport(program: Command): void {
  common(
    program
      .command("report <sweep>")
      .description("the answer: optimal learning rate per sparsity with its interval, drift, cost, verdicts"),
    ["musweep report quickstart", "musweep report quickstart --json | jq '.rows[].optimum.log2_lr'"],
  ).action(async (sweep: string, options: CommonOptions) => {
    await withDatabase(options, { readonly: true }, (db) => {
      const answer = readAnswer(db, sweep);
      print(options, answer, () => answerText(answer));
    });
  });
}
