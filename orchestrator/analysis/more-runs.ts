/**
 * Which runs a grid should have beside its own: learning rates beyond an edge at which the optimum lies (`extend`), and
 * learning rates or seeds where a gap or noise leaves an optimum or a verdict undecided (`refine`). One step at a time: the
 * curves are fitted again before the next.
 */
import { isPassed, lowest, readCurve, unstableAbove } from "./curve.ts";
import { divergesAbove } from "./flags.ts";
import { areTwins, withoutTwins } from "./twins.ts";
import type { CurveInput, Optimum, Verdict } from "./types.ts";

/** A curve with its planned rates, or values of whatever else is tuned (log2 of each is a point), and seeds, both rising. */
export type PlannedCurve = {
  curve: CurveInput;
  optimum: Optimum;
  rates: readonly number[];
  seeds: readonly number[];
};

export type MoreRuns = {
  points: { tuned_value: number; seed: number }[];
  /** For people: begins with "extend: " or "refine: ". */
  reason: string;
};

const octaves = (rate: number): number => Number(Math.log2(rate).toFixed(2));
const between = (rates: readonly number[]): string =>
  `2^${octaves(rates[0]!)} to 2^${octaves(rates.at(-1)!)}`;

const atAllSeeds = ({ seeds }: PlannedCurve, tuned_value: number): MoreRuns["points"] =>
  seeds.map((seed) => ({ tuned_value, seed }));

/**
 * The next learning rate beyond the edge at which the optimum lies, as far from it as its neighbour (one octave when it has
 * none), at every seed; the next lower one where all, or all but two, diverge. Null when the optimum lies at no edge, or when the
 * next rate would be one that diverges.
 */
export function extendCurve(planned: PlannedCurve): MoreRuns | null {
  const { optimum } = planned;
  const rates = withoutTwins(planned.rates);
  const diverges = divergesAbove(optimum);
  const low = optimum.flag === "at low edge" || diverges;
  if ((!low && optimum.flag !== "at high edge") || rates.length === 0) return null;
  const [edge, neighbour] = low ? [rates[0]!, rates[1]] : [rates.at(-1)!, rates.at(-2)];
  const rate = edge * (neighbour === undefined ? (low ? 1 / 2 : 2) : edge / neighbour);
  const stop = optimum.stability_edge;
  if (stop !== null && Math.log2(rate) >= stop && !isPassed(readCurve(planned.curve), stop)) return null;
  const why = diverges
    ? `${optimum.points === 0 ? "all" : `all but ${optimum.points}`} of ${between(rates)} diverge`
    : `optimum at the ${low ? "low" : "high"} edge of ${between(rates)}`;
  return { points: atAllSeeds(planned, rate), reason: `extend: ${why}` };
}

/** No two rates come closer than this, octaves. */
const CLOSEST = 0.25;
/** Rates farther above the best than this do not count in the fit, so more seeds there would be wasted (log loss). */
const NEAR = Math.log(1.1);

/**
 * The next runs for a curve whose optimum a gap or noise hides: a rate halfway between the wall and the rate below it, or another
 * seed near the optimum; of two places that may be it, seeds say which. Null when neither would help: it is bracketed, it lies at an edge, or runs of it are missing.
 */
export function refineCurve(planned: PlannedCurve): MoreRuns | null {
  if (planned.optimum.flag === "too noisy") return anotherSeed(planned, "noise hides the optimum");
  if (planned.optimum.flag === "ambiguous") return anotherSeed(planned, "two places may be the optimum");
  if (planned.optimum.flag !== "edge is divergence") return null;
  const best = planned.optimum.grid_log2_tuned!;
  const curve = readCurve(planned.curve);
  const wall = unstableAbove(curve, best);
  if (wall === undefined) return null;
  const below = curve.stable.findLast((p) => p.log2_tuned < wall)!.log2_tuned;
  const between = halfway(planned, below, wall, "the optimum lies beside a rate that diverges");
  // Of rates between the best and the wall, noise leaves open that they are better.
  return below === best
    ? between
    : (between ?? anotherSeed(planned, "the optimum may lie beside a rate that diverges"));
}

/**
 * The next runs for one bracketed curve of an undecided verdict: another seed where runs diverged amid rates that trained, or when
 * seeds would decide it, else a rate in the widest gap that the optimum may lie in, and another seed when there is none left.
 */
export function refineVerdict(planned: PlannedCurve, verdict: Pick<Verdict, "more_seeds">): MoreRuns | null {
  const { optimum } = planned;
  if (optimum.flag !== "bracketed") return null;
  const again = accidents(planned);
  if (again !== null) return again;
  if (verdict.more_seeds !== null)
    return anotherSeed(planned, `about ${verdict.more_seeds} more would decide the verdict`);
  const rates = readCurve(planned.curve).stable.map((p) => p.log2_tuned);
  const gaps = rates
    .slice(1)
    .map((high, i) => ({ low: rates[i]!, high }))
    .filter(({ low, high }) => high > optimum.log2_tuned_low! && low < optimum.log2_tuned_high!)
    .sort(
      (a, b) =>
        b.high - b.low - (a.high - a.low) ||
        distance(a, optimum.log2_tuned!) - distance(b, optimum.log2_tuned!),
    );
  const why = "the verdict needs points near the optimum";
  for (const { low, high } of gaps) {
    const more = halfway(planned, low, high, why);
    if (more !== null) return more;
  }
  return anotherSeed(planned, "the verdict is undecided");
}

const distance = (gap: { low: number; high: number }, x: number): number =>
  Math.abs((gap.low + gap.high) / 2 - x);

/** At every seed; null when the two are too close for another between them, or there is one that has failed or diverged. */
function halfway(planned: PlannedCurve, low: number, high: number, why: string): MoreRuns | null {
  if (high - low < 2 * CLOSEST) return null;
  const inside = planned.rates.map(Math.log2).some((x) => x > low + CLOSEST / 2 && x < high - CLOSEST / 2);
  if (inside) return null;
  const rateAt = (log2_tuned: number): number =>
    planned.rates.find((rate) => areTwins(rate, 2 ** log2_tuned))!;
  const [a, b] = [rateAt(low), rateAt(high)];
  return {
    points: atAllSeeds(planned, Math.sqrt(a * b)),
    reason: `refine: between ${between([a, b]).replace(" to ", " and ")}, ${why}`,
  };
}

/** Another seed at rates near the best at which most of a few seeds diverged, though higher ones trained. */
function accidents(planned: PlannedCurve): MoreRuns | null {
  const { stable, doubtful } = readCurve(planned.curve);
  const best = lowest(stable)!;
  const near = stable.filter((p) => p.y - best.y <= NEAR).map((p) => p.log2_tuned);
  const within = doubtful.filter((x) => x > near[0]! && x < near.at(-1)!);
  const last = planned.seeds.at(-1);
  if (within.length === 0 || last === undefined) return null;
  return {
    points: withoutTwins(planned.rates)
      .filter((rate) => within.some((x) => areTwins(rate, 2 ** x)))
      .map((tuned_value) => ({ tuned_value, seed: last + 1 })),
    reason: `refine: another seed at ${within.map((x) => `2^${x.toFixed(2)}`).join(", ")}, where runs diverged though higher rates trained`,
  };
}

function anotherSeed(planned: PlannedCurve, why: string): MoreRuns | null {
  const { stable } = readCurve(planned.curve);
  const best = lowest(stable);
  const last = planned.seeds.at(-1);
  if (best === undefined || last === undefined) return null;
  const near = stable.filter((p) => p.y - best.y <= NEAR).map((p) => 2 ** p.log2_tuned);
  return {
    points: withoutTwins(planned.rates)
      .filter((rate) => near.some((n) => areTwins(rate, n)))
      .map((tuned_value) => ({ tuned_value, seed: last + 1 })),
    reason: `refine: another seed, ${why}`,
  };
}
