/**
 * docs/results.md: its tables are what the runs beside it say (docs/results/), by the method as it is now. When the method changes, the
 * page has to be written anew.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { packageRoot } from "../../schema/wire/package.ts";
import { succeed } from "../support/musweep.ts";
import { scratch } from "../support/scratch.ts";

const docs = join(packageRoot(), "docs");
const FILES = readdirSync(join(docs, "results"));

/** By the file of runs that was named last before them, the lines of the page's blocks. */
const quoted = new Map<string, string[]>();
let file: string | null = null;
/** What opened the block that a line is in; null outside. */
let block: string | null = null;
for (const line of readFileSync(join(docs, "results.md"), "utf8").split("\n")) {
  if (line.startsWith("```")) block = block === null ? line : null;
  else if (block === "```" && file !== null) quoted.get(file)!.push(line);
  else if (block === null && line.startsWith("#")) file = null;
  const named = /\(results\/([\w-]+\.csv)\)/.exec(line)?.[1];
  if (named === undefined) continue;
  file = named;
  quoted.set(file, []);
}

/** A table of results has learning rates; what the sweep tunes has another name in its own report. Columns move with the names. */
const said = (line: string): string =>
  line
    .replaceAll(/values of init_std|init_std/g, (name) => (name === "init_std" ? "LR" : "LRs"))
    .replaceAll("learning rates", "LRs")
    .replaceAll(/\s+/g, " ")
    .trim();

it("every file of runs has its tables on the page", () => {
  expect([...quoted.keys()].sort()).toEqual(FILES.toSorted());
  for (const lines of quoted.values()) expect(lines.length).toBeGreaterThan(5);
});

it.each(FILES)("%s", async (name) => {
  const isOfInitStd = name.startsWith("init-std");
  // What varies beside it is not a column there: each parameterization has one learning rate.
  const options = isOfInitStd ? ["--column", "learning_rate=init_std", "--ignore", "learning_rate"] : [];
  const { stdout } = await succeed(scratch(), "analyze", join(docs, "results", name), ...options);
  const lines = stdout.split("\n").map(said);
  const page = quoted
    .get(name)!
    .map((line) => (isOfInitStd ? said(line).replace(/ 0\.00(138|55) /, " ") : said(line)));
  const headings = /^param\. width learning_rate /;
  expect(page.filter((line) => !headings.test(line) && !lines.includes(line))).toEqual([]);
});
