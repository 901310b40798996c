import type { Command } from "commander";
import { progressOf } from "../database/progress.ts";
import { readTags, setTags } from "../database/tags.ts";
import { type CommonOptions, common, print, withDatabase } from "./common.ts";

export function addTag(program: Command): void {
  common(
    program
      .command("tag <sweep> [words...]")
      .description(
        "put words on a sweep, by which status and the dashboard find it; without words, print them",
      )
      .option("--remove", "take the words off"),
    [
      "musweep tag quickstart baseline draft",
      "musweep tag quickstart draft --remove",
      "musweep status --tag baseline",
    ],
  ).action(async (sweep: string, words: string[], options: CommonOptions & { remove?: boolean }) => {
    const given = readTags(words.join(" "));
    await withDatabase(options, { readonly: given.length === 0, mustExist: true }, (db) => {
      const { id, tags } = progressOf(db, sweep);
      if (given.length > 0)
        setTags(
          db,
          id,
          options.remove
            ? tags.filter((tag) => !given.includes(tag))
            : readTags([...tags, ...given].join(" ")),
        );
      const now = progressOf(db, sweep).tags;
      print(options, { sweep, tags: now }, () => (now.length > 0 ? now.join(" ") : `${sweep} has no tags.`));
    });
  });
}
