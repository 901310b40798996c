/** `musweep import FILE`: results that exist become a sweep. */
import type { Command } from "commander";
import { sweepNameSchema } from "../../schema/sweep/sweep.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { advancePhases } from "../phases/advance.ts";
import { readAnswer } from "../report/answer.ts";
import { answerText } from "../report/answer-text.ts";
import { type CommonOptions, common, print, say, withDatabase } from "./common.ts";
import { type ImportOptions, importNotes, importOptions, readImport, storeTold } from "./import-options.ts";

interface Options extends CommonOptions, ImportOptions {
  name: string;
}

export function addImport(program: Command): void {
  importOptions(
    common(
      program
        .command("import <file>")
        .description(
          "results that exist (CSV, JSON or Parquet; - is standard input) become a sweep: report, dashboard, SQL, suggest",
        )
        .requiredOption(
          "--name <sweep>",
          "what the sweep is called; importing again under the same name replaces it",
          parseName,
        ),
      [
        "musweep import results.csv --name my-sweep",
        "musweep import wandb.csv --name my-sweep --column loss=final/val_loss --set parameterization=mup",
        "musweep export quickstart --dir old | musweep import - --name quickstart-of-old",
      ],
    ),
  ).action(async (file: string, options: Options) => {
    const { sweep, read } = await readImport(file, options.name, options);
    const notes = importNotes(read);
    await withDatabase(options, { readonly: false }, (db) => {
      storeTold(db, sweep);
      advancePhases(db);
      const answer = readAnswer(db, options.name);
      if (!options.json) for (const note of notes) say(note);
      print(options, { notes, ...answer }, () => `\n${answerText(answer)}`);
    });
  });
}

function parseName(text: string): string {
  const parsed = sweepNameSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new MusweepError("bad-option", `--name "${text}": ${parsed.error.issues[0]!.message}`, {
    kind: "usage",
  });
}
