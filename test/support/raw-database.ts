/** SQLite without musweep's own way of opening a file: nothing is brought up to date, nothing refused. */
import { createRequire } from "node:module";
import type Sqlite from "better-sqlite3";
import { onTestFinished } from "vitest";

export function rawDatabase(path = ":memory:"): Sqlite.Database {
  const name = Number(process.versions.napi) < 10 ? "better-sqlite3-12" : "better-sqlite3";
  const Binding = createRequire(import.meta.url)(name) as typeof Sqlite;
  const sqlite = new Binding(path);
  onTestFinished(() => void sqlite.close());
  return sqlite;
}
