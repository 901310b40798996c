/**
 * A curve with two valleys: a hump between two low points that noise does not explain. Where the second valley may be the
 * deeper one, a curve has no single place for its optimum; where it is surely not, it only misleads the fit.
 */
import normalQuantile from "@stdlib/stats-base-dists-normal-quantile";
import { type Curve, lowest, type StablePoint } from "./curve.ts";
import { standardCdf } from "./distribution.ts";

/** Standard errors by which the hump must rise above both valleys, of as many pairs of points as twenty rates have; of more pairs some lie farther apart. */
const HUMP = 3;
const HUMP_PAIRS = 190;
/** Standard errors within which the second valley may be as deep as the first. */
const RIVAL = 2;
/** What the seeds of a rate may share (log loss), beside the noise of runs. */
const SHARED = 0.002;

export type TwoValleys = {
  /** log2 η of the hump's top, and the points of either valley, the hump's top among both; the lower point's valley first. */
  hump: number;
  points: [StablePoint[], StablePoint[]];
  /** Whether the second may be the deeper one. */
  rival: boolean;
};

/** @param run_variance of one run's log loss within its seed */
export function twoValleys({ stable }: Pick<Curve, "stable">, run_variance: number): TwoValleys | null {
  const best = lowest(stable);
  if (best === undefined) return null;
  const error = (a: StablePoint, b: StablePoint) =>
    Math.sqrt(run_variance / a.n + run_variance / b.n + 2 * SHARED * SHARED);
  const rise = riseOf(stable.length);
  const at = stable.indexOf(best);
  const outward = [stable.slice(0, at).reverse(), stable.slice(at + 1)];
  let found: { hump: StablePoint; second: StablePoint; left: boolean } | null = null;
  for (const [side, points] of outward.entries()) {
    let hump = best;
    for (const p of points) {
      if (p.y > hump.y) hump = p;
      else if (
        hump.y - p.y > rise * error(hump, p) &&
        hump.y - best.y > rise * error(hump, best) &&
        (found === null || p.y < found.second.y)
      )
        found = { hump, second: p, left: side === 0 };
    }
  }
  if (found === null) return null;
  const { hump, second, left } = found;
  const top = stable.indexOf(hump);
  const halves: [StablePoint[], StablePoint[]] = [stable.slice(top), stable.slice(0, top + 1)];
  const points: [StablePoint[], StablePoint[]] = left ? halves : [halves[1], halves[0]];
  // Where seeds diverge at all of its rates, none is the best one.
  const isOpen = points[1].some((p) => !p.shaky && p !== hump);
  return {
    hump: hump.log2_tuned,
    points,
    rival:
      isOpen &&
      second.y - hiddenDepth(stable, stable.indexOf(second), hump) - best.y < RIVAL * error(second, best),
  };
}

/** As unlikely among all pairs as HUMP is among fewer. */
function riseOf(points: number): number {
  const pairs = (points * (points - 1)) / 2;
  return pairs <= HUMP_PAIRS
    ? HUMP
    : normalQuantile(1 - ((1 - standardCdf(HUMP)) * HUMP_PAIRS) / pairs, 0, 1);
}

/** How far below its lowest point a valley may reach between the rates: a parabola's, half way to the next point. */
function hiddenDepth(stable: StablePoint[], i: number, hump: StablePoint): number {
  const [before, here, after] = [stable[i - 1], stable[i]!, stable[i + 1]];
  if (before === undefined || after === undefined) return (hump.y - here.y) / 4;
  return Math.max(0, before.y + after.y - 2 * here.y) / 8;
}
