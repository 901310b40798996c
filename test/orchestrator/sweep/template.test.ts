/** What `musweep init` writes: each part that is commented out is valid when it is taken in by itself. */
import { expect, it } from "vitest";
import { parseSweepFile } from "../../../orchestrator/sweep/parse-sweep.ts";
import { SWEEP_TEMPLATE } from "../../../orchestrator/sweep/template.ts";

const LINES = SWEEP_TEMPLATE.split("\n");
/** A comment that is a line of a sweep file: a key with a value or with lines below it, or one of a list. */
const IS_YAML = /^ *# (\s*(?:- |[a-z_]+:(?: |$)).*)$/;

/** Line numbers of each commented part: a key and the lines of it that follow, indented under it. */
const PARTS: number[][] = [];
for (const [i, line] of LINES.entries()) {
  const found = IS_YAML.exec(line);
  if (found === null) continue;
  const isInside = /^\s/.test(found[1]!);
  const last = PARTS.at(-1);
  if (isInside && last?.at(-1) === i - 1) last.push(i);
  else PARTS.push([i]);
}

/** What the comments say has to go for it. */
const WITHOUT: Record<string, RegExp> = {
  file: /^ {2}corpus: .*\n/m,
  together: /^ {2}(width|sparsity): \[.*\n/gm,
  search: /^extend: .*\n/m,
  phases: /^axes:\n(?: .*\n)+/m,
};
const keyOf = (part: number[]): string => /[a-z_]+/.exec(LINES[part[0]!]!)![0];

it("has these", () => {
  expect(PARTS.map(keyOf)).toEqual([
    ...["file", "tokens", "norm", "positions", "tied_embeddings", "mask", "together", "random"],
    ...["refine", "search", "phases", "coordinate_check", "noise"],
  ]);
});

it.each(PARTS.filter((part) => keyOf(part) !== "tokens").map((part) => [keyOf(part), part] as const))(
  "%s",
  (key, part) => {
    const text = LINES.map((line, i) => (part.includes(i) ? line.replace("# ", "") : line)).join("\n");
    const without = text.replace(WITHOUT[key] ?? /$^/, "");
    expect(without === text).toBe(!(key in WITHOUT));
    const { sweep } = parseSweepFile(without, "sweep.yaml");
    expect(sweep.name).toBe("my-sweep");
  },
);
