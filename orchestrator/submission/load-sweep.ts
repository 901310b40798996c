/** From a sweep file to the database: checked, its data tokenized, its phases expanded and stored. */
import { basename, dirname, resolve } from "node:path";
import type { Phase, Sweep } from "../../schema/sweep/sweep.ts";
import type { DataMeta } from "../../schema/wire/data.ts";
import { unreadable } from "../../schema/wire/path-error.ts";
import { readRegularSync } from "../../schema/wire/regular-file.ts";
import { type PrepareProgress, prepareData } from "../data/prepare.ts";
import type { Database } from "../database/open.ts";
import { type Stored, storeSweep } from "../database/submit.ts";
import type { StateDirectory } from "../machine/state-directory.ts";
import { inTurns } from "../machine/turns.ts";
import { type DataIdentity, NO_DATA } from "../parameterization/resolve-plan.ts";
import { advancePhases } from "../phases/advance.ts";
import { type Expansion, expandPhase } from "../sweep/expand-sweep.ts";
import { type ParsedSweep, parseSweepFile } from "../sweep/parse-sweep.ts";
import { takenAxes } from "../sweep/taken-axes.ts";
import { readSweepAside } from "./read-aside.ts";
import { prepareRemoteData } from "./remote-data.ts";
import { refuseShortText } from "./short-text.ts";

export interface SweepText extends ParsedSweep {
  text: string;
  /** The name that messages give it. */
  file: string;
  /** Relative paths in the file start here. */
  directory: string;
}

export interface LoadedSweep extends Omit<SweepText, "directory"> {
  data: DataIdentity;
  /** What there is to train on; null: the trainer has data of its own. */
  train_tokens: number | null;
  /** The phases in the file's order. Where one takes values, stand-ins are in their place until the source is decided. */
  phases: PhaseExpansion[];
}

export interface PhaseExpansion {
  phase: Phase;
  /** Whether its values are all known. */
  known: boolean;
  expansion: Expansion;
}

/** The phases of a sweep with their grids. */
export const expandPhases = (sweep: Sweep, data: DataIdentity): PhaseExpansion[] =>
  sweep.phases.map((phase) => ({
    phase,
    known: takenAxes(phase.axes).length === 0,
    expansion: expandPhase(phase, data),
  }));

/** A sweep file in bytes; more is a mistake. */
const MAX_FILE_BYTES = 1 << 20;

/**
 * @param check settings over the file's section coordinate_check
 * @throws MusweepError: every mistake in the file at once, with places
 */
export function readSweepFile(path: string, check?: Record<string, unknown>): SweepText {
  const text = readText(path);
  return { ...parseSweepFile(text, path, check), text, file: path, directory: dirname(resolve(path)) };
}

function readText(path: string): string {
  try {
    return readRegularSync(path, MAX_FILE_BYTES);
  } catch (cause) {
    throw unreadable(path, cause, {
      code: "sweep-file-missing",
      remedy: "`musweep init` writes a sweep file to start from.",
    });
  }
}

/**
 * Tokenizes the sweep's data unless that was done before, and expands its grids.
 * @throws MusweepError where the data cannot be read, or is too short
 */
export async function loadSweep(
  read: SweepText,
  state: StateDirectory,
  options: {
    signal?: AbortSignal;
    onProgress?: (progress: PrepareProgress) => void;
    onGone?: (message: string) => void;
    verify?: boolean;
  } = {},
): Promise<LoadedSweep> {
  const { data: spec } = read.sweep;
  const data =
    spec === undefined
      ? NO_DATA
      : await prepareData(spec, { cacheDirectory: state.data, baseDirectory: read.directory, ...options });
  const { directory: _directory, ...rest } = read;
  return loaded(rest, data);
}

/**
 * The same for a sweep that came over HTTP.
 * @param file its name, for messages
 * @param dataRoot see remote-data.ts
 * @throws MusweepError: every mistake in the text at once, with places; or the data may not be read
 */
export async function loadRemoteSweep(
  text: string,
  file: string,
  state: StateDirectory,
  options: { dataRoot: string | undefined; signal: AbortSignal },
): Promise<LoadedSweep> {
  const read = await readSweepAside(text, file);
  const { dataRoot, signal } = options;
  const { data: spec } = read.sweep;
  const data =
    spec === undefined
      ? NO_DATA
      : await prepareRemoteData(spec, dataRoot, { cacheDirectory: state.data, signal });
  return loaded({ ...read, text, file }, data);
}

/** @throws SweepFileError where the data is too short for the sweep */
function loaded(read: Omit<SweepText, "directory">, data: DataIdentity | DataMeta): LoadedSweep {
  const phases = expandPhases(read.sweep, data);
  if (!("train_tokens" in data)) return { ...read, data, train_tokens: null, phases };
  const { train_tokens, validation_tokens: validation } = data;
  refuseShortText(read, { all: train_tokens + validation, training: train_tokens, validation });
  return { ...read, data, train_tokens, phases };
}

/** A large grid takes its time; the process does what else comes in meanwhile. */
export async function submitSweep(
  db: Database,
  loaded: LoadedSweep,
): Promise<Stored & { duplicates: number }> {
  const stored = await inTurns(
    storeSweep(db, {
      name: loaded.sweep.name,
      file: loaded.text,
      // From elsewhere it may be any text; on disks a name has no more.
      file_name: basename(loaded.file).slice(0, 255),
      data: { hash: loaded.data.hash, vocab_size: loaded.data.vocab_size },
      priority: loaded.sweep.priority,
      phases: loaded.sweep.phases,
    }),
  );
  // What has all its results already is complete now, whether or not an orchestrator is running.
  advancePhases(db);
  const duplicates = loaded.phases.map((p) => (p.known ? p.expansion.counts().duplicates : 0));
  return { ...stored, duplicates: duplicates.reduce((a, b) => a + b, 0) };
}
