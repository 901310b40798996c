/** docs/json.md: every field that it names is in what the command prints, and of the type that it says. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../schema/wire/package.ts";
import { musweep } from "../support/musweep.ts";
import { scratch } from "../support/scratch.ts";

const page = readFileSync(join(packageRoot(), "docs/json.md"), "utf8");
/** By heading, the fields of its table, each with its type. */
const TYPES = new Map(
  page
    .split("\n## ")
    .slice(1)
    .map((section) => [
      section.split("\n")[0]!.toLowerCase(),
      new Map([...section.matchAll(/^\| `([^`]+)` \| ([^|]*) \|/gm)].map((m) => [m[1]!, m[2]!])),
    ]),
);
const FIELDS = new Map([...TYPES].map(([heading, types]) => [heading, [...types.keys()]]));
/** They train, or go on for ever: other tests look at what they print. */
const LONG = ["coord-check", "serve", "worker", "trainer check", "chaos"];

/** Whether a path such as rows[].optimum.flag leads to a value, null included; of a list every entry has to have it. */
function has(value: unknown, path: readonly string[]): boolean {
  const [first, ...rest] = path;
  if (first === undefined) return true;
  if (first === "[]")
    return Array.isArray(value) && value.length > 0 && value.every((entry) => has(entry, rest));
  if (value === null || typeof value !== "object" || !(first in value)) return false;
  return has((value as Record<string, unknown>)[first], rest);
}
/** All that such a path leads to. */
function valuesAt(value: unknown, path: readonly string[]): unknown[] {
  const [first, ...rest] = path;
  if (first === undefined) return [value];
  if (first === "[]") return (value as unknown[]).flatMap((entry) => valuesAt(entry, rest));
  return valuesAt((value as Record<string, unknown>)[first], rest);
}

const IS: Record<string, (value: unknown) => boolean> = {
  text: (value) => typeof value === "string",
  number: (value) => typeof value === "number",
  boolean: (value) => typeof value === "boolean",
  object: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  null: (value) => value === null,
};

/** "number or null", "list of texts" */
const isOf = (value: unknown, type: string): boolean =>
  type.split(" or ").some((one) => {
    const ofEach = /^list of (\w+)s$/.exec(one)?.[1];
    return ofEach === undefined ? IS[one]!(value) : Array.isArray(value) && value.every(IS[ofEach]!);
  });
const partsOf = (field: string): string[] => field.replaceAll("[]", ".[]").split(".").filter(Boolean);

const place = scratch(afterAll);
const SWEEP = `
name: tiny
data: { corpus: moby-dick }
model: { width: 64, layers: 1, d_head: 32, sequence_length: 32 }
training: { steps: 4, batch_size: 2 }
base: { width: 64 }
axes:
  parameterization: [mup]
  learning_rate: [0.01, 0.02]
`;
/** A grid, a search, and a phase whose rates are not known before the grid has been trained. */
const PHASES = SWEEP.replace(
  /axes:[\s\S]*/,
  `phases:
  - name: proxy
    axes: { parameterization: [mup], learning_rate: [0.01, 0.02, 0.04] }
  - name: seek
    search: { until: decided }
    axes: { parameterization: [mup], sparsity: [0, 0.5], learning_rate: [0.01, 0.02, 0.04], seed: [1, 2] }
  - name: target
    axes: { parameterization: [mup], width: [128], learning_rate: { from: proxy } }
`,
);
/** Two curves that are bracketed, and one whose optimum lies at the edge: something to suggest. */
const TABLE = `lr,val_loss,sparsity\n${[
  [0, -7],
  [0.5, -6],
  [0.75, -3],
]
  .flatMap(([sparsity, best]) =>
    [-10, -9, -8, -7, -6, -5, -4].map((x) => `${2 ** x},${3 + 0.1 * (x - best!) ** 2},${sparsity}`),
  )
  .join("\n")}\n`;

describe("docs/json.md", () => {
  const printed = new Map<string, unknown>();
  const keep = async (heading: string, code: number, ...args: string[]): Promise<void> => {
    const ended = await musweep(place, ...args, "--json");
    expect([args, ended.code, ended.stderr]).toEqual([args, code, ended.stderr]);
    printed.set(heading, JSON.parse(ended.stdout));
  };

  beforeAll(async () => {
    writeFileSync(join(place.directory, "tiny.yaml"), SWEEP);
    writeFileSync(join(place.directory, "wrong.yaml"), SWEEP.replace("width: 64", "widht: 64"));
    writeFileSync(join(place.directory, "table.csv"), TABLE);
    await keep("errors", 2, "validate", "wrong.yaml");
    writeFileSync(join(place.directory, "twins.yaml"), SWEEP.replace("0.02", "0.010000001"));
    writeFileSync(join(place.directory, "phases.yaml"), PHASES);
    await keep("validate", 0, "validate", "twins.yaml");
    await keep("plan", 0, "plan", "phases.yaml", "--no-measure");
    await keep("plan --resolved", 0, "plan", "twins.yaml", "--resolved");
    await keep("plan --simulate", 0, "plan", "phases.yaml", "--simulate", "--draws", "1");
    await keep("init", 0, "init", "made.yaml");
    writeFileSync(join(place.directory, "tiny-text.txt"), "a text of its own\n".repeat(99));
    await keep("data prepare", 0, "data", "prepare", "./tiny-text.txt");
    await keep("submit", 0, "submit", "tiny.yaml");
    await keep("jobs", 0, "jobs", "tiny", "--out", "jobs.jsonl");
    writeFileSync(join(place.directory, "events.jsonl"), "");
    await keep("collect", 0, "collect", "events.jsonl");
    await keep("cancel", 0, "cancel", "tiny");
    await keep("requeue", 0, "requeue", "tiny", "--missing");
    await keep("note", 0, "note", "tiny", "a note");
    await keep("tag", 0, "tag", "tiny", "word");
    await keep("rm", 0, "rm", "tiny", "--yes");
    await keep("prune", 0, "prune", "--dry-run");
    await keep("verify", 0, "verify");
    await keep("backup", 0, "backup", "backup.db");
    await keep("import", 0, "import", "table.csv", "--name", "table", "--set", "width=256");
    await keep("report, run, analyze", 0, "report", "table");
    await keep("export", 0, "export", "table", "--output", "runs.jsonl");
    await keep("status", 0, "status");
    await keep("suggest", 0, "suggest", "table");
    await keep("recommend", 0, "recommend", "table", "--width", "512", "--sparsity", "0");
    const doctor = await musweep(place, "doctor", "--json");
    printed.set("doctor", JSON.parse(doctor.stdout));
    await keep("sql", 0, "sql", "SELECT sweep, log2_lr FROM optima");
    await keep("archive", 0, "archive", "table");
  }, 480_000);

  it("has a section for each command", async () => {
    const commandsOf = async (...parents: string[]): Promise<string[]> => {
      const { stdout } = await musweep(place, ...parents, "--help");
      const section = stdout.slice(stdout.indexOf("Commands:")).split("\n\n")[0]!;
      return [...section.matchAll(/^ {2}([a-z-]+) /gm)].map((match) => match[1]!).filter((n) => n !== "help");
    };
    const groups = ["data", "trainer"];
    const names = (await commandsOf()).filter((name) => !groups.includes(name));
    for (const group of groups) for (const name of await commandsOf(group)) names.push(`${group} ${name}`);
    expect(names.length).toBeGreaterThan(25);
    const sections = [...FIELDS.keys()].flatMap((heading) => heading.split(", "));
    expect(names.filter((name) => !sections.includes(name))).toEqual([]);
    expect([...FIELDS.keys()].toSorted()).toEqual([...printed.keys(), ...LONG].toSorted());
  });

  it("data prepare: the source that was asked for, also where its content was prepared under another name", async () => {
    writeFileSync(join(place.directory, "another.txt"), "a text of its own\n".repeat(99));
    const { stdout } = await musweep(place, "data", "prepare", "./another.txt", "--json");
    const { hash } = printed.get("data prepare") as { hash: string };
    expect(JSON.parse(stdout)).toMatchObject({ source: "./another.txt", hash });
  });

  it("export: what was written is in the file alone, as the file is called", async () => {
    expect(printed.get("export")).toEqual({ file: "runs.jsonl", format: "jsonl", rows: 21 });
    const lines = readFileSync(join(place.directory, "runs.jsonl"), "utf8").trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line) as object)).toHaveLength(21);
  });

  it.each([...FIELDS.keys()].filter((heading) => !LONG.includes(heading)))(
    "%s: every field is printed",
    (heading) => {
      const fields = FIELDS.get(heading)!;
      if (heading !== "sql") expect(fields.length).toBeGreaterThan(0);
      expect(fields.filter((field) => !has(printed.get(heading), partsOf(field)))).toEqual([]);
    },
  );

  it("every field has a type, and what is printed is of it", () => {
    for (const [heading, types] of TYPES)
      for (const [field, type] of types) {
        const where = `${heading}: ${field}: ${type}`;
        expect(type, where).toMatch(
          /^(text|number|boolean|object|list of (text|number|object)s)( or null)?$/,
        );
        const wrong = LONG.includes(heading)
          ? []
          : valuesAt(printed.get(heading), partsOf(field)).filter((value) => !isOf(value, type));
        expect(wrong, where).toEqual([]);
      }
  });

  it("sql: rows by column", () => {
    expect(Object.keys((printed.get("sql") as object[])[0]!)).toEqual(["sweep", "log2_lr"]);
  });
});
