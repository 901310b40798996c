/** docs/sweep-file.md: its sweep files are valid, and it leaves no field out. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { expandPhase } from "../../../orchestrator/sweep/expand-sweep.ts";
import { parseSweep } from "../../../orchestrator/sweep/parse-sweep.ts";

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");
const text = read("docs/sweep-file.md");
const files = [...text.matchAll(/```yaml\n(name: (\S+)\n[\s\S]*?)```/g)].map((m) => ({
  yaml: m[1] ?? "",
  name: m[2] ?? "",
}));

describe("docs/sweep-file.md", () => {
  // Counted by hand from the examples: 3·3·8, 2·4·7, 100, 5·10 + 5·5·3, 2·60 + 2·5 + 2·2·3·3, and the grid that a search replaces, 2·3·7.
  it.each([
    ["first-look", 72],
    ["iso-parameter", 56],
    ["tune-the-proxy", 100],
    ["own-ranges", 125],
    ["init-std", 243],
    ["tune-then-transfer", 166],
    ["sought", 42],
  ])("the example %s has %d runs", (name, cells) => {
    const file = files.find((f) => f.name === name);
    const sweep = parseSweep(file?.yaml ?? "", `${name}.yaml`);
    const data = { hash: "0123456789abcdef", vocab_size: 256 };
    const counts = sweep.phases.map((phase) => expandPhase(phase, data).counts().cells);
    expect(counts.reduce((a, b) => a + b, 0)).toBe(cells);
  });

  it("has no example that goes untested", () => expect(files).toHaveLength(7));

  it("names every field of the schema", () => {
    const names = new Set<string>();
    const visit = (node: unknown): void => {
      if (node === null || typeof node !== "object") return;
      if ("properties" in node) for (const name of Object.keys(node.properties as object)) names.add(name);
      for (const child of Object.values(node)) visit(child);
    };
    visit(JSON.parse(read("schema/sweep/sweep.schema.json")));
    expect(names.size).toBeGreaterThan(60);
    // Where it is meant as a field: in a code span or an example, not as a word of a sentence.
    const code = [...text.matchAll(/```[\s\S]*?```|`[^`\n]+`/g)].join("\n");
    expect([...names].filter((name) => !new RegExp(`(?<![\\w-])${name}(?![\\w-])`).test(code))).toEqual([]);
  });
});
