/** From a sweep file to the database: checked, its data tokenized, its phases expanded and stored. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { DataMeta } from "../schema/data.ts";
import { MusweepError } from "../schema/errors.ts";
import type { Phase, Sweep } from "../schema/sweep.ts";
import { type PrepareProgress, prepareData } from "./data/prepare.ts";
import type { Database } from "./database/open.ts";
import { type Stored, storeSweep } from "./database/submit.ts";
import type { DataIdentity } from "./parameterization/resolve-plan.ts";
import { advancePhases } from "./phases/advance.ts";
import type { StateDirectory } from "./state.ts";
import { type Expansion, expandPhase } from "./sweep/expand-sweep.ts";
import { parseSweep } from "./sweep/parse-sweep.ts";
import { takenAxes } from "./sweep/taken-axes.ts";
import { inTurns } from "./turns.ts";

export interface SweepText {
  sweep: Sweep;
  text: string;
  /** Relative paths in the file start here. */
  directory: string;
}

export interface LoadedSweep extends SweepText {
  data: DataMeta;
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

/**
 * @param check settings over the file's section coordinate_check
 * @throws MusweepError: every mistake in the file at once, with places
 */
export function readSweepFile(path: string, check?: Record<string, unknown>): SweepText {
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
  return { sweep: parseSweep(text, path, check), text, directory: dirname(resolve(path)) };
}

/** Tokenizes the sweep's data unless that was done before, and expands its grids. */
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
  return { ...read, data, phases: expandPhases(read.sweep, data) };
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
      data: { hash: loaded.data.hash, vocab_size: loaded.data.vocab_size },
      capability: "cpu",
      phases: loaded.sweep.phases,
    }),
  );
  // What has all its results already is complete now, whether or not an orchestrator is running.
  advancePhases(db);
  const duplicates = loaded.phases.map((p) => (p.known ? p.expansion.counts().duplicates : 0));
  return { ...stored, duplicates: duplicates.reduce((a, b) => a + b, 0) };
}
