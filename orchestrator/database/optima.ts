/**
 * Keeps the fitted optima, and what several of them say together (transfer.ts), current: whatever changes a run's state
 * calls this in the same transaction, so a report and an SQL query can never disagree. What is stored is a function of the
 * results alone, however they came; each fit is kept with what it was made of, and only what has changed is fitted again.
 */
import { createHash } from "node:crypto";
import type { Parameterization } from "../../schema/sweep/rules.ts";
import { readCurve } from "../analysis/curve.ts";
import { coordinatesOf } from "../analysis/groups.ts";
import { METHOD } from "../analysis/method.ts";
import { pooledNoise, type Residual, residualOf, toldNoise } from "../analysis/noise.ts";
import { fitCurve } from "../analysis/optimum.ts";
import type { Noise, Optimum, Verdict } from "../analysis/types.ts";
import type { Outcome } from "./apply-event.ts";
import { curvesOfRun } from "./cells.ts";
import type { Database } from "./connection.ts";
import {
  type PhaseCurves,
  putOptimum,
  readCurves,
  readSomeCurves,
  readStoredFits,
  removeAllOptima,
  removeOptimum,
  type StoredCurve,
  type StoredFit,
} from "./curves.ts";
import { isCoordinateCheck, markPhaseDue, phaseIds, readPhase } from "./phases.ts";
import { readSetting, writeSetting } from "./settings.ts";
import {
  isAskedOtherwise,
  judgeAhead,
  type OnMade,
  type PooledNoise,
  refreshTransfer,
  type Verdicts,
} from "./transfer.ts";

/** What has been made ahead, by what it was made of (`basis`). */
export interface Ahead {
  optima: ReadonlyMap<string, Optimum>;
  verdicts: Verdicts;
}

const NOTHING: Ahead = { optima: new Map(), verdicts: new Map() };

/** Fits again what has changed in a phase, and drops what is no longer in it. @param onMade told of each fit and verdict */
export function refreshPhase(db: Database, phase: number, onMade: OnMade = () => undefined): void {
  if (isCoordinateCheck(db, phase)) return;
  refresh(db, phase, readCurves(db, phase), true, NOTHING, onMade);
}

/**
 * Fits what a set of runs touches, and has their phases looked at (orchestrator/phases/advance.ts).
 * @param ahead fits and verdicts; what is not among them is made now
 */
export function refreshRuns(db: Database, runs: Iterable<string>, ahead: Ahead = NOTHING): void {
  for (const [phase, curves] of touchedBy(db, runs)) {
    markPhaseDue(db, phase);
    if (!isCoordinateCheck(db, phase))
      refresh(db, phase, readSomeCurves(db, phase, [...curves]), false, ahead);
  }
}

/**
 * Makes the fits and verdicts that refreshRuns will need once these runs have become what is foreseen, so that its transaction is short: when the
 * noise of a phase becomes another, every curve of it is fitted again. Writes nothing; yields between them. What comes otherwise
 * than foreseen has another basis, and is made when it is stored.
 */
export function* fitAhead(db: Database, foreseen: ReadonlyMap<string, Outcome>): Generator<void, Ahead> {
  const optima = new Map<string, Optimum>();
  const verdicts = new Map<string, Verdict>();
  for (const { phase, stale, isNew, noise } of staleThen(db, foreseen)) {
    const fitted = new Map<string, { optimum: Optimum; basis: string }>();
    for (const { stored, others, basis } of stale) {
      const optimum = fitCurve(readCurve(stored.input), others);
      optima.set(basis, optimum);
      fitted.set(stored.curve, { optimum, basis });
      yield;
    }
    const changed = new Map(stale.map(({ stored }) => [stored.curve, stored]));
    const judged = yield* judgeAhead(db, phase, { changed, regroup: isNew, noise }, fitted);
    for (const [basis, verdict] of judged) verdicts.set(basis, verdict);
  }
  return { optima, verdicts };
}

const staleThen = (db: Database, foreseen: ReadonlyMap<string, Outcome>) =>
  db.snapshot(() =>
    [...touchedBy(db, foreseen.keys())]
      .filter(([phase]) => !isCoordinateCheck(db, phase))
      .map(([phase, curves]) => ({
        phase,
        ...compare(db, phase, readSomeCurves(db, phase, [...curves], foreseen), false),
      })),
  );

/** The curves that runs are on, by phase. */
function touchedBy(db: Database, runs: Iterable<string>): Map<number, Set<string>> {
  const touched = new Map<number, Set<string>>();
  for (const run of runs) {
    for (const { phase, curve } of curvesOfRun(db, run)) {
      const curves = touched.get(phase);
      if (curves) curves.add(curve);
      else touched.set(phase, new Set([curve]));
    }
  }
  return touched;
}

/** A curve to be fitted, and what it is fitted with. */
interface Fitting {
  stored: StoredCurve;
  others: Noise | undefined;
  basis: string;
}

/**
 * @param read curves as they are now
 * @param whole they are all of the phase; else its set of curves is as it was
 */
function refresh(
  db: Database,
  phase: number,
  read: PhaseCurves,
  whole: boolean,
  ahead: Ahead,
  onMade: OnMade = () => undefined,
): void {
  const { stale, gone, isNew, noise } = compare(db, phase, read, whole);
  for (const curve of gone) removeOptimum(db, phase, curve);
  for (const [i, fitting] of stale.entries()) {
    onMade("fits", i, stale.length);
    store(db, phase, fitting, ahead);
  }
  const changed = new Map(stale.map(({ stored }) => [stored.curve, stored]));
  const regroup = gone.length > 0 || isNew || (whole && isAskedOtherwise(db, phase));
  if (changed.size > 0 || regroup)
    refreshTransfer(db, phase, { changed, regroup, noise }, ahead.verdicts, onMade);
}

/** Holds the stored fits of a phase against its curves. @returns what has to be fitted again, and which fits are of no curve */
function compare(
  db: Database,
  phase: number,
  read: PhaseCurves,
  whole: boolean,
): { stale: Fitting[]; gone: string[]; isNew: boolean; noise: PooledNoise } {
  type Fit = Omit<StoredFit, "basis" | "curve"> & { basis: string | null };
  const fits = new Map<string, Fit>(readStoredFits(db, phase).map((fit) => [fit.curve, fit]));
  const { definition } = readPhase(db, phase);
  const stated = definition.phase.noise;
  const gone = whole ? [...fits.keys()].filter((curve) => !read.has(curve)) : [];
  for (const curve of gone) fits.delete(curve);
  const isNew = [...read.keys()].some((curve) => !fits.has(curve));
  for (const { curve, input } of read.values()) {
    const before = fits.get(curve) ?? { others_sd: null, others_df: null, basis: null };
    fits.set(curve, { ...before, ...residualOf(readCurve(input)) });
  }
  const noise = noiseByParameterization(fits);
  const othersOf = new Map(
    [...fits].map(([curve, fit]) => [curve, toldNoise(fit, noise.get(parameterizationOf(curve)), stated)]),
  );
  const moved = [...fits].filter(([curve, fit]) => {
    const others = othersOf.get(curve);
    return (others?.sd ?? null) !== fit.others_sd || (others?.df ?? null) !== fit.others_df;
  });
  const unread = moved.map(([curve]) => curve).filter((curve) => !read.has(curve));
  const also = unread.length === 0 ? read : readSomeCurves(db, phase, unread);
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

const parameterizationOf = (curve: string): string => coordinatesOf(curve).parameterization;

/** Under one parameterization runs may scatter several times as far as under another. */
function noiseByParameterization(fits: ReadonlyMap<string, Residual>): PooledNoise {
  const groups = new Map<string, Residual[]>();
  for (const [curve, fit] of fits) {
    const name = parameterizationOf(curve);
    const group = groups.get(name);
    if (group) group.push(fit);
    else groups.set(name, [fit]);
  }
  return new Map([...groups].map(([name, residuals]) => [name, pooledNoise(residuals)]));
}

/** Equal for equal input of a fit. */
const basisOf = ({ input, position, open }: StoredCurve, others: Noise | undefined): string =>
  createHash("sha1")
    .update(JSON.stringify([input.points, position, open, others]))
    .digest("base64");

function store(db: Database, phase: number, { stored, others, basis }: Fitting, ahead: Ahead): void {
  const { parameterization, width, layers, sparsity } = stored.coordinates;
  const curve = readCurve(stored.input);
  const optimum = ahead.optima.get(basis) ?? fitCurve(curve, others);
  putOptimum(db, {
    phase_id: phase,
    curve: stored.curve,
    parameterization: parameterization as Parameterization,
    width,
    layers,
    sparsity,
    position: stored.position,
    ...optimum,
    places: JSON.stringify(optimum.places),
    per_cent_above_best: null,
    open: stored.open,
    basis,
    ...residualOf(curve),
    others_sd: others?.sd ?? null,
    others_df: others?.df ?? null,
  });
}

/** The setting that says which method has made the stored fits. */
const METHOD_KEY = "method";

/** Whether they were made by another method than this one, by an earlier version, or not at all. */
export const isOutdated = (db: Database): boolean => readSetting(db, METHOD_KEY) !== String(METHOD);

/** Fits every curve of every sweep again. */
export function refreshAll(db: Database): void {
  removeAllOptima(db);
  for (const phase of phaseIds(db)) refreshPhase(db, phase);
  writeSetting(db, METHOD_KEY, String(METHOD));
}
