/** Prose is wrapped at 120 characters: a change of it is read line by line. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { packageRoot } from "../../schema/wire/package.ts";

const MOST = 120;
const root = packageRoot();
const pages = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "examples"].flatMap((name) =>
  name.endsWith(".md")
    ? [name]
    : readdirSync(join(root, name), { recursive: true, encoding: "utf8" })
        .filter((file) => file.endsWith(".md"))
        .map((file) => join(name, file)),
);

it.each(pages)("%s", (page) => {
  let isCode = false;
  const long = readFileSync(join(root, page), "utf8")
    .split("\n")
    .flatMap((line, i) => {
      if (/^\s*(```|~~~)/.test(line)) isCode = !isCode;
      if (isCode || /^\s*\|/.test(line)) return [];
      // An address cannot be broken.
      const shown = line.replaceAll(/\]\([^)]*\)/g, "]()");
      return [...shown].length > MOST ? [`${page}:${i + 1}: ${[...shown].length} characters`] : [];
    });
  expect(long).toEqual([]);
});
