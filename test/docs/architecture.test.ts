/**
 * docs/architecture.md: every file and room it names is there, the rooms are those that npm run check knows, and what it says of
 * adding things is so: a name that exists is found in the files of its row and in no other.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PARAMETERIZATIONS } from "../../schema/sweep/rules.ts";
import { packageRoot } from "../../schema/wire/package.ts";

const root = packageRoot();
const page = readFileSync(join(root, "docs/architecture.md"), "utf8");
const rows = (heading: string): string[][] =>
  page
    .split(`## ${heading}\n`)[1]!
    .split("\n## ")[0]!
    .split("\n")
    .filter((line) => line.startsWith("| ") && !line.startsWith("|---"))
    .slice(1)
    .map((line) => line.split("|").slice(1, -1));
const paths = (text: string): string[] => [...text.matchAll(/`([\w./-]+(?:\/|\.\w+))`/g)].map((m) => m[1]!);

/** Source files that say one of these words, quoted or as a key: not comments, not prose. */
function sourcesThatSay(word: string): string[] {
  const pattern = new RegExp(`["']${word}["']|^\\s*"?${word}"?: `, "m");
  const files = ["orchestrator", "workers", "schema"].flatMap((room) =>
    readdirSync(join(root, room), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts"))
      .map((file) => `${room}/${file}`),
  );
  // What `musweep init` writes is an example of a sweep file.
  return files
    .filter((file) => file !== "orchestrator/sweep/template.ts")
    .filter((file) => pattern.test(readFileSync(join(root, file), "utf8")))
    .toSorted();
}
const filesOf = (kind: string): string[] => {
  const row = rows("To add a …").find(([name]) => name?.trim() === kind);
  return paths(row?.[1] ?? "");
};

describe("docs/architecture.md", () => {
  it("names files and rooms that exist", () => {
    const named = paths(page).filter((path) => path.includes("/"));
    expect(named.length).toBeGreaterThan(40);
    expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  it("has every room that the check of arrows has, from the top down", () => {
    const { forbidden } = createRequire(import.meta.url)(join(root, ".dependency-cruiser.cjs")) as {
      forbidden: { name: string; to: { pathNot?: string } }[];
    };
    const checked = forbidden.flatMap(({ name }) => /^(\S+) imports what is below/.exec(name)?.[1] ?? []);
    const listed = rows("The rooms").flatMap(([room]) => paths(room ?? ""));
    const top = (room: string): string => (room.startsWith("workers/") ? "workers/" : `${room}/`);
    expect(checked.length).toBeGreaterThan(15);
    for (const room of checked) expect(listed).toContain(top(room));
  });

  it("a parameterization is one row: no other source file knows it by name", () => {
    expect(filesOf("parameterization")).toEqual(["schema/sweep/rules.ts"]);
    for (const name of PARAMETERIZATIONS)
      expect([name, sourcesThatSay(name)]).toEqual([name, ["schema/sweep/rules.ts"]]);
  });

  it("a hyperparameter is one row, its field of the plan, and the trainers that obey it", () => {
    const others = sourcesThatSay("norm_eps").filter(
      (file) => !filesOf("hyperparameter").includes(file) && !file.startsWith("workers/trainers/"),
    );
    expect(others).toEqual([]);
  });

  it("an optimizer is named where its row says", () => {
    const others = sourcesThatSay("adamw").filter((file) => !filesOf("optimizer").includes(file));
    // The default of the file's field, which is one of OPTIMIZERS.
    expect(others.filter((file) => !file.startsWith("workers/trainers/"))).toEqual(["schema/sweep/sweep.ts"]);
  });

  it.each(["recommend", "coord-check", "doctor"])("the command %s is a file and a line", (command) => {
    const [folder, cli] = filesOf("command");
    expect(existsSync(join(root, folder!, `${command}.ts`))).toBe(true);
    expect(readFileSync(join(root, cli!), "utf8")).toContain(`./commands/${command}.ts`);
  });

  it("a page is a folder and a line", () => {
    const [folder, table] = filesOf("page");
    const listed = readFileSync(join(root, table!), "utf8");
    for (const name of readdirSync(join(root, folder!)))
      expect(listed).toContain(`./pages/${name}/${name}-page.ts`);
  });

  it("a trainer is a folder with a program in it", () => {
    expect(filesOf("trainer")).toEqual(["workers/trainers/"]);
    const trainers = readdirSync(join(root, "workers/trainers")).filter((name) => name !== "common");
    expect(trainers.length).toBeGreaterThan(0);
  });
});
