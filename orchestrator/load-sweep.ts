/** From a sweep file to the database: checked, its data tokenized, its grid expanded and stored. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { DataMeta } from "../schema/data.ts";
import { MusweepError } from "../schema/errors.ts";
import type { SweepFile } from "../schema/sweep.ts";
import { type PrepareProgress, prepareData } from "./data/prepare.ts";
import type { Database } from "./database/open.ts";
import { type Stored, storeSweep } from "./database/submit.ts";
import type { StateDirectory } from "./state.ts";
import { type Expansion, expandSweep } from "./sweep/expand-sweep.ts";
import { parseSweep } from "./sweep/parse-sweep.ts";

export interface SweepText {
  sweep: SweepFile;
  text: string;
  /** Relative paths in the file start here. */
  directory: string;
}

export interface LoadedSweep extends SweepText {
  data: DataMeta;
  expansion: Expansion;
}

/** @throws MusweepError: every mistake in the file at once, with places */
export function readSweepFile(path: string): SweepText {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new MusweepError("sweep-file-missing", `cannot read ${path}: ${(cause as Error).message}`, {
      kind: "usage",
      remedy: "`musweep init` writes a sweep file to start from.",
      cause,
    });
  }
  return { sweep: parseSweep(text, path), text, directory: dirname(resolve(path)) };
}

/** Tokenizes the sweep's data unless that was done before, and expands its grid. */
export async function loadSweep(
  read: SweepText,
  state: StateDirectory,
  options: { signal?: AbortSignal; onProgress?: (progress: PrepareProgress) => void } = {},
): Promise<LoadedSweep> {
  const data = await prepareData(read.sweep.data, {
    cacheDirectory: state.data,
    baseDirectory: read.directory,
    ...options,
  });
  return { ...read, data, expansion: expandSweep(read.sweep, data) };
}

export function submitSweep(db: Database, loaded: LoadedSweep): Stored & { duplicates: number } {
  const stored = storeSweep(db, {
    name: loaded.sweep.name,
    file: loaded.text,
    data_hash: loaded.data.hash,
    capability: "cpu",
    phase: "grid",
    cells: loaded.expansion.cells(),
  });
  return { ...stored, duplicates: loaded.expansion.counts().duplicates };
}
