/**
 * Keeps the fitted optima, and what several of them say together (transfer.ts), current: whatever changes a run's state
 * calls this in the same transaction, so a report and an SQL query can never disagree. What is stored is a function of the
 * results alone, however they came; each fit is kept with what it was made of, and only what has changed is fitted again.
 */
import { createHash } from "node:crypto";
import type Sqlite from "better-sqlite3";
import { readCurve } from "../analysis/curve.ts";
import { METHOD } from "../analysis/method.ts";
import { noiseOfOthers, pooledNoise } from "../analysis/noise.ts";
import { fitCurve } from "../analysis/optimum.ts";
import { ANSWERS_KEPT } from "../analysis/posterior.ts";
import type { Noise } from "../analysis/types.ts";
import { type PhaseCurves, readCurves, readSomeCurves, type StoredCurve } from "./curves.ts";
import { refreshTransfer } from "./transfer.ts";

/** Fits again what has changed in a phase, and drops what is no longer in it. */
export function refreshPhase(sqlite: Sqlite.Database, phase: number): void {
  if (isCoordinateCheck(sqlite, phase)) return;
  refresh(sqlite, phase, readCurves(sqlite, phase), true);
}

/** The runs of a check are on no curve: there is nothing to find the optimum of. */
const isCoordinateCheck = (sqlite: Sqlite.Database, phase: number): boolean =>
  sqlite.prepare("SELECT 1 FROM phases WHERE id = ? AND kind = 'coordinate-check'").get(phase) !== undefined;

/** Fits what a set of runs touches, and has their phases looked at (orchestrator/phases/advance.ts). */
export function refreshRuns(sqlite: Sqlite.Database, runs: Iterable<string>): void {
  const markDue = sqlite.prepare("UPDATE phases SET due = 1 WHERE id = ?");
  for (const [phase, curves] of touchedBy(sqlite, runs)) {
    markDue.run(phase);
    if (!isCoordinateCheck(sqlite, phase))
      refresh(sqlite, phase, readSomeCurves(sqlite, phase, [...curves]), false);
  }
}

/**
 * Makes the fits that refreshRuns is about to need, so that a transaction finds them made (analysis/posterior.ts) and is short:
 * when the noise of a phase becomes another, every curve of it is fitted again. Yields between them.
 * @param change what the transaction will do before it refreshes; tried here, and undone. Returns the runs it touches
 */
export function* fitAhead(sqlite: Sqlite.Database, change: () => Iterable<string>): Generator<void, void> {
  for (const { stored, others } of foreseen(sqlite, change).slice(0, ANSWERS_KEPT)) {
    fitCurve(readCurve(stored.input), others);
    yield;
  }
}

function foreseen(sqlite: Sqlite.Database, change: () => Iterable<string>): Fitting[] {
  sqlite.exec("BEGIN IMMEDIATE");
  try {
    return [...touchedBy(sqlite, change())]
      .filter(([phase]) => !isCoordinateCheck(sqlite, phase))
      .flatMap(
        ([phase, curves]) => compare(sqlite, phase, readSomeCurves(sqlite, phase, [...curves]), false).stale,
      );
  } finally {
    if (sqlite.inTransaction) sqlite.exec("ROLLBACK");
  }
}

/** The curves that runs are on, by phase. */
function touchedBy(sqlite: Sqlite.Database, runs: Iterable<string>): Map<number, Set<string>> {
  const find = sqlite.prepare<[string], { phase_id: number; curve: string }>(
    "SELECT DISTINCT phase_id, curve FROM cells WHERE run_id = ?",
  );
  const touched = new Map<number, Set<string>>();
  for (const run of runs) {
    for (const { phase_id, curve } of find.all(run)) {
      const curves = touched.get(phase_id);
      if (curves) curves.add(curve);
      else touched.set(phase_id, new Set([curve]));
    }
  }
  return touched;
}

/** What is known of a stored fit: its part in the pooled noise, and what it was made of. */
interface Fit {
  residual_ss: number;
  residual_df: number;
  others_sd: number | null;
  others_df: number | null;
  basis: string | null;
}

/** A curve to be fitted, and what it is fitted with. */
interface Fitting {
  stored: StoredCurve;
  others: Noise | undefined;
  basis: string;
}

/**
 * @param read curves as they are now; whole: they are all of the phase, else its set of curves is as it was
 */
function refresh(sqlite: Sqlite.Database, phase: number, read: PhaseCurves, whole: boolean): void {
  const { stale, gone, isNew, noise } = compare(sqlite, phase, read, whole);
  const remove = sqlite.prepare("DELETE FROM curve_optima WHERE phase_id = ? AND curve = ?");
  for (const curve of gone) remove.run(phase, curve);
  const store = optimumWriter(sqlite, phase);
  for (const fitting of stale) store(fitting);
  const changed = new Set(stale.map(({ stored }) => stored.curve));
  const regroup = gone.length > 0 || isNew;
  if (changed.size > 0 || regroup) refreshTransfer(sqlite, phase, { changed, regroup, noise });
}

/** Holds the stored fits of a phase against its curves. @returns what has to be fitted again, and which fits are of no curve */
function compare(
  sqlite: Sqlite.Database,
  phase: number,
  read: PhaseCurves,
  whole: boolean,
): { stale: Fitting[]; gone: string[]; isNew: boolean; noise: Noise | null } {
  const fits = new Map(
    sqlite
      .prepare<[number], Fit & { curve: string }>(
        "SELECT curve, residual_ss, residual_df, others_sd, others_df, basis FROM curve_optima WHERE phase_id = ?",
      )
      .all(phase)
      .map(({ curve, ...fit }) => [curve, fit as Fit]),
  );
  const gone = whole ? [...fits.keys()].filter((curve) => !read.has(curve)) : [];
  for (const curve of gone) fits.delete(curve);
  const isNew = [...read.keys()].some((curve) => !fits.has(curve));
  for (const { curve, input } of read.values()) {
    const { residual_ss, residual_df } = readCurve(input);
    const before = fits.get(curve) ?? { others_sd: null, others_df: null, basis: null };
    fits.set(curve, { ...before, residual_ss, residual_df });
  }
  const noise = pooledNoise([...fits.values()]);
  const othersOf = new Map([...fits].map(([curve, fit]) => [curve, noiseOfOthers(fit, noise)]));
  const moved = [...fits].filter(([curve, fit]) => {
    const others = othersOf.get(curve);
    return (others?.sd ?? null) !== fit.others_sd || (others?.df ?? null) !== fit.others_df;
  });
  const unread = moved.map(([curve]) => curve).filter((curve) => !read.has(curve));
  const also = unread.length === 0 ? read : readSomeCurves(sqlite, phase, unread);
  const stale: Fitting[] = [];
  for (const [curve, fit] of fits) {
    const stored = read.get(curve) ?? also.get(curve);
    if (stored === undefined) continue;
    const others = othersOf.get(curve);
    const basis = basisOf(stored, others);
    if (basis !== fit.basis) stale.push({ stored, others, basis });
  }
  return { stale, gone, isNew, noise };
}

/** Equal for equal input of a fit. */
const basisOf = ({ input, position, open }: StoredCurve, others: Noise | undefined): string =>
  createHash("sha1")
    .update(JSON.stringify([input.points, position, open, others]))
    .digest("base64");

function optimumWriter(sqlite: Sqlite.Database, phase: number) {
  const write = sqlite.prepare(
    `INSERT OR REPLACE INTO curve_optima (phase_id, curve, parameterization, width, layers, sparsity, position, flag,
       log2_lr, log2_lr_low, log2_lr_high, log2_lr_low_90, log2_lr_high_90, loss, loss_low, loss_high,
       valley_low, valley_high, stability_edge, grid_log2_lr, grid_loss, points, seeds, missing,
       open, basis, residual_ss, residual_df, others_sd, others_df)
     VALUES (@phase, @curve, @parameterization, @width, @layers, @sparsity, @position, @flag,
       @log2_lr, @log2_lr_low, @log2_lr_high, @log2_lr_low_90, @log2_lr_high_90, @loss, @loss_low, @loss_high,
       @valley_low, @valley_high, @stability_edge, @grid_log2_lr, @grid_loss, @points, @seeds, @missing,
       @open, @basis, @residual_ss, @residual_df, @others_sd, @others_df)`,
  );
  return ({ stored, others, basis }: Fitting): void => {
    const { parameterization, width, layers, sparsity } = stored.coordinates;
    const curve = readCurve(stored.input);
    write.run({
      phase,
      curve: stored.curve,
      parameterization,
      width,
      layers,
      sparsity,
      position: stored.position,
      ...fitCurve(curve, others),
      open: stored.open,
      basis,
      residual_ss: curve.residual_ss,
      residual_df: curve.residual_df,
      others_sd: others?.sd ?? null,
      others_df: others?.df ?? null,
    });
  };
}

/** Whether the stored fits were made by another method than this one, by an earlier version, or not at all. */
export const isOutdated = (sqlite: Sqlite.Database): boolean =>
  sqlite.prepare<[], { value: string }>("SELECT value FROM settings WHERE key = 'method'").get()?.value !==
  String(METHOD);

/** Fits every curve of every sweep again. */
export function refreshAll(sqlite: Sqlite.Database): void {
  sqlite.exec("DELETE FROM curve_optima");
  for (const { id } of sqlite.prepare<[], { id: number }>("SELECT id FROM phases").all())
    refreshPhase(sqlite, id);
  sqlite
    .prepare(
      "INSERT INTO settings (key, value) VALUES ('method', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )
    .run(String(METHOD));
}
