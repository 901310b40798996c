/**
 * What nobody needs any more: runs that no sweep has, checkpoints of runs that have ended, weights of runs that are gone, data sets
 * that no sweep is trained on, and what killed processes left half made.
 */
import { lstatSync, readdirSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import type { RunState } from "../../schema/database/states.ts";
import { orphanRuns, removeRuns, usedDataSets } from "../database/keep-and-remove.ts";
import type { Database } from "../database/open.ts";
import { runState } from "../database/runs.ts";
import type { StateDirectory } from "../machine/state-directory.ts";

export interface Leftover {
  kind: "run" | "checkpoints" | "weights" | "data set" | "unfinished data set";
  /** A run's id, or a path. */
  what: string;
  /** On disk; of a run's rows it is not known. */
  bytes: number;
  why: string;
}

const RUN = /^r[0-9a-f]{20}$/;
const WEIGHTS = /^(r[0-9a-f]{20})\.safetensors/;
const DATA_SET = /^[0-9a-f]{32}$/;

const ENDED: ReadonlySet<RunState> = new Set(["finished", "diverged", "failed"]);

/**
 * @param before Unix time in milliseconds: what was changed later is left alone
 * @param shared whether other state directories use the same files: then only what is known here to be needless is
 */
export function findLeftovers(
  db: Database,
  state: StateDirectory,
  { before, shared }: { before: number; shared: boolean },
): Leftover[] {
  const orphans = new Set(orphanRuns(db, before));
  const used = usedDataSets(db);
  const found = [...orphans].map(
    (what): Leftover => ({ kind: "run", what, bytes: 0, why: "no sweep has it" }),
  );
  const add = (kind: Leftover["kind"], path: string, why: string): void => {
    const { bytes, changedAt } = measure(path);
    if (changedAt < before) found.push({ kind, what: path, bytes, why });
  };
  /** Why a run's files are needless; undefined: they are not. */
  const endOf = (run: string, whileKnown: (state: RunState) => boolean): string | undefined => {
    const known = runState(db, run);
    if (known === undefined) return shared ? undefined : "its run is gone";
    if (orphans.has(run)) return "no sweep has its run";
    return whileKnown(known) ? `its run is ${known}` : undefined;
  };
  for (const name of namesIn(state.checkpoints)) {
    const why = RUN.test(name) ? endOf(name, (known) => ENDED.has(known)) : undefined;
    if (why !== undefined) add("checkpoints", join(state.checkpoints, name), why);
  }
  for (const name of namesIn(state.weights)) {
    const run = WEIGHTS.exec(name)?.[1];
    const why = run === undefined ? undefined : endOf(run, () => false);
    if (why !== undefined) add("weights", join(state.weights, name), why);
  }
  if (shared) return found;
  for (const name of namesIn(state.data)) {
    const path = join(state.data, name);
    if (DATA_SET.test(name) && !used.has(name)) add("data set", path, "no sweep is trained on it");
    else if (name.startsWith(".preparing-")) add("unfinished data set", path, "what prepared it did not end");
  }
  return found;
}

/** @returns what could be removed: a run that has come back to a sweep meanwhile stays */
export function removeLeftovers(db: Database, leftovers: readonly Leftover[]): Leftover[] {
  const isRun = ({ kind }: Leftover): boolean => kind === "run";
  const wanted = new Set(orphanRuns(db, Number.MAX_SAFE_INTEGER));
  const runs = leftovers.filter((l) => isRun(l) && wanted.has(l.what)).map(({ what }) => what);
  const gone = new Set(removeRuns(db, runs));
  const files = leftovers.filter((l) => !isRun(l));
  for (const { what } of files) rmSync(what, { recursive: true, force: true });
  return [...leftovers.filter((l) => isRun(l) && gone.has(l.what)), ...files];
}

/**
 * Checkpoints of runs that have a result; a failed one goes on from its own, once requeued. A worker removes those of the runs that it ends, if it still holds them: one that lost its hold
 * while Redis was away, or died between the two, leaves them. Where several state directories use the same files, none: another one
 * may be training the very run.
 */
export function removeEndedCheckpoints(db: Database, state: StateDirectory): void {
  if (relative(state.root, state.checkpoints).startsWith("..")) return;
  for (const name of namesIn(state.checkpoints)) {
    const known = RUN.test(name) ? runState(db, name) : undefined;
    if (known === "finished" || known === "diverged")
      rmSync(join(state.checkpoints, name), { recursive: true, force: true });
  }
}

/** Checkpoints and weights of runs that are gone. @returns bytes */
export function removeFilesOf(state: StateDirectory, runs: readonly string[]): number {
  const ids = new Set(runs);
  const paths = [
    ...namesIn(state.checkpoints)
      .filter((name) => ids.has(name))
      .map((name) => join(state.checkpoints, name)),
    ...namesIn(state.weights)
      .filter((name) => ids.has(WEIGHTS.exec(name)?.[1] ?? ""))
      .map((name) => join(state.weights, name)),
  ];
  const bytes = paths.reduce((sum, path) => sum + measure(path).bytes, 0);
  for (const path of paths) rmSync(path, { recursive: true, force: true });
  return bytes;
}

/** None where there is no such directory. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Of a file, or of a directory with all in it; what disappears meanwhile is nothing. */
function measure(path: string): { bytes: number; changedAt: number } {
  const info = lstatSync(path, { throwIfNoEntry: false });
  if (info === undefined) return { bytes: 0, changedAt: 0 };
  const inside = info.isDirectory() ? namesIn(path).map((name) => measure(join(path, name))) : [];
  return {
    bytes: inside.reduce((sum, { bytes }) => sum + bytes, info.isDirectory() ? 0 : info.size),
    changedAt: Math.max(info.mtimeMs, ...inside.map(({ changedAt }) => changedAt)),
  };
}
