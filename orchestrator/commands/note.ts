import type { Command } from "commander";
import { MusweepError } from "../../schema/wire/errors.ts";
import { noteOf, noteSweep } from "../database/keep-and-remove.ts";
import { progressOf } from "../database/progress.ts";
import { type CommonOptions, common, print, withDatabase } from "./common.ts";

export function addNote(program: Command): void {
  common(
    program
      .command("note <sweep> [text]")
      .description(
        "say something of a sweep, for people: status and its page show it; without a text, print it",
      )
      .option("--clear", "remove it"),
    [
      'musweep note quickstart "first try, warm-up too short"',
      "musweep note quickstart",
      "musweep note quickstart --clear",
    ],
  ).action(async (sweep: string, text: string | undefined, options: CommonOptions & { clear?: boolean }) => {
    if (text !== undefined && options.clear)
      throw new MusweepError("bad-option", "a text and --clear are both given", { kind: "usage" });
    const changes = text !== undefined || options.clear === true;
    await withDatabase(options, { readonly: !changes, mustExist: true }, (db) => {
      progressOf(db, sweep);
      if (changes) noteSweep(db, sweep, noteOf(text));
      const { note } = progressOf(db, sweep);
      print(options, { sweep, note }, () => note ?? `${sweep} has no note.`);
    });
  });
}
