import type { Command } from "commander";
import { archiveSweep } from "../database/keep-and-remove.ts";
import { progressOf } from "../database/progress.ts";
import { type CommonOptions, common, print, withDatabase } from "./common.ts";

export function addArchive(program: Command): void {
  common(
    program
      .command("archive <sweep>")
      .description(
        "put a sweep away: lists show it no longer, everything of it stays; submitting it brings it back",
      )
      .option("--undo", "bring it back"),
    ["musweep archive last-years", "musweep archive last-years --undo"],
  ).action(async (sweep: string, options: CommonOptions & { undo?: boolean }) => {
    await withDatabase(options, { readonly: false, mustExist: true }, (db) => {
      archiveSweep(db, progressOf(db, sweep), options.undo ? null : Date.now());
      print(options, { sweep, archived: !options.undo }, () =>
        options.undo
          ? `${sweep} is listed again.`
          : `${sweep} is put away: \`musweep status --all\` lists it, \`musweep archive ${sweep} --undo\` brings it back.`,
      );
    });
  });
}
