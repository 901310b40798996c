/**
 * The version of a database file: how many of the numbered SQL files in schema/database/migrations/ it has seen. Released files
 * are never edited; a change of the schema is the next number, and a database of every released version is kept with the
 * tests, brought up to date there and held against a fresh one.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import type Sqlite from "better-sqlite3";
import { MusweepError } from "../../schema/wire/errors.ts";
import { packageRoot } from "../../schema/wire/package.ts";

/** "musw", which 0001-initial.sql writes into the file's header. */
const APPLICATION_ID = 0x6d757377;

const migrationsDirectory = (): string => join(packageRoot(), "schema", "database", "migrations");

const pragma = (sqlite: Sqlite.Database, name: string): number =>
  sqlite.pragma(name, { simple: true }) as number;

/**
 * The files that this database has not seen yet, in their order: all of them for an empty one.
 * @throws MusweepError (conflict) when another program, a newer musweep, or one of before 0.2 has written it
 */
export function unseenMigrations(
  sqlite: Sqlite.Database,
  path: string,
  directory = migrationsDirectory(),
): string[] {
  const files = readdirSync(directory)
    .filter((file) => file.endsWith(".sql"))
    .sort()
    .map((file) => join(directory, file));
  const tables = sqlite
    .prepare<[], string>("SELECT name FROM sqlite_schema WHERE type = 'table'")
    .pluck()
    .all();
  if (pragma(sqlite, "application_id") !== APPLICATION_ID) {
    if (tables.length === 0) return files;
    throw refusal(path, tables);
  }
  const version = pragma(sqlite, "user_version");
  if (version > files.length)
    throw new MusweepError("database-newer", `${path} was written by a newer musweep (version ${version})`, {
      kind: "conflict",
      remedy: "Update musweep, or use another --dir.",
    });
  return files.slice(version);
}

/** Nothing was released before 0.2, so nothing carries its databases over. */
function refusal(path: string, tables: readonly string[]): MusweepError {
  const isBefore = ["sweeps", "runs", "cells"].every((table) => tables.includes(table));
  return isBefore
    ? new MusweepError("database-before", `${path} was written by a musweep of before version 0.2`, {
        kind: "conflict",
        remedy: "It cannot be carried over: use another --dir, or remove it and train again.",
      })
    : new MusweepError("database-foreign", `${path} is no database of musweep`, {
        kind: "conflict",
        remedy: "Use another --dir.",
      });
}

/** Call inside a transaction, so that two processes that open a file at once do not both change it. */
export function migrate(sqlite: Sqlite.Database, path: string, directory?: string): void {
  for (const file of unseenMigrations(sqlite, path, directory)) {
    sqlite.exec(readFileSync(file, "utf8"));
    sqlite.pragma(`user_version = ${Number.parseInt(basename(file), 10)}`);
  }
}
