/** The file that a command is given, and what is easily given in its place: the other kind of file, the name of a sweep. */
import { existsSync } from "node:fs";
import { MusweepError } from "../../schema/wire/errors.ts";
import { openDatabase } from "../database/open.ts";
import { findSweep } from "../database/sweeps.ts";
import { stateDirectory } from "../machine/state-directory.ts";
import { readSweepFile, type SweepText } from "../submission/load-sweep.ts";
import { commandLine } from "./common.ts";

/** Where sweeps are looked for by name; absent: nowhere. */
export interface Place {
  dir?: string;
}

/**
 * @param check settings over the file's section coordinate_check
 * @throws MusweepError: every mistake in the file at once, with places
 */
export function givenSweepFile(path: string, place: Place, check?: Record<string, unknown>): SweepText {
  if (/\.(csv|tsv|jsonl|ndjson|parquet)(\.(gz|zst))?$/i.test(path) && existsSync(path))
    throw otherKind("sweep-file", path, "a table of results, not a sweep file", [
      [["analyze", path], "says what it shows"],
    ]);
  try {
    return readSweepFile(path, check);
  } catch (error) {
    refuseName(path, place);
    throw error;
  }
}

/** @throws MusweepError where the file is no table of results, by its name */
export function refuseNoTable(path: string, place: Place): void {
  if (!existsSync(path)) refuseName(path, place);
  else if (/\.ya?ml$/i.test(path))
    throw otherKind("results-file", path, "a sweep file, not a table of results", [
      [["plan", path], "says what it would train"],
      [["run", path], "trains it"],
    ]);
}

function refuseName(path: string, place: Place): void {
  if (existsSync(path) || !isSweep(path, place)) return;
  throw otherKind("sweep-file-missing", path, "the name of a sweep, and no file of that name is there", [
    [["status", path], "says how far it is"],
    [["report", path], "what it has found"],
  ]);
}

function isSweep(name: string, { dir }: Place): boolean {
  if (dir === undefined) return false;
  try {
    const db = openDatabase(stateDirectory({ dir }).database, { readonly: true });
    try {
      return findSweep(db, name) !== undefined;
    } finally {
      db.close();
    }
  } catch {
    // No sweeps there, or none that this version reads: then a name is nothing.
    return false;
  }
}

const otherKind = (
  code: string,
  path: string,
  what: string,
  commands: [words: string[], does: string][],
): MusweepError =>
  new MusweepError(code, `${path} is ${what}`, {
    kind: "usage",
    remedy: `${commands.map(([words, does]) => `${commandLine(words)} ${does}`).join("; ")}.`,
  });
