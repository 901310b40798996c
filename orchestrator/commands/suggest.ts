/** `musweep suggest SWEEP|FILE`: which runs to do next. */
import { existsSync } from "node:fs";
import type { Command } from "commander";
import { MusweepError } from "../../schema/wire/errors.ts";
import type { Database } from "../database/open.ts";
import {
  nothingText,
  type Suggestion,
  type Suggestions,
  suggest,
  suggestionsCsv,
  suggestionsYaml,
  suggestSearched,
  wouldText,
} from "../report/suggest.ts";
import { titleOf } from "../sweep/title.ts";
import { plural } from "../terminal/format.ts";
import { textTable } from "../terminal/table.ts";
import { type CommonOptions, common, parseCount, print, printData, withDatabase } from "./common.ts";
import { type ImportOptions, importOptions } from "./import-options.ts";
import { withTable } from "./imported-table.ts";

interface Options extends CommonOptions, ImportOptions {
  csv?: boolean;
  yaml?: boolean;
  untilDecided?: boolean;
  batch?: number;
}

export function addSuggest(program: Command): void {
  importOptions(
    common(
      program
        .command("suggest <sweep-or-file>")
        .description(
          "which runs to do next to decide what is open: beyond an edge, in a gap, more seeds; of a sweep or a table of results",
        )
        .option(
          "--until-decided",
          "choose them as a search does, which begins with the results that there are",
        )
        .option(
          "--batch <runs>",
          "with --until-decided: at most so many at a time, 4 by default",
          parseCount("--batch"),
        )
        .option("--csv", "print a row per run")
        .option("--yaml", "print the axes of a sweep file"),
      [
        "musweep suggest my-sweep",
        "musweep suggest results.csv --csv > next.csv",
        "musweep suggest results.csv --until-decided --batch 8",
        "musweep suggest my-sweep --yaml",
      ],
    ),
  ).action(async (what: string, options: Options) => {
    if ([options.csv, options.yaml, options.json].filter(Boolean).length > 1)
      throw new MusweepError("bad-option", "several of --csv, --yaml and --json are given", {
        kind: "usage",
        remedy: "Choose one.",
      });
    if (options.batch !== undefined && !options.untilDecided)
      throw new MusweepError("bad-option", "--batch is given without --until-decided", {
        kind: "usage",
        remedy: "Give both, or neither.",
      });
    const ask = (db: Database, name: string): Suggestions =>
      options.untilDecided ? suggestSearched(db, name, options.batch ?? BATCH) : suggest(db, name);
    const suggestions =
      what === "-" || existsSync(what)
        ? await withTable(what, options, ask)
        : await withDatabase(options, { readonly: true }, (db) => ask(db, what));
    if (options.csv) printData(suggestionsCsv(suggestions));
    else if (options.yaml) printData(suggestionsYaml(suggestions));
    else print(options, suggestions, () => suggestionsText(suggestions));
  });
}

/** Where nobody says how many runs train at a time. */
const BATCH = 4;

function suggestionsText({ sweep, open, questions, suggestions, too_few }: Suggestions): string {
  const first = [
    ...(open === 0
      ? []
      : [`${plural(open, "run")} of ${sweep} still to be trained; these would come after them.`]),
    ...questions.map(({ state, says }) => `${state}: ${says}`),
  ];
  if (suggestions.length === 0) return [...first, `${sweep}: ${nothingText(too_few)}.`].join("\n");
  return [
    ...first,
    `${sweep}: ${wouldText(suggestions)}.`,
    "",
    textTable<Suggestion>(
      [
        ...(new Set(suggestions.map((s) => s.phase)).size > 1
          ? [{ title: "phase", value: (s: Suggestion) => s.phase }]
          : []),
        { title: "curve", value: (s) => titleOf(s.coordinates) },
        {
          title: "values",
          // As a sweep file takes it, digit by digit: a rounded rate would be another run's.
          value: (s) => `${s.tuned}: [${s.values.join(", ")}]`,
        },
        { title: "seeds", value: (s) => s.seeds.join(", ") },
        { title: "why", value: (s) => s.reason },
      ],
      suggestions,
    ),
    "",
    "For a script: --csv. For a sweep file: --yaml.",
  ].join("\n");
}
