/** From the posterior of an optimum to what is said about its place: intervals, and two places where the curve can be read in two ways. */
import { CANDIDATES } from "./candidates.ts";
import { gridQuantile } from "./distribution.ts";
import type { Posterior } from "./posterior.ts";
import type { Place } from "./types.ts";

export type Intervals = {
  log2_tuned_low: number;
  log2_tuned_high: number;
  log2_tuned_low_90: number;
  log2_tuned_high_90: number;
};

/**
 * Intervals have to hold for curves that lean as few do. Where the curve shows that it is not one of those, they hold too
 * often, so this much more is cut from each tail: in full where it is all but certain. Found on the families that the
 * constants were chosen on (docs/method.md).
 */
const EXTRA_TAIL = { shown: 0.05, hidden: 0.075, from: 0.8, to: 0.97 };

/** @param fit the probability that the shape holds no surprise, and how far it shows: where it does not, its prior widens the most */
export function extraTail({ usual, shown }: { usual: number; shown: number }): number {
  const { from, to } = EXTRA_TAIL;
  const most = EXTRA_TAIL.hidden + (EXTRA_TAIL.shown - EXTRA_TAIL.hidden) * shown;
  return most * Math.min(1, Math.max(0, (usual - from) / (to - from)));
}

/** ln of how much steeper one side is from which on a curve is a plateau with a cliff. */
const CLIFF = 1.3;
/** An interval holds the foot of a cliff: from half of where it may lie, as a cliff becomes possible, to 95%. */
const FOOT = { from: 0.1, to: 0.15, least: 0.5, most: 0.95 };

export function intervals(p: Posterior): Intervals {
  const { quantile } = p;
  const extra = extraTail(p);
  // Few points show a plateau and its cliff nearly as a valley, whose weight would hide the cliff's foot.
  const foot = (side: 1 | -1): number => {
    const cliff = weigh(p, (lean) => side * lean > CLIFF);
    if (cliff.share < FOOT.from) return -side * Number.POSITIVE_INFINITY;
    const possible = Math.min(1, (cliff.share - FOOT.from) / (FOOT.to - FOOT.from));
    const held = FOOT.least + (FOOT.most - FOOT.least) * possible;
    return cliff.quantile(side === 1 ? held : 1 - held);
  };
  const [left, right] = [foot(-1), foot(1)];
  return {
    log2_tuned_low: Math.min(left, quantile(0.025 + extra)),
    log2_tuned_high: Math.max(right, quantile(0.975 - extra)),
    log2_tuned_low_90: Math.min(left, quantile(0.05 + extra)),
    log2_tuned_high_90: Math.max(right, quantile(0.95 - extra)),
  };
}

/** Both readings are at least this likely, and together they leave at least so many octaves open. */
const LIKELY = 0.3;
const WIDE = 1.2;
/** Standard error of a point (log loss) above which noise hides the place, whatever the shape. */
const QUIET = 0.006;

/**
 * Is a curve that is flat over octaves and then climbs fast a wide valley, whose optimum lies amid the flat part, or a
 * plateau with a cliff, whose optimum lies at the cliff's foot? Where both are likely and it matters, both places are said.
 * @param seeds behind the best point
 * @returns two places, or none
 */
export function readings(p: Posterior, seeds: number): Place[] {
  const { log2_tuned_low, log2_tuned_high } = intervals(p);
  const error = Math.sqrt(p.noise.run / seeds + p.noise.shared);
  if (error > QUIET || log2_tuned_high - log2_tuned_low < WIDE) return [];
  const valley = weigh(p, (lean) => Math.abs(lean) <= CLIFF);
  for (const side of [1, -1]) {
    const cliff = weigh(p, (lean) => side * lean > CLIFF);
    if (valley.share >= LIKELY && cliff.share >= LIKELY) return [valley, cliff].map(placeOf);
  }
  return [];
}

/** The part of the distribution that belongs to some shapes. */
function weigh(
  { xs, shapes, weights }: Posterior,
  belongs: (lean: number) => boolean,
): { share: number; quantile: (p: number) => number } {
  const chosen = shapes.map((v) => belongs(CANDIDATES[v]!.lean));
  const density = xs.map((_, i) =>
    chosen.reduce((sum, yes, j) => (yes ? sum + weights[i * shapes.length + j]! : sum), 0),
  );
  const total = weights.reduce((sum, w) => sum + w, 0);
  return {
    share: density.reduce((sum, w) => sum + w, 0) / total,
    quantile: (q) => gridQuantile(xs, density)(q),
  };
}

const placeOf = ({ quantile }: ReturnType<typeof weigh>): Place => ({
  log2_tuned: quantile(0.5),
  low: quantile(0.025),
  high: quantile(0.975),
});
