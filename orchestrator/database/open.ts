/**
 * Opens the SQLite file of a state directory: picks the binding that fits the running Node, migrates, sets the pragmas.
 * SQLite is the truth of a sweep; Redis can be rebuilt from it.
 */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type Sqlite from "better-sqlite3";
import { type BetterSQLite3Database, drizzle } from "drizzle-orm/better-sqlite3";
import { MusweepError } from "../../schema/errors.ts";
import { packageRoot } from "../../schema/package.ts";
import { isOutdated, refreshAll } from "./optima.ts";

export interface Database {
  /** Typed queries. */
  readonly orm: BetterSQLite3Database;
  /** Prepared statements, for what runs once per event or per grid point. */
  readonly sqlite: Sqlite.Database;
  close(): void;
}

/** better-sqlite3 13 needs Node-API 10 (Node 22 and later, and it crashes on 20); 12 aborts on recent Node 24. */
function loadBinding(): typeof Sqlite {
  const require = createRequire(import.meta.url);
  const name = Number(process.versions.napi) < 10 ? "better-sqlite3-12" : "better-sqlite3";
  try {
    return require(name) as typeof Sqlite;
  } catch (cause) {
    throw new MusweepError("sqlite-binding", `cannot load ${name} on Node ${process.versions.node}`, {
      kind: "unavailable",
      remedy: "Remove node_modules and install again with this Node; Node 20 also needs a C++ toolchain.",
      cause,
    });
  }
}

const migrationsDirectory = (): string => join(packageRoot(), "schema", "migrations");

const migrations = (): string[] =>
  readdirSync(migrationsDirectory())
    .filter((f) => f.endsWith(".sql"))
    .sort();

const versionOf = (sqlite: Sqlite.Database): number =>
  sqlite.pragma("user_version", { simple: true }) as number;

/** @throws MusweepError (conflict) when a newer musweep has written it */
function isCurrent(sqlite: Sqlite.Database, path: string): boolean {
  const [version, known] = [versionOf(sqlite), migrations().length];
  if (version > known)
    throw new MusweepError("database-newer", `${path} was written by a newer musweep (version ${version})`, {
      kind: "conflict",
      remedy: "Update musweep, or use another --dir.",
    });
  return version === known && !isOutdated(sqlite);
}

/** What only reads cannot bring it up to date. */
function refuseOlder(sqlite: Sqlite.Database, path: string): void {
  if (isCurrent(sqlite, path)) return;
  throw new MusweepError("database-older", `${path} was written by an older musweep`, {
    kind: "conflict",
    remedy: "Any command that writes brings it up to date, such as `musweep run` or `musweep serve`.",
  });
}

/**
 * Applies the numbered SQL files that this database has not seen; PRAGMA user_version counts them. Then makes anew what is
 * derived from its results, if an older method or an older table had it.
 */
function bringUpToDate(sqlite: Sqlite.Database, path: string): void {
  if (isCurrent(sqlite, path)) return;
  sqlite
    .transaction(() => {
      for (const file of migrations().slice(versionOf(sqlite))) {
        sqlite.exec(readFileSync(join(migrationsDirectory(), file), "utf8"));
        sqlite.pragma(`user_version = ${Number(file.slice(0, 4))}`);
      }
      if (isOutdated(sqlite)) refreshAll(sqlite);
    })
    .immediate();
}

/**
 * @param path the database file; its directory is made when missing
 * @param options readonly: for reports and the sql command; the file must exist
 */
export function openDatabase(path: string, options: { readonly?: boolean } = {}): Database {
  const Binding = loadBinding();
  const readonly = options.readonly ?? false;
  if (!readonly) mkdirSync(dirname(path), { recursive: true });
  const sqlite = openFile(Binding, path, readonly);
  sqlite.pragma("busy_timeout = 10000");
  sqlite.pragma("foreign_keys = ON");
  try {
    if (readonly) {
      sqlite.pragma("query_only = ON");
      refuseOlder(sqlite, path);
    } else {
      sqlite.pragma("journal_mode = WAL");
      sqlite.pragma("synchronous = NORMAL");
      bringUpToDate(sqlite, path);
    }
  } catch (error) {
    sqlite.close();
    throw error;
  }
  return { orm: drizzle(sqlite), sqlite, close: () => void sqlite.close() };
}

function openFile(Binding: typeof Sqlite, path: string, readonly: boolean): Sqlite.Database {
  try {
    return new Binding(path, { readonly, fileMustExist: readonly });
  } catch (cause) {
    throw new MusweepError("database-open", `cannot open ${path}: ${(cause as Error).message}`, {
      kind: "unavailable",
      remedy: readonly
        ? "Submit a sweep first, or point --dir at the state directory."
        : "Check that the directory is writable.",
      cause,
    });
  }
}
