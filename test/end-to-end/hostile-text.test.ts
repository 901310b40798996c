/** Names, keys, messages and paths that hold commands for a terminal or a spreadsheet, through the real command line. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { afterAll, describe, expect, it } from "vitest";
import { misbehavingTrainer, musweep, succeed, writeSweep } from "../support/musweep.ts";
import { scratch } from "../support/scratch.ts";

const place = scratch(afterAll);
const file = (name: string, text: string): string => {
  writeFileSync(join(place.directory, name), text);
  return name;
};

/** Renames the window, clears the screen, in two ways. */
const EVIL = "\u001b]0;owned\u0007\u001b[2J\u009b2J\u202e";
/** As YAML and JSON write it. */
const WRITTEN = "\\u001b]0;owned\\u0007\\u001b[2J\\u009b2J\\u202e";
const COMMANDS = /[^\P{Cc}\n\t]|\u202e/u;

/** Runs a command and holds everything that it writes against what a terminal obeys. */
async function written(...args: string[]): Promise<{ code: number | null; text: string }> {
  const { code, stdout, stderr } = await musweep(place, ...args);
  const text = stdout + stderr;
  expect(text).not.toMatch(COMMANDS);
  return { code, text };
}

describe("a terminal is not obeyed through", () => {
  it("keys and values of a sweep file, and the file's name", async () => {
    const sweep = file(
      "evil.yaml",
      `name: "${WRITTEN}"\n"${WRITTEN}": 1\ndata: {corpus: "${WRITTEN}"}\naxes: {}\n`,
    );
    const { code, text } = await written("validate", sweep);
    expect(code).toBe(2);
    expect(text).toContain(`unknown key "\\u001b]0;owned`);
    expect((await written("validate", sweep, "--json")).code).toBe(2);
    expect((await written("validate", `absent${EVIL}.yaml`)).code).toBe(2);
  });

  it("names of options and sweeps", async () => {
    expect((await written("status", `--${EVIL}`)).code).toBe(2);
    expect((await written(EVIL)).code).toBe(2);
    expect((await written("report", EVIL)).code).toBe(3);
  });

  it("fields of JSON, and names of files", async () => {
    const data = file(`${EVIL}.jsonl`, JSON.stringify({ [EVIL]: "a text" }));
    const { code, text } = await written("data", "prepare", data);
    expect(code).toBe(2);
    expect(text).toContain('no field "text"; the object has: \\u001b]0;owned');
    file(`${EVIL}.txt`, "a line of text\n".repeat(100));
    expect((await written("data", "prepare", `${EVIL}.txt`)).code).toBe(0);
    expect((await written("data", "prepare", `${EVIL}.txt`, "--json")).code).toBe(0);
  });

  it("values in the database, and what a trainer says", async () => {
    const query = "SELECT char(27) || ']0;owned' || char(7, 155, 13) AS evil, 1 AS n";
    await succeed(place, "submit", writeSweep(place));
    for (const format of [[], ["--json"]]) expect((await written("sql", query, ...format)).code).toBe(0);
    const { code, text } = await written(
      "run",
      writeSweep(place, { name: "broken", sparsity: "[0]", rates: "[0.0123]" }),
      "--trainer",
      misbehavingTrainer("failed-in-control-characters"),
    );
    expect(code).toBe(1);
    expect(text).toContain("no \\u001b]0;owned\\u0007");
    for (const command of ["report", "status"]) await written(command, "broken");
  });
});

it("a spreadsheet runs no text of a CSV file, and takes numbers as numbers", async () => {
  const query = `SELECT '=HYPERLINK("http://x","y")' AS "=a", '+1+1' AS b, '-2+3' AS c, '@SUM(A1)' AS d, char(9) || '=1' AS e,
    -1.5 AS f, '-1.5e-3' AS g, 'plain' AS h, -9e999 AS i`;
  const { stdout } = await succeed(place, "sql", query, "--csv");
  expect(parse(stdout)).toEqual([
    ["'=a", "b", "c", "d", "e", "f", "g", "h", "i"],
    [
      `'=HYPERLINK("http://x","y")`,
      "'+1+1",
      "'-2+3",
      "'@SUM(A1)",
      "'\t'=1",
      "-1.5",
      "-1.5e-3",
      "plain",
      "-Infinity",
    ],
  ]);
});

describe("a path that the system refuses is no bug", () => {
  const long = "x".repeat(300);
  mkdirSync(join(place.directory, "directory.yaml"));
  it.each([
    ["a state directory", ["status", "--dir", `${long}/y`]],
    ["a state directory to write", ["data", "prepare", "moby-dick", "--dir", long]],
    ["a sweep file", ["validate", `${long}.yaml`]],
    ["a directory as a sweep file", ["validate", "directory.yaml"]],
    ["a sweep file without end", ["validate", "/dev/zero"]],
    ["a sweep file that the kernel makes up", ["plan", "/proc/self/maps"]],
    ["a data file", ["data", "prepare", `${long}.txt`]],
    ["a file to write", ["init", `${long}.yaml`]],
  ])("%s", async (_, args) => {
    const { code, text } = await written(...args);
    expect([2, 3]).toContain(code);
    expect(text).not.toContain("bug");
  });
});
