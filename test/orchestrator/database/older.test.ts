/** Databases that an older musweep has written: brought up to date by what writes, never misread by what only reads. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openDatabase } from "../../../orchestrator/database/open.ts";
import { packageRoot } from "../../../schema/package.ts";
import { cellsOf, freshDatabase, gridText, submitText, train } from "../../support/database.ts";
import { musweep, succeed } from "../../support/musweep.ts";
import { type Scratch, scratch } from "../../support/scratch.ts";

const TEXT = gridText({ sparsity: "[0, 0.5]", rates: "{ log2: { from: -9, to: -5 } }" });
const COUNTS = "(SELECT sweep_id, state, runs, points, planned_flops FROM sweep_counts WHERE runs > 0)";
const ALL = ["optima", "transfer", "exponents", "level", "curves", "run_results", "plans", COUNTS];

/** A trained sweep as of now, and the same in a file of version 2, from before drifts were stored. */
function older() {
  const place = scratch();
  const path = join(place.directory, ".musweep", "musweep.db");
  mkdirSync(join(place.directory, ".musweep"));
  const now = freshDatabase();
  submitText(now, TEXT);
  for (const { run, coordinates } of cellsOf(TEXT))
    train(now, run, 3 + 0.3 * (Math.log2(coordinates.learning_rate) + 7 - coordinates.sparsity) ** 2);
  const { sqlite, close } = openDatabase(path);
  sqlite.pragma("foreign_keys = OFF");
  for (const type of ["view", "table"])
    for (const { name } of sqlite
      .prepare<[string], { name: string }>("SELECT name FROM sqlite_master WHERE type = ?")
      .all(type))
      sqlite.exec(`DROP ${type} ${name}`);
  for (const file of ["0001-initial.sql", "0002-phases.sql"])
    sqlite.exec(readFileSync(join(packageRoot(), "schema", "migrations", file), "utf8"));
  sqlite.exec(`ATTACH '${now.sqlite.name}' AS now`);
  const columns = (table: string) =>
    (sqlite.pragma(`main.table_info(${table})`) as { name: string }[]).map((c) => c.name).join(", ");
  for (const table of ["sweeps", "phases", "cells", "attempts"])
    sqlite.exec(`INSERT INTO main.${table} SELECT ${columns(table)} FROM now.${table}`);
  // Plans were a column of runs then.
  sqlite.exec(`INSERT INTO main.runs SELECT ${columns("runs")} FROM now.runs JOIN now.plans ON run_id = id`);
  sqlite.pragma("user_version = 2");
  close();
  const expected = ALL.map((view) => now.sqlite.prepare(`SELECT * FROM ${view}`).all());
  return { place, path, expected };
}

const stored = (path: string) => {
  const { sqlite, close } = openDatabase(path, { readonly: true });
  try {
    return ALL.map((view) => sqlite.prepare(`SELECT * FROM ${view}`).all());
  } finally {
    close();
  }
};

it("gets its drifts when it is opened to write, as if it had always had them", () => {
  const { path, expected } = older();
  expect(() => openDatabase(path, { readonly: true })).toThrow(/was written by an older musweep/);
  openDatabase(path).close();
  for (const [i, rows] of stored(path).entries()) {
    expect(rows).toHaveLength(expected[i]!.length);
    expect(rows).toEqual(expect.arrayContaining(expected[i]!));
  }
});

it("is fitted again when the method has changed, also without a migration", () => {
  const { path, expected } = older();
  const db = openDatabase(path);
  db.sqlite.exec(
    "UPDATE settings SET value = 'another' WHERE key = 'method'; UPDATE curve_optima SET loss = 0",
  );
  db.close();
  expect(() => openDatabase(path, { readonly: true })).toThrow(/older musweep/);
  openDatabase(path).close();
  expect(stored(path)[0]).toEqual(expect.arrayContaining(expected[0]!));
});

const lock = ({ directory }: Scratch, pid: number) =>
  writeFileSync(join(directory, ".musweep", "orchestrator.lock"), String(pid));

it("is brought up to date by a command that reads, unless somebody is at work on it", async () => {
  const { place } = older();
  lock(place, process.pid);
  const refused = await musweep(place, "report", "grid");
  expect(refused).toMatchObject({ code: 4, stdout: "" });
  expect(refused.stderr).toMatch(/written by an older musweep/);
  expect(refused.stderr).toContain(`Process ${process.pid} is still at work on it`);
  lock(place, 2 ** 22 + 1);
  expect((await succeed(place, "report", "grid")).stdout).toMatch(/^SμPar: /m);
});
