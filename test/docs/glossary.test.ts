/** docs/glossary.md: what stands over the columns of tables is in it, and no word is used before it is explained. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { packageRoot } from "../../schema/wire/package.ts";

const read = (file: string): string => readFileSync(join(packageRoot(), file), "utf8");
const page = read("docs/glossary.md");

/** Headings that do not depend on a sweep. */
const headings = [
  ...["answer-text", "phase-text", "transfer-text", "resolved-plan-text", "coordinate-text"].map(
    (name) => `orchestrator/report/${name}.ts`,
  ),
  ...["status", "plan", "recommend", "report"].map((name) => `orchestrator/commands/${name}.ts`),
].flatMap((file) => [...read(file).matchAll(/(?:title: |\bnumber\()"([^"]+)"/g)].map((match) => match[1]!));

it("explains every heading that report, plan, status and recommend print", () => {
  expect(headings.length).toBeGreaterThan(50);
  const explained = [...page.matchAll(/^\| (`.*`) \|/gm)].flatMap(([, names]) =>
    names!.split(/`, `|`/).filter((name) => name !== ""),
  );
  expect([...new Set(headings)].filter((heading) => !explained.includes(heading))).toEqual([]);
});

it.each([
  ...["WPN", "d_head", "Fan-in", "Tensor group", "warm-up", "Octave", "FLOPs", "SP", "μP", "SμPar"],
  ...["Coordinate check", "Extend", "refine", "Search", "Phase", "Redis", "State directory", "Orchestrator"],
  ...["Bracketed", "Pooling", "Drift", "Margin", "Verdict", "Exponent", "Level", "Attempt", "Curve"],
])("%s is explained before it is used", (word) => {
  const prose = page.slice(0, page.indexOf("## Over the columns")).replaceAll(/\]\([^)]*\)|`[^`]*`/g, "]");
  const first = new RegExp(`(?<![\\p{L}_])${word}(?![\\p{L}_])`, "iu").exec(prose)!;
  const explained = new RegExp(`\\*\\*[^*]*(?<![\\p{L}_])${word}(?![\\p{L}_])`, "iu").exec(prose)!;
  const isInside = explained.index <= first.index && first.index < explained.index + explained[0].length;
  expect(isInside, prose.slice(Math.max(0, first.index - 40), first.index + 60)).toBe(true);
});
