/** One query by a person: read-only, a single statement, its rows one at a time. The command and the console share it. */
import type Sqlite from "better-sqlite3";
import { MusweepError } from "../../schema/wire/errors.ts";
import { connectionOf, type Database } from "./connection.ts";

export type Value = string | number | bigint | Buffer | null;

export interface Query {
  columns: string[];
  rows: Iterable<Value[]>;
}

/**
 * @param db opened read-only: that is what keeps a query from writing; what is refused here could only confuse
 * @throws MusweepError (usage) here and while rows are read
 */
export function startQuery(db: Database, text: string): Query {
  const { sqlite } = connectionOf(db);
  const statement = orExplain(
    () => sqlite.prepare<[], Value[]>(text),
    (why) => (why.startsWith("no such table") ? `The views: ${viewsOf(sqlite).join(", ")}. ` : ""),
  );
  if (!statement.reader || !statement.readonly)
    throw queryError("only queries that read rows can be run here: SELECT, WITH, VALUES, EXPLAIN");
  return {
    columns: statement.columns().map((column) => column.name),
    rows: explained(() => statement.raw(true).iterate()),
  };
}

function* explained(start: () => IterableIterator<Value[]>): Generator<Value[]> {
  const rows = orExplain(start);
  try {
    while (true) {
      const next = orExplain(() => rows.next());
      if (next.done) return;
      yield next.value;
    }
  } finally {
    rows.return?.();
  }
}

/** @param hint what may help, in front of what is always said */
function orExplain<T>(work: () => T, hint: (why: string) => string = () => ""): T {
  try {
    return work();
  } catch (cause) {
    const why = (cause as Error).message;
    throw queryError(why, hint(why), cause);
  }
}

const viewsOf = (sqlite: Sqlite.Database): string[] =>
  sqlite
    .prepare<[], string>("SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name")
    .pluck()
    .all();

const queryError = (why: string, hint = "", cause?: unknown): MusweepError =>
  new MusweepError("sql", `the query failed: ${why}`, {
    kind: "usage",
    remedy: `${hint}docs/sql.md lists the views and their columns; the database is opened read-only.`,
    cause,
  });
