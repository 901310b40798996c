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
  const touched = sqlite.prepare<[string], { phase_id: number; curve: string }>(
    "SELECT DISTINCT phase_id, curve FROM cells WHERE run_id = ?",
  );
  const dirty = new Map<number, Set<string>>();
  for (const run of runs) {
    for (const { phase_id, curve } of touched.all(run)) {
      const curves = dirty.get(phase_id);
      if (curves) curves.add(curve);
      else dirty.set(phase_id, new Set([curve]));
    }
  }
  const markDue = sqlite.prepare("UPDATE phases SET due = 1 WHERE id = ?");
  for (const [phase, curves] of dirty) {
    markDue.run(phase);
    if (!isCoordinateCheck(sqlite, phase))
      refresh(sqlite, phase, readSomeCurves(sqlite, phase, [...curves]), false);
  }
}

/** What is known of a stored fit: its part in the pooled noise, and what it was made of. */
interface Fit {
  residual_ss: number;
  residual_df: number;
  others_sd: number | null;
  others_df: number | null;
  basis: string | null;
}

/**
 * @param read curves as they are now; whole: they are all of the phase, else its set of curves is as it was
 */
function refresh(sqlite: Sqlite.Database, phase: number, read: PhaseCurves, whole: boolean): void {
  const fits = new Map(
    sqlite
      .prepare<[number], Fit & { curve: string }>(
        "SELECT curve, residual_ss, residual_df, others_sd, others_df, basis FROM curve_optima WHERE phase_id = ?",
      )
      .all(phase)
      .map(({ curve, ...fit }) => [curve, fit as Fit]),
  );
  const gone = whole ? [...fits.keys()].filter((curve) => !read.has(curve)) : [];
  const remove = sqlite.prepare("DELETE FROM curve_optima WHERE phase_id = ? AND curve = ?");
  for (const curve of gone) {
    remove.run(phase, curve);
    fits.delete(curve);
  }
  const isNew = [...read.keys()].some((curve) => !fits.has(curve));
  for (const { curve, input } of read.values()) {
    const { residual_ss, residual_df } = readCurve(input);
    const before = fits.get(curve) ?? { others_sd: null, others_df: null, basis: null };
    fits.set(curve, { ...before, residual_ss, residual_df });
  }
  const noise = pooledNoise([...fits.values()]);
  const changed = new Set<string>();
  const store = optimumWriter(sqlite, phase);
  for (const [curve, fit] of fits) {
    const others = noiseOfOthers(fit, noise);
    const isSame = (others?.sd ?? null) === fit.others_sd && (others?.df ?? null) === fit.others_df;
    if (isSame && !read.has(curve)) continue;
    const now = read.get(curve) ?? readSomeCurves(sqlite, phase, [curve]).get(curve)!;
    const basis = basisOf(now, others);
    if (basis === fit.basis) continue;
    store(now, others, basis);
    changed.add(curve);
  }
  const regroup = gone.length > 0 || isNew;
  if (changed.size > 0 || regroup) refreshTransfer(sqlite, phase, { changed, regroup, noise });
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
  return (stored: StoredCurve, others: Noise | undefined, basis: string): void => {
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
