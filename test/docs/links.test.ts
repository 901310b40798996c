/** Every link between the documents leads to a file, and to a heading of it, that is there; every document can be found from README. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, expect, it } from "vitest";
import { packageRoot } from "../../schema/wire/package.ts";

const root = packageRoot();
const pages = [
  "README.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  ...["docs", "examples"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".md"))
      .map((file) => `${folder}/${file}`),
  ),
];
const textOf = (page: string): string => readFileSync(join(root, page), "utf8");
/** Prose alone: what stands in a block of code is no link, and no heading. */
const proseOf = (page: string): string => textOf(page).replaceAll(/^```[\s\S]*?^```/gm, "");

/** The anchors that GitHub gives headings: lower case, spaces to hyphens, punctuation away, repeats numbered. */
function anchorsOf(page: string): Set<string> {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  for (const [, heading] of proseOf(page).matchAll(/^#+ (.+)$/gm)) {
    const plain = heading!.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const slug = plain.replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(/\s/g, "-");
    const before = seen.get(slug) ?? 0;
    seen.set(slug, before + 1);
    anchors.add(before === 0 ? slug : `${slug}-${before}`);
  }
  return anchors;
}

const linksOf = (page: string): string[] =>
  [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => target!)
    .filter((target) => !/^(https?|mailto):/.test(target));

/** @returns the file that a link leads to, relative to the root */
const fileOf = (page: string, target: string): string => {
  const [path = ""] = target.split("#");
  return path === "" ? page : relative(root, join(root, dirname(page), path));
};

describe("the documents", () => {
  it.each(pages)("%s: every link leads somewhere", (page) => {
    const broken = linksOf(page).filter((target) => {
      const file = fileOf(page, target);
      if (!existsSync(join(root, file))) return true;
      const anchor = target.split("#")[1];
      return anchor !== undefined && file.endsWith(".md") && !anchorsOf(file).has(decodeURIComponent(anchor));
    });
    expect(broken).toEqual([]);
  });

  it("can all be found from README", () => {
    const found = new Set(["README.md"]);
    for (const page of found) {
      if (!page.endsWith(".md")) continue;
      for (const target of linksOf(page)) {
        const file = fileOf(page, target);
        if (existsSync(join(root, file)) && statSync(join(root, file)).isFile()) found.add(file);
      }
    }
    expect(pages.filter((page) => page.startsWith("docs/") && !found.has(page))).toEqual([]);
  });
});
