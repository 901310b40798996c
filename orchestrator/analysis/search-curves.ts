/** The curves of a search (search.ts): what is known of each, where its runs start, and what brackets it. */
import { likelyExcess } from "./choose-runs.ts";
import { type Curve, isDoubtful, lowest, readCurve, type StablePoint, wallAbove } from "./curve.ts";
import { type Axis, type CurveCoordinates, type Placed, valueAlong } from "./groups.ts";
import { pooledNoise, type Residual, residualOf, runVariance, toldNoise } from "./noise.ts";
import { fitCurve, fitValley } from "./optimum.ts";
import type { Posterior } from "./posterior.ts";
import { groupTwins } from "./twins.ts";
import type { CurveInput, Noise, Optimum } from "./types.ts";

/** A rate and a seed. */
export type Spot = { log2_tuned: number; seed: number };

export type SearchedCurve = Placed & {
  coordinates: CurveCoordinates;
  /** Results. */
  input: CurveInput;
  /** Runs that it has been given, whether they have a result or not. */
  planned: readonly Spot[];
  /** log2 of the middle of the rates that the file names for it: the first guess, and where half-octave steps count from. */
  middle: number;
  first_seed: number;
  /** Of one run, in any unit. */
  cost: number;
};

/**
 * new: without runs. low, high, both: the best rate is at an edge, beyond which the optimum may lie. below: all rates diverged. near
 * wall: the next rate up diverges, with room between. doubted wall: it diverges without room, but one seed alone has shown it. located:
 * there are worse rates on both sides. at wall, too far, flat, without results: nothing can be added that would bracket it.
 */
type Standing =
  | "new"
  | "low"
  | "high"
  | "both"
  | "below"
  | "near wall"
  | "doubted wall"
  | "located"
  | "at wall"
  | "too far"
  | "flat"
  | "without results";

export type Known = SearchedCurve & {
  read: Curve;
  /** Of all curves of its parameterization. */
  pooled: Noise | null;
  optimum: Optimum;
  /** Null: fewer than three rates trained. */
  posterior: Posterior | null;
  standing: Standing;
};

/** Octaves from the guess to the first rates on either side, from an edge to the next rate, and between neighbouring rates. */
const [SIDE, EXTENSION, APART] = [1.5, 1, 0.5];
/** An edge so high above the optimum (log loss) is far enough from it: a rate beyond would tell little. */
const HIGH_ENOUGH = 0.04;
/** No two rates come closer, octaves. */
const CLOSEST = 0.25;
/** More seeds at a rate are not taken: what they share stays. */
export const MOST_SEEDS = 8;
/** Rates that span so many octaves without bracketing an optimum are enough; so many, where no rate differs from the best one. */
const [SPAN, FLAT_SPAN] = [16, 8];
/** From this span on steps beyond an edge grow: a quarter of it, octaves. */
const GROWING = 4;
/** Standard errors within which a rate does not differ from the best one. */
const ALIKE = 3;
/** Rates at which one seed diverges before another is tried at the lowest: three to begin with, and two below. */
const BLAMED = 5;
/** As far as a guess follows what the curves before show, octaves a curve. */
const FARTHEST = 3;

/** @param stated_noise of one run, per cent of its loss */
export function readSearched(
  curves: readonly SearchedCurve[],
  stated_noise: number | undefined,
): Map<string, Known> {
  const residuals = new Map<string, Residual[]>();
  const read = curves.map((curve) => {
    const own = readCurve(curve.input);
    const { parameterization } = curve.coordinates;
    residuals.set(parameterization, [...(residuals.get(parameterization) ?? []), residualOf(own)]);
    return { ...curve, planned: joined(curve.planned), read: own };
  });
  const noise = new Map([...residuals].map(([name, all]) => [name, pooledNoise(all)]));
  return new Map(
    read.map((curve) => {
      const pooled = noise.get(curve.coordinates.parameterization)!;
      const others = toldNoise(residualOf(curve.read), pooled, stated_noise);
      const optimum = fitCurve(curve.read, others);
      const posterior = fitValley(curve.read, others)?.posterior ?? null;
      return [
        curve.curve,
        {
          ...curve,
          pooled,
          optimum,
          posterior,
          standing: standingOf(curve, curve.read, optimum, posterior, others),
        },
      ];
    }),
  );
}

/** Two ways to write one rate are the lower one, as in the curve that is read. */
function joined(planned: readonly Spot[]): Spot[] {
  const lower = new Map(
    groupTwins(planned, (spot) => 2 ** spot.log2_tuned).flatMap((twins) =>
      twins.map(({ log2_tuned }) => [log2_tuned, twins[0].log2_tuned]),
    ),
  );
  return planned.map(({ log2_tuned, seed }) => ({ log2_tuned: lower.get(log2_tuned)!, seed }));
}

function standingOf(
  curve: SearchedCurve,
  read: Curve,
  { flag }: Optimum,
  p: Posterior | null,
  others: Noise | undefined,
): Standing {
  const { stable, diverged } = read;
  if (curve.planned.length === 0) return "new";
  if (flag === "incomplete") return "without results";
  const rates = ratesOf(curve, read);
  const span = rates.at(-1)! - rates[0]!;
  const best = lowest(stable);
  if (best === undefined)
    return diverged.length === 0 ? "without results" : span < SPAN ? "below" : "too far";
  if (span >= FLAT_SPAN && isFlat(read, best, others)) return "flat";
  const isFirst = best === stable[0];
  const wall = wallAbove(read);
  const wide = (edge: StablePoint) => p === null || likelyExcess(p, edge.log2_tuned) < HIGH_ENOUGH;
  const beyond = (edge: "low" | "high" | "both"): Standing => (span < SPAN ? edge : "too far");
  if (best !== stable.at(-1)) {
    if (isFirst || (flag === "at low edge" && wide(stable[0]!))) return beyond("low");
    return flag === "at high edge" && wide(stable.at(-1)!) ? beyond("high") : "located";
  }
  if (wall === undefined) return beyond(isFirst ? "both" : "high");
  if (wall - best.log2_tuned >= 2 * CLOSEST) return "near wall";
  if (isFirst) return beyond("low");
  return doubtedWall(curve, read) === null ? "at wall" : "doubted wall";
}

function isFlat(read: Curve, best: StablePoint, others: Noise | undefined): boolean {
  const run = runVariance(residualOf(read), others) ?? 0;
  return read.stable.every((p) => p.y - best.y <= ALIKE * Math.sqrt(run / p.n + run / best.n));
}

const seedsAt = ({ planned }: SearchedCurve, log2_tuned: number): number =>
  planned.filter((spot) => spot.log2_tuned === log2_tuned).length;

/** Another seed at the wall above the best rate, where a single one has diverged: nothing is to rest on it alone. */
export function doubtedWall(curve: SearchedCurve, read: Curve): Spot | null {
  const wall = wallAbove(read);
  return wall !== undefined && seedsAt(curve, wall) === 1 ? anotherAt(curve, wall) : null;
}

/** Another seed beside a rate, where most of a few have diverged though higher rates trained. */
export function doubtedRate(curve: Known, log2_tuned: number): Spot | null {
  if (!isDoubtful(curve.read, log2_tuned)) return null;
  const away = (x: number) => Math.abs(x - log2_tuned);
  return anotherAt(
    curve,
    curve.read.doubtful.reduce((near, x) => (away(x) < away(near) ? x : near)),
  );
}

const anotherAt = ({ planned }: SearchedCurve, log2_tuned: number): Spot => ({
  log2_tuned,
  seed: nextSeed(planned, log2_tuned),
});

export const isLocated = ({ standing }: Known): boolean => standing === "located" || standing === "at wall";

/** To half-octave steps from the middle of the file's rates, so that the same rates are met again. */
const onLattice = ({ middle }: SearchedCurve, log2_tuned: number): number =>
  middle + Math.round((log2_tuned - middle) / APART) * APART;

const triedRates = ({ planned }: SearchedCurve): number[] => [
  ...new Set(planned.map((spot) => spot.log2_tuned)),
];
/** Those of seeds that train anywhere, rising. */
const ratesOf = ({ planned, ...curve }: SearchedCurve, { lost }: Curve): number[] =>
  triedRates({ ...curve, planned: planned.filter(({ seed }) => !lost.includes(seed)) }).sort((a, b) => a - b);
const isFarFrom =
  (tried: readonly number[]) =>
  (x: number): boolean =>
    tried.every((t) => Math.abs(t - x) >= CLOSEST);

/** Rates to choose from between two, and those that have runs. */
export function latticeBetween(curve: SearchedCurve, low: number, high: number): number[] {
  const tried = triedRates(curve);
  const first = onLattice(curve, low);
  const steps = Array.from(
    { length: Math.max(0, Math.floor((high - first) / APART) + 1) },
    (_, k) => first + k * APART,
  );
  return [...tried, ...steps.filter(isFarFrom(tried))]
    .filter((x) => x >= low - APART && x <= high)
    .sort((a, b) => a - b);
}

/** The same from a rate on, up to an octave up (1) or down (−1). To quarter octaves, for there may be a wall. */
export function latticeFrom(curve: SearchedCurve, rate: number, direction: 1 | -1): number[] {
  const tried = triedRates(curve);
  const nearest = direction * Math.ceil((direction * (rate - curve.middle)) / CLOSEST) * CLOSEST;
  const steps = Array.from(
    { length: EXTENSION / CLOSEST },
    (_, k) => curve.middle + nearest + direction * k * CLOSEST,
  );
  const distance = (x: number) => direction * (x - rate);
  return [
    ...tried.filter((x) => distance(x) >= 0 && distance(x) <= EXTENSION),
    ...steps.filter(isFarFrom(tried)),
  ];
}

/** Three rates around a guess. */
export const startAt = (curve: SearchedCurve, guess: number, seeds: number): Spot[] =>
  Array.from({ length: seeds }, (_, k) => curve.first_seed + k).flatMap((seed) =>
    [-SIDE, 0, SIDE].map((u) => ({ log2_tuned: onLattice(curve, guess) + u, seed })),
  );

/** What a curve that is not bracketed needs next, whatever else is open; none where it is, or where nothing would help. */
export function towardsBracket(curve: Known): { spots: Spot[]; why: string } {
  const { standing, read, first_seed, planned } = curve;
  const rates = ratesOf(curve, read);
  const steady = [first_seed, ...planned.map(({ seed }) => seed)].find((seed) => !read.lost.includes(seed));
  const spots = (...at: number[]): Spot[] =>
    at.map((log2_tuned) => ({ log2_tuned, seed: steady ?? first_seed }));
  const [first, last] = [rates[0]!, rates.at(-1)!];
  const growing = Math.floor((last - first) / GROWING);
  const step = Math.max(EXTENSION, growing);
  switch (standing) {
    case "low":
      return { spots: spots(first - step), why: "the optimum may lie below the rates tried" };
    case "high":
      return { spots: spots(last + step), why: "the optimum may lie above the rates tried" };
    case "both":
      return { spots: spots(first - EXTENSION, last + EXTENSION), why: "one rate brackets nothing" };
    case "below":
      return rates.length >= BLAMED && rates.every((x) => seedsAt(curve, x) === 1)
        ? { spots: [anotherAt(curve, first)], why: "another seed, all rates tried diverge with one" }
        : { spots: spots(first - Math.max(SIDE, growing)), why: "all rates tried diverge" };
    case "doubted wall":
      return {
        spots: [doubtedWall(curve, read)!],
        why: "another seed, one has diverged beside the best rate",
      };
    case "near wall": {
      const best = lowest(read.stable)!.log2_tuned;
      const wall = wallAbove(read)!;
      return { spots: spots((best + wall) / 2), why: "the optimum lies beside a rate that diverges" };
    }
    default:
      return { spots: [], why: "" };
  }
}

/** One more seed at the best rate and its neighbours. */
export function replicates({ read, planned }: Known): Spot[] {
  const at = read.stable.indexOf(lowest(read.stable)!);
  return read.stable
    .slice(Math.max(0, at - 1), at + 2)
    .map(({ log2_tuned }) => ({ log2_tuned, seed: nextSeed(planned, log2_tuned) }));
}

/** The one after the last that was planned there. */
export function nextSeed(planned: readonly Spot[], log2_tuned: number, otherwise = 1): number {
  const seeds = planned.filter((spot) => spot.log2_tuned === log2_tuned).map((spot) => spot.seed);
  return seeds.length === 0 ? otherwise : Math.max(...seeds) + 1;
}

/** Where curves stand along an axis: in octaves, unless one of them has no logarithm. */
function stepsAlong(axis: Axis, curves: readonly Known[]): number[] {
  const values = curves.map(({ coordinates }) => valueAlong(axis, coordinates));
  return values.every((value) => value > 0) ? values.map(Math.log2) : values;
}

const placeOf = ({ posterior, read }: Known): { at: number; variance: number } =>
  posterior === null
    ? { at: lowest(read.stable)!.log2_tuned, variance: 1 }
    : {
        at: posterior.quantile(0.5),
        variance: ((posterior.quantile(0.84) - posterior.quantile(0.16)) / 2) ** 2,
      };

/**
 * Where the optimum of the next curve along an axis may lie: as the last two before it say, a drift between them counting as far as
 * it is more than their uncertainty.
 * @param before located curves, the nearest last; one or more
 */
export function guessFrom(axis: Axis, curve: Known, before: readonly Known[]): number {
  const [last, earlier] = [before.at(-1)!, before.at(-2)];
  const near = placeOf(last);
  if (earlier === undefined) return near.at;
  const far = placeOf(earlier);
  const drift = near.at - far.at;
  const [first, second, here] = stepsAlong(axis, [earlier, last, curve]) as [number, number, number];
  const believed = drift ** 2 / (drift ** 2 + near.variance + far.variance || 1);
  const further = (believed * drift * (here - second)) / (second - first);
  return near.at + Math.max(-FARTHEST, Math.min(FARTHEST, further));
}
