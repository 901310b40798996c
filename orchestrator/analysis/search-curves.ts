/** The curves of a search (search.ts): what is known of each, where its runs start, and what brackets it. */
import { likelyExcess } from "./choose-runs.ts";
import { type Curve, lowest, readCurve, type StablePoint } from "./curve.ts";
import { type Axis, type CurveCoordinates, type Placed, valueAlong } from "./groups.ts";
import { pooledNoise, type Residual, residualOf, toldNoise } from "./noise.ts";
import { fitCurve, fitValley } from "./optimum.ts";
import type { Posterior } from "./posterior.ts";
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
 * wall: the next rate up diverges, with room between. located: there are worse rates on both sides. stuck: nothing can be added
 * that would bracket it.
 */
type Standing =
  | "new"
  | "low"
  | "high"
  | "both"
  | "below"
  | "near wall"
  | "located"
  | "at wall"
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
    return { ...curve, read: own };
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
        { ...curve, pooled, optimum, posterior, standing: standingOf(curve, curve.read, optimum, posterior) },
      ];
    }),
  );
}

function standingOf(
  { planned }: SearchedCurve,
  { stable, diverged, walls }: Curve,
  { flag }: Optimum,
  p: Posterior | null,
): Standing {
  if (planned.length === 0) return "new";
  if (flag === "incomplete") return "without results";
  const best = lowest(stable);
  if (best === undefined) return diverged.length > 0 ? "below" : "without results";
  const isFirst = best === stable[0];
  const wall = walls.find((x) => x > best.log2_tuned);
  const wide = (edge: StablePoint) => p === null || likelyExcess(p, edge.log2_tuned) < HIGH_ENOUGH;
  if (best !== stable.at(-1)) {
    if (isFirst || (flag === "at low edge" && wide(stable[0]!))) return "low";
    return flag === "at high edge" && wide(stable.at(-1)!) ? "high" : "located";
  }
  if (wall === undefined) return isFirst ? "both" : "high";
  if (wall - best.log2_tuned >= 2 * CLOSEST) return "near wall";
  return isFirst ? "low" : "at wall";
}

export const isLocated = ({ standing }: Known): boolean => standing === "located" || standing === "at wall";

/** To half-octave steps from the middle of the file's rates, so that the same rates are met again. */
const onLattice = ({ middle }: SearchedCurve, log2_tuned: number): number =>
  middle + Math.round((log2_tuned - middle) / APART) * APART;

const triedRates = ({ planned }: SearchedCurve): number[] => [
  ...new Set(planned.map((spot) => spot.log2_tuned)),
];
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
  const { standing, read, first_seed: seed } = curve;
  const rates = triedRates(curve).sort((a, b) => a - b);
  const spots = (...at: number[]): Spot[] => at.map((log2_tuned) => ({ log2_tuned, seed }));
  const [first, last] = [rates[0]!, rates.at(-1)!];
  switch (standing) {
    case "low":
      return { spots: spots(first - EXTENSION), why: "the optimum may lie below the rates tried" };
    case "high":
      return { spots: spots(last + EXTENSION), why: "the optimum may lie above the rates tried" };
    case "both":
      return { spots: spots(first - EXTENSION, last + EXTENSION), why: "one rate brackets nothing" };
    case "below":
      return { spots: spots(first - SIDE), why: "all rates tried diverge" };
    case "near wall": {
      const best = lowest(read.stable)!.log2_tuned;
      const wall = read.walls.find((x) => x > best)!;
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
