/**
 * An open database: what others hold of it, and what the functions of this room see. No statement is written outside of this
 * room: a function here is one operation, and takes a Database first.
 */
import type Sqlite from "better-sqlite3";
import { getTableColumns, type SQL, type SQLWrapper, sql } from "drizzle-orm";
import type { BetterSQLite3Database } from "drizzle-orm/better-sqlite3";
import { getTableConfig, type SQLiteTable } from "drizzle-orm/sqlite-core";

/** Something to hand to the functions of this room, to hold several of them together, and to close. */
export interface Database {
  /** The file. */
  readonly path: string;
  readonly isOpen: boolean;
  /** All that `work` writes is stored when it returns, or nothing of it when it throws. */
  transaction<T>(work: () => T): T;
  /** All that `work` reads is of one moment. */
  snapshot<T>(work: () => T): T;
  close(): void;
}

/** For this room, and for what looks into files from outside (tests, measurements). */
export interface Connection extends Database {
  readonly orm: BetterSQLite3Database;
  readonly sqlite: Sqlite.Database;
}

/** Every Database was made by openDatabase. */
export const connectionOf = (db: Database): Connection => db as Connection;

/** A statement that each connection prepares once, when it first needs it. */
export function prepared<Statement>(prepare: (on: Connection) => Statement): (db: Database) => Statement {
  const known = new WeakMap<Database, Statement>();
  return (db) => {
    let statement = known.get(db);
    if (statement === undefined) {
      statement = prepare(connectionOf(db));
      known.set(db, statement);
    }
    return statement;
  };
}

/** A value that is known when the statement runs. */
export const given = (name: string): SQL => sql`${sql.placeholder(name)}`;

/** The value that an INSERT could not put there. */
export const proposed = (name: string): SQL => sql`excluded.${sql.identifier(name)}`;

/** Whether a column's value is in an array that is given as JSON, so that any number of them is one statement. */
export const amongGiven = (column: SQLWrapper, name: string): SQL =>
  sql`${column} IN (SELECT value FROM json_each(${given(name)}))`;

/** As amongGiven; no array given: whatever it is. */
export const amongGivenOrAny = (column: SQLWrapper, name: string): SQL =>
  sql`(${given(name)} IS NULL OR ${amongGiven(column, name)})`;

/** A whole row of a table; it replaces the one with the same primary key. */
export function putRow<Table extends SQLiteTable>(
  table: Table,
): (db: Database, row: Table["$inferSelect"]) => void {
  const names = Object.keys(getTableColumns(table));
  const key = getTableConfig(table).primaryKeys[0]!.columns;
  const rest = names.filter((name) => key.every((column) => column.name !== name));
  const statement = prepared(({ orm }) =>
    orm
      .insert(table)
      .values(Object.fromEntries(names.map((name) => [name, given(name)])) as Table["$inferInsert"])
      .onConflictDoUpdate({
        target: key,
        set: Object.fromEntries(rest.map((name) => [name, proposed(name)])) as Partial<Table["$inferInsert"]>,
      })
      .prepare(),
  );
  return (db, row) => void statement(db).run(row);
}
