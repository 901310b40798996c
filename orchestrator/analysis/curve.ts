/**
 * A curve made ready for fitting: log losses with each seed's level taken out, the noise that is left, and where rates
 * diverge or are missing. Seeds are paired (same initial weights and data order at every rate), so a seed's level shift
 * is common to its whole column and says nothing about where the minimum lies: it is fitted and removed.
 */
import { MusweepError } from "../../schema/wire/errors.ts";
import { leastOf } from "./extremes.ts";
import { groupTwins } from "./twins.ts";
import type { CurveInput, CurvePoint } from "./types.ts";

/** A rate at which half of the seeds or more trained. */
export type StablePoint = {
  log2_tuned: number;
  /** Log loss, seed levels removed. */
  y: number;
  /** Seeds behind it. */
  n: number;
  /** Mean loss over its seeds, nats. */
  mean_loss: number;
  /** At most half of its seeds diverged, but more than elsewhere: the others still say where the curve runs, yet nobody would train here. */
  shaky: boolean;
  /** Its part of the curve's residual sum of squares and degrees of freedom. */
  ss: number;
  df: number;
};

export type Curve = {
  /** By rising rate. */
  stable: StablePoint[];
  /** Planned rates without any result, rising. */
  holes: number[];
  /** Rates at which at least one seed diverged, rising; seeds that train nowhere are left out. */
  diverged: number[];
  /** Those of them at which most did, and the optimum is below. */
  walls: number[];
  /** And those at which most of a few seeds did, though a higher rate trained in full: an accident, or too few seeds to tell. */
  doubtful: number[];
  /** The lowest rate at which any seed diverged. */
  stability_edge: number | null;
  /** Seeds that diverged wherever they ran while others trained: they say nothing about rates, and are left out. */
  lost: number[];
  /** Noise within seeds, as a sum of squares of log losses with its degrees of freedom (0 without replicates). */
  residual_ss: number;
  residual_df: number;
  /** Mean log loss of every seed that ran at more than one rate: its level. */
  levels: number[];
  /** Distinct seeds with a finite loss. */
  seeds: number;
  missing: number;
};

/** Points farther above the best than this (log loss) tell nothing about the noise near the minimum. */
const NOISE_WINDOW = 0.15;

/** So many seeds that diverge at a rate, most of those that ran, are a wall, whatever higher rates do. */
const CERTAIN = 3;
/** A seed has to diverge at so many rates before it is taken for one that trains nowhere. */
const LOST_AT = 3;

export function readCurve(input: CurveInput): Curve {
  const sorted = [...input.points].sort((a, b) => a.log2_tuned - b.log2_tuned);
  for (const [i, p] of sorted.entries()) checkPoint(p, sorted[i - 1]);
  const whole = groupTwins(sorted, (p) => 2 ** p.log2_tuned).map(joinTwins);
  const lost = lostSeeds(whole);
  const points = whole.map((p) => ({ ...p, seeds: p.seeds.filter((s) => !lost.includes(s.seed)) }));
  const diverged = points.filter((p) => p.seeds.some((s) => s.diverged)).map((p) => p.log2_tuned);
  const holes = points.filter((p) => p.seeds.length === 0 && p.missing > 0).map((p) => p.log2_tuned);
  const trained = points
    .map((p) => ({ ...p, seeds: p.seeds.filter((s) => !s.diverged), broken: brokenOf(p) }))
    .filter((p) => p.seeds.length > 0 && p.seeds.length >= p.broken);
  // Where some diverge at every rate, those at which the fewest do are what a best rate is chosen from.
  const fewest = leastOf(trained.map((p) => p.broken));
  const last_full = trained.findLast((p) => p.broken === fewest)?.log2_tuned ?? Number.NEGATIVE_INFINITY;
  const closed = points.filter((p) => brokenOf(p) > 0 && trained.every((t) => t.log2_tuned !== p.log2_tuned));
  const isWall = (p: CurvePoint) => p.log2_tuned > last_full || brokenOf(p) >= CERTAIN;
  const fit = removeSeedLevels(trained);
  return {
    stable: trained.map((p, k) => ({
      log2_tuned: p.log2_tuned,
      y: fit.y[k]!,
      n: p.seeds.length,
      mean_loss: p.seeds.reduce((sum, s) => sum + s.loss!, 0) / p.seeds.length,
      shaky: p.broken > fewest,
      ss: fit.ss[k]!,
      df: fit.df[k]!,
    })),
    holes,
    diverged,
    walls: closed.filter(isWall).map((p) => p.log2_tuned),
    doubtful: closed.filter((p) => !isWall(p)).map((p) => p.log2_tuned),
    stability_edge: whole.find((p) => brokenOf(p) > 0)?.log2_tuned ?? null,
    lost,
    residual_ss: sum(fit.ss),
    residual_df: Math.round(sum(fit.df)),
    levels: fit.levels,
    seeds: new Set(trained.flatMap((p) => p.seeds.map((s) => s.seed))).size,
    missing: points.reduce((total, p) => total + p.missing, 0),
  };
}

const brokenOf = ({ seeds }: CurvePoint): number => seeds.filter((s) => s.diverged).length;

/** Those that diverged wherever they ran, though at the lowest of these rates another one trained; never more than half of all. */
function lostSeeds(points: readonly CurvePoint[]): number[] {
  const seeds = [...new Set(points.flatMap((p) => p.seeds.map((s) => s.seed)))];
  const lost = seeds.filter((seed) => {
    const ran = points.filter((p) => p.seeds.some((s) => s.seed === seed));
    const everywhere = ran.every((p) => p.seeds.some((s) => s.seed === seed && s.diverged));
    return everywhere && ran.length >= LOST_AT && ran[0]!.seeds.some((s) => !s.diverged);
  });
  return 2 * lost.length <= seeds.length ? lost : [];
}

/** One point of rates that differ in the way they are written only; a seed that ran at two of them counts once, with its mean loss. */
function joinTwins(twins: [CurvePoint, ...CurvePoint[]]): CurvePoint {
  if (twins.length === 1) return twins[0];
  const runsOf = new Map<number, CurvePoint["seeds"]>();
  for (const run of twins.flatMap((p) => p.seeds))
    runsOf.set(run.seed, [...(runsOf.get(run.seed) ?? []), run]);
  return {
    log2_tuned: twins[0].log2_tuned,
    missing: sum(twins.map((p) => p.missing)),
    seeds: [...runsOf].map(([seed, runs]) => {
      const diverged = runs.some((r) => r.diverged);
      return { seed, diverged, loss: diverged ? null : mean(runs.map((r) => r.loss!)) };
    }),
  };
}

function checkPoint(p: CurvePoint, before: CurvePoint | undefined): void {
  const fail = (what: string) => {
    throw new MusweepError("curve", `learning-rate curve, log2 rate ${p.log2_tuned}: ${what}`, {
      kind: "usage",
      remedy:
        "Give each rate once, each seed once per rate, and a positive loss for every run that did not diverge.",
    });
  };
  if (!Number.isFinite(p.log2_tuned)) fail("the rate is not a finite number");
  if (before?.log2_tuned === p.log2_tuned) fail("the rate is there twice");
  if (!(Number.isInteger(p.missing) && p.missing >= 0)) fail(`missing is ${p.missing}, not a count`);
  if (new Set(p.seeds.map((s) => s.seed)).size < p.seeds.length) fail("a seed is there twice");
  for (const s of p.seeds) {
    if (s.diverged) continue;
    if (s.loss === null || !(s.loss > 0 && Number.isFinite(s.loss)))
      fail(`seed ${s.seed} did not diverge, yet its loss is ${s.loss}`);
  }
}

/** The lowest point that is not shaky; of equal ones the lowest rate. */
export const lowest = (points: readonly StablePoint[]): StablePoint | undefined =>
  points.reduce<StablePoint | undefined>(
    (low, p) => (p.shaky || (low !== undefined && p.y >= low.y) ? low : p),
    undefined,
  );

/** Whether a rate at which a seed diverged stops nothing: no wall, and a higher rate trained in full. */
export function isPassed({ stable, walls }: Curve, log2_tuned: number): boolean {
  const last = stable.findLast((p) => !p.shaky);
  return last !== undefined && last.log2_tuned > log2_tuned && !walls.includes(log2_tuned);
}

/** The lowest rate above another from which on training breaks: a wall, or rates of which none trained in full. */
export const unstableAbove = (curve: Curve, log2_tuned: number): number | undefined =>
  curve.diverged.find((x) => x > log2_tuned && !isPassed(curve, x));

/** The lowest wall above the best rate; where no rate is the best, the lowest of all. */
export function wallAbove({ stable, walls }: Curve): number | undefined {
  const best = lowest(stable)?.log2_tuned ?? Number.NEGATIVE_INFINITY;
  return walls.find((x) => x > best);
}

/** Whether of all rates tried the nearest is one at which most seeds diverged, though higher ones trained. */
export function isDoubtful({ stable, doubtful }: Curve, log2_tuned: number): boolean {
  const away = (rates: readonly number[]) => leastOf(rates.map((x) => Math.abs(x - log2_tuned)));
  return away(doubtful) < away(stable.map((p) => p.log2_tuned));
}

type Run = { k: number; v: number };
type Column = { runs: Run[]; level: number };
/** ss and df rate by rate; df need not be whole numbers. */
type LevelFit = { y: number[]; levels: number[]; ss: number[]; df: number[] };

/**
 * Least squares of log loss = y[rate] + level[seed] over the rates near the best (a run close to the wall says little
 * about its seed's level), levels summing to zero over the runs. Alternating projections: exact after one round when
 * every seed ran at every rate. A seed seen at one rate only has no level of its own.
 */
function removeSeedLevels(points: CurvePoint[]): LevelFit {
  const logs = points.map((p) => p.seeds.map((s) => ({ seed: s.seed, v: Math.log(s.loss!) })));
  const raw = logs.map((runs) => mean(runs.map((r) => r.v)));
  const best = leastOf(raw);
  const near = raw.map((v) => v - best <= NOISE_WINDOW);
  const columns = new Map<number, Column>();
  for (const [k, runs] of logs.entries())
    for (const { seed, v } of runs) {
      const column = columns.get(seed) ?? { runs: [], level: 0 };
      if (near[k]) column.runs.push({ k, v });
      columns.set(seed, column);
    }
  const paired = [...columns.entries()]
    .sort(([a], [b]) => a - b)
    .map(([, column]) => column)
    .filter((column) => column.runs.length > 1);
  const rateMeans = () => logs.map((runs) => mean(runs.map((r) => r.v - columns.get(r.seed)!.level)));
  const MAX_ROUNDS = 500;
  let y = raw;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    for (const column of paired) column.level = mean(column.runs.map(({ k, v }) => v - y[k]!));
    const all = paired.flatMap((column) => column.runs.map(() => column.level));
    const centre = all.length > 0 ? mean(all) : 0;
    for (const column of paired) column.level -= centre;
    const next = rateMeans();
    const moved = Math.max(0, ...next.map((v, k) => Math.abs(v - y[k]!)));
    y = next;
    if (moved < 1e-13) break;
  }
  const ss = logs.map(() => 0);
  const runs = logs.map(() => 0);
  for (const column of columns.values())
    for (const { k, v } of column.runs) {
      ss[k]! += (v - column.level - y[k]!) ** 2;
      runs[k]!++;
    }
  const replicates = runs.map((n) => Math.max(0, n - 1));
  const df = sum(replicates) - Math.max(0, paired.length - 1);
  return {
    y,
    levels: paired.map((column) => column.level),
    ss,
    df: replicates.map((n) => (df > 0 ? (n * df) / sum(replicates) : 0)),
  };
}

const sum = (values: readonly number[]): number => values.reduce((total, v) => total + v, 0);
const mean = (values: readonly number[]): number => sum(values) / values.length;
