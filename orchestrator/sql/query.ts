/** One query by a person: read-only, a single statement, its rows one at a time. The command and the console share it. */
import type Sqlite from "better-sqlite3";
import { MusweepError } from "../../schema/errors.ts";

export type Value = string | number | bigint | Buffer | null;

export interface Query {
  columns: string[];
  rows: Iterable<Value[]>;
}

/**
 * @param sqlite opened read-only: that is what keeps a query from writing; what is refused here could only confuse
 * @throws MusweepError (usage) here and while rows are read
 */
export function startQuery(sqlite: Sqlite.Database, text: string): Query {
  const statement = orExplain(() => sqlite.prepare<[], Value[]>(text));
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

function orExplain<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw queryError((cause as Error).message, cause);
  }
}

const queryError = (why: string, cause?: unknown): MusweepError =>
  new MusweepError("sql", `the query failed: ${why}`, {
    kind: "usage",
    remedy: "docs/sql.md lists the views and their columns; the database is opened read-only.",
    cause,
  });

/** As a table shows it: numbers with seven significant digits. */
export const shown = (value: Value): string =>
  value === null
    ? ""
    : typeof value === "number" && !Number.isInteger(value)
      ? String(Number(value.toPrecision(7)))
      : String(value);
