/** One query by a person: read-only, a single statement, its rows one at a time. The command and the console share it. */
import type Sqlite from "better-sqlite3";
import { MusweepError } from "../../schema/wire/errors.ts";
import { nearestName } from "../sweep/problems.ts";
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
    (why) => hintFor(sqlite, text, why),
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

/** What there is in place of a name that SQLite does not know: the views, or the columns of those that the query names. */
function hintFor(sqlite: Sqlite.Database, query: string, why: string): string {
  const [, kind, name] = /^no such (table|column): (?:.*\.)?(\S+)/.exec(why) ?? [];
  if (name === undefined) return "";
  const views = viewsOf(sqlite);
  if (kind === "table") return `${meant(name, views)}The views: ${views.join(", ")}. `;
  const named = views.filter((view) => new RegExp(`\\b${view}\\b`, "i").test(query));
  const columns = named.map((view) => ({ view, names: columnsOf(sqlite, view) }));
  const all = [...new Set(columns.flatMap(({ names }) => names))];
  return `${meant(name, all)}${columns.map(({ view, names }) => `${view} has: ${names.join(", ")}. `).join("")}`;
}

/** The nearest name, or the shortest that this one is a part of: of lr, log2_lr. */
function meant(name: string, known: readonly string[]): string {
  const longer = known.filter((one) => one.split("_").includes(name));
  const found = nearestName(name, known) ?? longer.toSorted((a, b) => a.length - b.length)[0];
  return found === undefined ? "" : `Did you mean ${found}? `;
}

const columnsOf = (sqlite: Sqlite.Database, view: string): string[] =>
  sqlite.prepare<[string], string>("SELECT name FROM pragma_table_info(?)").pluck().all(view);

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
