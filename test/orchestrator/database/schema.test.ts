/** The migrated database against the drizzle declarations that queries are typed by. */
import { is } from "drizzle-orm";
import { getTableConfig, getViewConfig, SQLiteTable, SQLiteView } from "drizzle-orm/sqlite-core";
import { describe, expect, it } from "vitest";
import { openDatabase } from "../../../orchestrator/database/open.ts";
import * as declared from "../../../schema/database/tables.ts";
import { MusweepError } from "../../../schema/wire/errors.ts";
import { Attempt, applyAll, freshDatabase, gridText, sqliteOf, submitText } from "../../support/database.ts";

interface ColumnInfo {
  name: string;
  type: string;
  notnull: number;
  dflt_value: string | null;
  pk: number;
}

const exported = Object.values(declared) as unknown[];
const tables = exported.filter((value): value is SQLiteTable => is(value, SQLiteTable));
const views = exported.filter((value): value is SQLiteView => is(value, SQLiteView));

const namesOf = (db: ReturnType<typeof freshDatabase>, type: "table" | "view"): string[] =>
  sqliteOf(db)
    .prepare<[string], { name: string }>(
      "SELECT name FROM sqlite_master WHERE type = ? AND name NOT LIKE 'sqlite_%' ORDER BY name",
    )
    .all(type)
    .map((row) => row.name);

const columnsOf = (db: ReturnType<typeof freshDatabase>, table: string): ColumnInfo[] =>
  sqliteOf(db).pragma(`table_info(${table})`) as ColumnInfo[];

describe("a freshly migrated database", () => {
  it("has exactly the declared tables", () => {
    const db = freshDatabase();
    expect(namesOf(db, "table")).toEqual(tables.map((table) => getTableConfig(table).name).sort());
  });

  it.each(tables.map((table) => [getTableConfig(table).name, getTableConfig(table)] as const))(
    "table %s: columns, types, not null, defaults, primary key",
    (name, config) => {
      const live = columnsOf(freshDatabase(), name);
      const fromSql = live.map((c) => ({
        name: c.name,
        type: c.type.toLowerCase(),
        required: c.notnull === 1 || c.pk > 0,
        default: c.dflt_value === null ? null : c.dflt_value.replaceAll("'", ""),
      }));
      const fromDrizzle = config.columns.map((c) => ({
        name: c.name,
        type: c.getSQLType(),
        required: c.notNull,
        default: c.default === undefined ? null : String(c.default === false ? 0 : c.default),
      }));
      expect(fromDrizzle).toEqual(fromSql);
      const key =
        config.primaryKeys[0]?.columns.map((c) => c.name) ??
        config.columns.filter((c) => c.primary).map((c) => c.name);
      expect(key).toEqual(
        live
          .filter((c) => c.pk > 0)
          .sort((a, b) => a.pk - b.pk)
          .map((c) => c.name),
      );
    },
  );

  it("has the views that people are promised", () => {
    expect(namesOf(freshDatabase(), "view")).toEqual([
      "coordinate_slopes",
      "coordinates",
      "curves",
      "exponents",
      "level",
      "measurements",
      "missing",
      "optima",
      "run_results",
      "tags",
      "transfer",
    ]);
  });

  it.each(views.map((view) => [getViewConfig(view).name, getViewConfig(view)] as const))(
    "view %s: columns in their order, and their types",
    (name, config) => {
      const db = freshDatabase();
      const live = columnsOf(db, name);
      const fields = Object.values(config.selectedFields) as { name: string; getSQLType(): string }[];
      expect(fields.map((field) => field.name)).toEqual(live.map((c) => c.name));
      // An expression has no declared type: its type is that of a value.
      submitText(db, gridText({ sparsity: "[0.5, 0.75]", rates: "[0.01]" }));
      for (const { id } of sqliteOf(db).prepare("SELECT id FROM runs").all() as { id: string }[]) {
        const attempt = new Attempt(id, 1001);
        applyAll(db, [attempt.claimed(), attempt.started(), attempt.finished(2.5)]);
      }
      const row = sqliteOf(db).prepare(`SELECT * FROM ${name}`).get() as Record<string, unknown>;
      const integers = new Set(
        sqliteOf(db)
          .prepare(`SELECT ${live.map((c) => `typeof(${c.name}) AS ${c.name}`).join(", ")} FROM ${name}`)
          .all()
          .flatMap((types) => Object.entries(types as Record<string, string>))
          .flatMap(([column, type]) => (type === "integer" ? [column] : [])),
      );
      for (const field of fields) {
        const value = row[field.name];
        if (value === null) continue;
        const type = typeof value === "string" ? "text" : integers.has(field.name) ? "integer" : "real";
        expect([field.name, field.getSQLType()]).toEqual([field.name, type]);
      }
    },
  );

  it("takes the words that the code knows for a closed list, and no others", () => {
    const db = freshDatabase();
    const columns = tables.flatMap((table) =>
      getTableConfig(table).columns.flatMap((column) => {
        const sql = sqliteOf(db)
          .prepare<[string], string>("SELECT sql FROM sqlite_schema WHERE name = ?")
          .pluck()
          .get(getTableConfig(table).name)!;
        const check = new RegExp(`CHECK \\(${column.name} IN \\(([^)]*)\\)\\)`).exec(sql)?.[1];
        const words = check?.split(", ").map((word) => word.replaceAll("'", ""));
        const name = `${getTableConfig(table).name}.${column.name}`;
        return column.enumValues === undefined && words === undefined
          ? []
          : [{ name, declared: column.enumValues, words }];
      }),
    );
    const open = columns.filter(({ words }) => words === undefined).map(({ name }) => name);
    // A hyperparameter is a row elsewhere: a new one needs no migration. A module of a script has whatever name it has.
    expect(open).toEqual(["phases.tuned"]);
    const closed = columns.filter(({ words }) => words !== undefined);
    expect(closed.length).toBeGreaterThanOrEqual(14);
    for (const { name, declared, words } of closed)
      expect({ name, words }).toEqual({ name, words: declared });
  });

  it("is migrated once: opened again it is as it was, and one from a newer musweep is refused", () => {
    const db = freshDatabase();
    submitText(db, gridText());
    const again = openDatabase(sqliteOf(db).name);
    expect(sqliteOf(again).prepare("SELECT count(*) AS n FROM runs").get()).toEqual({ n: 3 });
    sqliteOf(again).pragma("user_version = 9999");
    again.close();
    expect(() => openDatabase(sqliteOf(db).name)).toThrow(MusweepError);
    expect(() => openDatabase(sqliteOf(db).name)).toThrow(/newer musweep/);
  });
});
