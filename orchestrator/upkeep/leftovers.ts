/**
 * What nobody needs any more: runs that no sweep has, checkpoints of runs that have ended, weights of runs that are gone, data sets
 * that no sweep is trained on, and what killed processes left half made.
 */
import { lstatSync, readdirSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import { join, relative } from "node:path";
import type { RunState } from "../../schema/database/states.ts";
import { preparedBy } from "../data/prepare.ts";
import { orphanRuns, removeRuns, usedDataSets } from "../database/keep-and-remove.ts";
import type { Database } from "../database/open.ts";
import { runState } from "../database/runs.ts";
import { isRunning } from "../machine/is-running.ts";
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

const ENDED: readonly RunState[] = ["finished", "diverged", "failed"];
/** What another host prepares, or did not end, cannot be told from here before so long. */
const PREPARING_MS = 86_400_000;

/** Whether other state directories may use the same checkpoints and weights. */
const isShared = ({ root, checkpoints }: StateDirectory): boolean =>
  relative(root, checkpoints).startsWith("..");

/**
 * @param before Unix time in milliseconds: what was changed later is left alone
 * @param ended states of runs that need no checkpoints
 * @param shared whether other state directories use the same files: nobody here knows what of them is needless
 */
export function findLeftovers(
  db: Database,
  state: StateDirectory,
  { before, shared, ended = ENDED }: { before: number; shared: boolean; ended?: readonly RunState[] },
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
    if (known === undefined) return "its run is gone";
    if (orphans.has(run)) return "no sweep has its run";
    return whileKnown(known) ? `its run is ${known}` : undefined;
  };
  if (shared) return found;
  for (const name of namesIn(state.checkpoints)) {
    const why = RUN.test(name) ? endOf(name, (known) => ended.includes(known)) : undefined;
    if (why !== undefined) add("checkpoints", join(state.checkpoints, name), why);
  }
  for (const name of namesIn(state.weights)) {
    const run = WEIGHTS.exec(name)?.[1];
    const why = run === undefined ? undefined : endOf(run, () => false);
    if (why !== undefined) add("weights", join(state.weights, name), why);
  }
  for (const name of namesIn(state.data)) {
    const path = join(state.data, name);
    if (DATA_SET.test(name) && !used.has(name)) add("data set", path, "no sweep is trained on it");
    else if (name.startsWith(".preparing-") && hasEnded(name, path))
      add("unfinished data set", path, "what prepared it did not end");
  }
  return found;
}

/** Whether what prepared a data set here is gone: its process, or any sign of one on another host. */
function hasEnded(name: string, path: string): boolean {
  const by = preparedBy(name);
  return by.host === hostname() ? !isRunning(by.pid) : measure(path).changedAt < Date.now() - PREPARING_MS;
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
  if (isShared(state)) return;
  for (const name of namesIn(state.checkpoints)) {
    const known = RUN.test(name) ? runState(db, name) : undefined;
    if (known === "finished" || known === "diverged")
      rmSync(join(state.checkpoints, name), { recursive: true, force: true });
  }
}

/** Checkpoints and weights of runs that are gone; of those that others may have too, none. @returns bytes */
export function removeFilesOf(state: StateDirectory, runs: readonly string[]): number {
  if (isShared(state)) return 0;
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
