/** SQLite without musweep's own way of opening a file: nothing is brought up to date, nothing refused. */
import type Sqlite from "better-sqlite3";
import { onTestFinished } from "vitest";
import { loadBinding } from "../../orchestrator/database/binding.ts";

export function rawDatabase(path = ":memory:"): Sqlite.Database {
  const sqlite = new (loadBinding())(path);
  onTestFinished(() => void sqlite.close());
  return sqlite;
}
