/**
 * Opens the SQLite file of a state directory: picks the binding that fits the running Node, brings the file up to date, sets the
 * pragmas. SQLite is the truth of a sweep; Redis can be rebuilt from it.
 */
import { existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type Sqlite from "better-sqlite3";
import { drizzle } from "drizzle-orm/better-sqlite3";
import { MusweepError } from "../../schema/wire/errors.ts";
import { sleepSync } from "../../schema/wire/sleep-sync.ts";
import { loadBinding } from "./binding.ts";
import { type Connection, connectionOf, type Database } from "./connection.ts";
import { diskError } from "./disk-error.ts";
import { migrate, unseenMigrations } from "./migrate.ts";
import { isOutdated, refreshAll } from "./optima.ts";

/** For others that write to the file. */
const PATIENCE_MS = 10_000;
const LOOK_MS = 5;

export type { Database } from "./connection.ts";

/**
 * @param path the database file; its directory is made when missing
 * @param options readonly: for reports and the sql command; the file must exist
 */
export function openDatabase(path: string, options: { readonly?: boolean } = {}): Database {
  const readonly = options.readonly ?? false;
  // Before the binding, which on Node 20 may have to be made.
  if (readonly) requireDatabase(path);
  else mkdirSync(dirname(path), { recursive: true });
  const sqlite = openFile(loadBinding(), path, readonly);
  try {
    sqlite.pragma(`busy_timeout = ${PATIENCE_MS}`);
    // Another process is just making it, or was killed while it did.
    if (readonly && isEmpty(sqlite)) throw noSweeps(`${path} is empty`);
    const unseen = unseenMigrations(sqlite, path);
    const db = connectionTo(sqlite);
    if (readonly) {
      sqlite.pragma("query_only = ON");
      if (unseen.length > 0 || isOutdated(db)) throw olderError(path);
    } else {
      keepLogAhead(sqlite);
      sqlite.pragma("synchronous = NORMAL");
      if (unseen.length > 0 || isOutdated(db)) bringUpToDate(db);
    }
    // Last: a migration that makes a table anew must not take with it what refers to its rows.
    sqlite.pragma("foreign_keys = ON");
    return db;
  } catch (error) {
    sqlite.close();
    throw diskError(error, path) ?? error;
  }
}

/**
 * Readers do not wait for writers, nor these for them. Of a file that is not kept so yet, SQLite waits for nobody who writes to it
 * (sqlite.org/wal.html): of two processes that make a new one at once, one would fail.
 */
function keepLogAhead(sqlite: Sqlite.Database): void {
  for (const until = performance.now() + PATIENCE_MS; ; )
    try {
      return void sqlite.pragma("journal_mode = WAL");
    } catch (error) {
      if ((error as { code?: string }).code !== "SQLITE_BUSY" || performance.now() > until) throw error;
      sleepSync(LOOK_MS);
    }
}

const isEmpty = (sqlite: Sqlite.Database): boolean =>
  sqlite.prepare("SELECT 1 FROM sqlite_schema").get() === undefined;

/** What is derived from results is made anew where another method has made it, or none. */
const bringUpToDate = (db: Connection): void =>
  db.transaction(() => {
    migrate(db.sqlite, db.path);
    if (isOutdated(db)) refreshAll(db);
  });

const connectionTo = (sqlite: Sqlite.Database): Connection => ({
  path: sqlite.name,
  get isOpen() {
    return sqlite.open;
  },
  orm: drizzle(sqlite),
  sqlite,
  transaction: (work) => sqlite.transaction(work).immediate(),
  snapshot: (work) => sqlite.transaction(work).deferred(),
  close: () => void sqlite.close(),
});

/** What only reads cannot bring it up to date. */
const olderError = (path: string): MusweepError =>
  new MusweepError("database-older", `${path} was written by an older musweep`, {
    kind: "conflict",
    remedy: "Any command that writes brings it up to date, such as `musweep run` or `musweep serve`.",
  });

/** @throws MusweepError no-sweeps where there is no such file */
export function requireDatabase(path: string): void {
  if (!existsSync(path)) throw noSweeps(`there is no ${path}`);
}

const noSweeps = (why: string): MusweepError =>
  new MusweepError("no-sweeps", `no sweeps here yet: ${why}`, {
    kind: "unavailable",
    remedy: "`musweep run FILE` or `musweep import FILE` makes one; or point --dir at the state directory.",
  });

function openFile(Binding: typeof Sqlite, path: string, readonly: boolean): Sqlite.Database {
  try {
    return new Binding(path, { readonly, fileMustExist: readonly });
  } catch (cause) {
    throw new MusweepError("database-open", `cannot open ${path}: ${(cause as Error).message}`, {
      kind: "unavailable",
      remedy: `Check that ${readonly ? "you may read it" : "the directory is writable"}.`,
      cause,
    });
  }
}

export const sqliteVersion = (db: Database): string =>
  connectionOf(db).sqlite.prepare<[], string>("SELECT sqlite_version()").pluck().get()!;
