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

/** Applies the numbered SQL files that this database has not seen; PRAGMA user_version counts them. */
function migrate(sqlite: Sqlite.Database, path: string): void {
  const files = readdirSync(migrationsDirectory())
    .filter((f) => f.endsWith(".sql"))
    .sort();
  const version = (): number => sqlite.pragma("user_version", { simple: true }) as number;
  if (version() > files.length) {
    throw new MusweepError(
      "database-newer",
      `${path} was written by a newer musweep (version ${version()})`,
      {
        kind: "conflict",
        remedy: "Update musweep, or use another --dir.",
      },
    );
  }
  if (version() === files.length) return;
  sqlite
    .transaction(() => {
      for (const file of files.slice(version())) {
        sqlite.exec(readFileSync(join(migrationsDirectory(), file), "utf8"));
        sqlite.pragma(`user_version = ${Number(file.slice(0, 4))}`);
      }
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
  if (!readonly) {
    sqlite.pragma("journal_mode = WAL");
    sqlite.pragma("synchronous = NORMAL");
    migrate(sqlite, path);
  } else {
    sqlite.pragma("query_only = ON");
  }
  sqlite.pragma("foreign_keys = ON");
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
