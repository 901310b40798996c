import type { Command } from "commander";
import { MusweepError } from "../../schema/wire/errors.ts";
import { type Collected, collectFile } from "../queue/collect-file.ts";
import { plural } from "../terminal/format.ts";
import { type CommonOptions, common, print, withDatabase } from "./common.ts";

export function addCollect(program: Command): void {
  common(
    program
      .command("collect <file...>")
      .description(
        "store what was trained elsewhere from a file of `musweep jobs`; a file may come again, in part or whole: what is known counts once",
      ),
    ["musweep collect events.jsonl", "musweep collect node1.jsonl node2.jsonl"],
  ).action(async (files: string[], options: CommonOptions) => {
    await withDatabase(options, { readonly: false, mustExist: true }, async (db) => {
      const all: Collected[] = [];
      for (const file of files) all.push(await collectFile(db, file));
      const foreign = all.find(({ events, unknown }) => events > 0 && unknown === events);
      // As JSON it is either the list or the error.
      if (foreign === undefined || !options.json)
        print(options, all, () => all.map(collectedText).join("\n"));
      if (foreign !== undefined)
        throw new MusweepError(
          "events-file",
          `${foreign.file} speaks of runs that are not in this database`,
          {
            kind: "usage",
            remedy: "Name the state directory whose `musweep jobs` wrote the plans, with --dir.",
          },
        );
    });
  });
}

function collectedText({
  file,
  events,
  applied,
  ended,
  duplicate,
  fenced,
  refused,
  unknown,
}: Collected): string {
  const others = [
    ...(duplicate > 0 ? [`${duplicate} were known`] : []),
    ...(fenced > 0
      ? [
          `${fenced} are of attempts that others have taken over, or of runs that have a result or were cancelled`,
        ]
      : []),
    ...(refused > 0 ? [`${refused} say what their runs do not allow, and were left out`] : []),
    ...(unknown > 0 ? [`${unknown} are of runs that are not in this database`] : []),
  ];
  return `${file}: ${plural(ended, "run")} ended; ${applied} of ${plural(events, "event")} are new${others.map((text) => `; ${text}`).join("")}.`;
}
