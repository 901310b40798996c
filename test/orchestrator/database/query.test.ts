/** What a query may be: one statement that reads, whatever else it tries. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { openDatabase } from "../../../orchestrator/database/open.ts";
import { startQuery } from "../../../orchestrator/database/query.ts";
import { freshDatabase, gridText, sqliteOf, submitText } from "../../support/database.ts";

function readonlyDatabase() {
  const db = freshDatabase();
  submitText(db, gridText());
  const reading = openDatabase(db.path, { readonly: true });
  onTestFinished(() => reading.close());
  return { db, ask: (text: string) => [...startQuery(reading, text).rows] };
}

describe("a query", () => {
  it.each([
    ["SELECT count(*) FROM runs -- all", [[3]]],
    ["/* three */ WITH n(i) AS (VALUES (3)) SELECT i FROM n;", [[3]]],
    ["VALUES (1, NULL)", [[1, null]]],
    ["SELECT name FROM pragma_table_info('settings')", [["key"], ["value"]]],
  ])("reads: %s", (text, rows) => {
    expect(readonlyDatabase().ask(text)).toEqual(rows);
  });

  it.each([
    ["two statements", "SELECT 1; SELECT 2"],
    ["an update", "UPDATE runs SET state = 'failed'"],
    ["an insert that returns", "INSERT INTO settings VALUES ('a', 'b') RETURNING key"],
    ["a temporary table", "CREATE TEMP TABLE t (x)"],
    ["another file", "ATTACH '%s' AS other"],
    ["a copy", "VACUUM INTO '%s'"],
    ["a pragma that writes", "PRAGMA user_version = 0"],
    ["another journal", "PRAGMA journal_mode = DELETE"],
    ["an extension", "SELECT load_extension('%s')"],
  ])("is refused when it is %s", (_what, query) => {
    const { ask, db } = readonlyDatabase();
    const other = join(db.path, "..", "other.db");
    const before = sqliteOf(db).prepare("SELECT count(*) FROM settings").pluck().get();
    expect(() => ask(query.replace("%s", other))).toThrow(
      expect.objectContaining({ code: "sql", kind: "usage" }),
    );
    expect(existsSync(other)).toBe(false);
    expect(sqliteOf(db).prepare("SELECT count(*) FROM settings").pluck().get()).toBe(before);
    expect(sqliteOf(db).pragma("journal_mode", { simple: true })).toBe("wal");
    expect(sqliteOf(db).pragma("user_version", { simple: true })).toBeGreaterThan(0);
  });
});
