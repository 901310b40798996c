/**
 * How far the mean of a rate's runs may lie from the curve that all seeds would draw: the noise of runs, which more seeds
 * average out, and what all seeds of a rate share, which they do not. All of it is relative (log loss).
 */
import type { StablePoint } from "./curve.ts";
import type { Noise } from "./types.ts";

/** One run's scatter within its seed: 0.4%, give or take a factor 3.3. What replicates say overrules it. */
const NOISE_PRIOR = { median: 0.004, sd: 1.2 };
const NOISE_RANGE = { low: 1.5e-4, high: 0.06 };
/** It reaches at least so many times what replicates, other curves or the file say. */
const ABOVE_SAID = 2.5;
/** What the seeds of a rate share: 0.12%, give or take a factor 4.5. Only the curve's own roughness tells. */
const SHARED_PRIOR = { median: 0.0012, sd: 1.5 };
/** Noise grows with the rate: ln of the factor per octave above the best rate, a third of it per octave below. */
const GROWTH_PRIOR = { mean: 0.2, sd: 0.35 };
const GROWTH_RANGE = { low: -0.6, high: 1.8, step: 0.05 };
/** Beyond so many octaves it grows no more. */
const GROWTH_REACH = 2;

/** One value that the variance at the best rate may have, given as many seeds as that has. */
type NoiseNode = {
  variance: number;
  /** The part of it that seeds average out. */
  own: number;
  log_prior: number;
};

export type PointNoise = {
  nodes: NoiseNode[];
  /** For every point, the variance of one run there over that of one at the best rate. */
  growth: number[];
};

/** @param others what other curves say about the noise of one run near its best rate */
export function pointNoise(points: StablePoint[], best: StablePoint, others: Noise | undefined): PointNoise {
  const growth = growthOf(points, best);
  const { ss, df } = saidNoise(
    points.map((p, k) => ({ ss: p.ss / growth[k]!, df: p.df })),
    others,
  );
  return { nodes: nodesOf(ss, df, best.n), growth };
}

/** What replicates and others say of the noise of one run: a sum of squares of log losses, and its degrees of freedom. */
export const saidNoise = (
  points: readonly Pick<StablePoint, "ss" | "df">[],
  others: Noise | undefined,
): { ss: number; df: number } => ({
  ss: points.reduce((sum, p) => sum + p.ss, (others?.df ?? 0) * (others?.sd ?? 0) ** 2),
  df: points.reduce((sum, p) => sum + p.df, others?.df ?? 0),
});

/** The likeliest growth given the scatter at every rate; without replicates the prior's. */
function growthOf(points: StablePoint[], best: StablePoint): number[] {
  const ramps = points.map((p) => {
    const u = p.log2_tuned - best.log2_tuned;
    return u > 0 ? Math.min(u, GROWTH_REACH) : Math.max(u, -GROWTH_REACH) / 3;
  });
  const variances = (rate: number) => ramps.map((ramp) => Math.exp(2 * rate * ramp));
  const df = points.reduce((sum, p) => sum + p.df, 0);
  if (!(points.reduce((sum, p) => sum + p.ss, 0) > 0 && df > 0)) return variances(GROWTH_PRIOR.mean);
  const leaning = points.reduce((sum, p, k) => sum + p.df * ramps[k]!, 0);
  let best_rate = GROWTH_PRIOR.mean;
  let highest = Number.NEGATIVE_INFINITY;
  for (let rate = GROWTH_RANGE.low; rate <= GROWTH_RANGE.high; rate += GROWTH_RANGE.step) {
    const ss = points.reduce((sum, p, k) => sum + p.ss * Math.exp(-2 * rate * ramps[k]!), 0);
    const z = (rate - GROWTH_PRIOR.mean) / GROWTH_PRIOR.sd;
    const log_posterior = -leaning * rate - 0.5 * df * Math.log(ss / df) - 0.5 * z * z;
    if (log_posterior > highest) [highest, best_rate] = [log_posterior, rate];
  }
  return variances(best_rate);
}

const RUN_NODES = 16;
const SHARED_NODES = 14;
const POINT_NODES = 7;
/** Standard deviations of ln that the shared part's nodes span, to each side. */
const SHARED_SPAN = 2.6;

/** Both parts have their nodes; the variances they add up to are gathered into a few. */
function nodesOf(ss: number, df: number, n: number): NoiseNode[] {
  const runs = runNodes(ss, df);
  const sums: { ln: number; own: number; weight: number }[] = [];
  for (let j = 0; j < SHARED_NODES; j++) {
    const z = SHARED_SPAN * ((2 * j + 1) / SHARED_NODES - 1);
    const shared = (SHARED_PRIOR.median * Math.exp(SHARED_PRIOR.sd * z)) ** 2;
    for (const { variance, weight } of runs) {
      const total = variance / n + shared;
      sums.push({ ln: Math.log(total), own: variance / n / total, weight: weight * Math.exp(-0.5 * z * z) });
    }
  }
  return gather(sums);
}

/** Over ln σ of one run, where its likelihood (chi-square on df) and prior are not negligible. */
function runNodes(ss: number, df: number): { variance: number; weight: number }[] {
  let low = Math.log(NOISE_RANGE.low);
  let high = Math.log(NOISE_RANGE.high);
  if (df > 0) {
    const said = 0.5 * Math.log(Math.max(ss / df, Number.MIN_VALUE));
    high = Math.max(high, said + Math.log(ABOVE_SAID));
    const centre = Math.max(low, said);
    const sd = 1 / Math.sqrt(2 * df);
    // Few replicates can hide a large σ more easily than a small one.
    [low, high] = [Math.max(low, centre - 3.5 * sd), Math.min(high, centre + 5 * sd)];
  }
  const nodes = Array.from({ length: RUN_NODES }, (_, i) => {
    const ln = low + ((high - low) * (i + 0.5)) / RUN_NODES;
    const variance = Math.exp(2 * ln);
    const z = (ln - Math.log(NOISE_PRIOR.median)) / NOISE_PRIOR.sd;
    return { variance, log: -df * ln - ss / (2 * variance) - 0.5 * z * z };
  });
  const peak = Math.max(...nodes.map(({ log }) => log));
  return nodes.map(({ variance, log }) => ({ variance, weight: Math.exp(log - peak) }));
}

/** Into nodes of equal width in ln variance, between quantiles far out. */
function gather(sums: { ln: number; own: number; weight: number }[]): NoiseNode[] {
  const total = sums.reduce((sum, s) => sum + s.weight, 0);
  sums.sort((a, b) => a.ln - b.ln);
  const lnAt = (p: number): number => {
    let below = 0;
    for (const { ln, weight } of sums) {
      below += weight;
      if (below > p * total) return ln;
    }
    return sums.at(-1)!.ln;
  };
  const low = lnAt(1e-3);
  const width = Math.max(lnAt(1 - 1e-4) - low, 0.05) / POINT_NODES;
  const nodes = Array.from({ length: POINT_NODES }, () => ({ weight: 0, own: 0 }));
  for (const { ln, own, weight } of sums) {
    const node = nodes[Math.min(POINT_NODES - 1, Math.max(0, Math.floor((ln - low) / width)))]!;
    node.weight += weight;
    node.own += weight * own;
  }
  return nodes.flatMap(({ weight, own }, i) =>
    weight > 1e-9 * total
      ? [
          {
            variance: Math.exp(low + (i + 0.5) * width),
            own: own / weight,
            log_prior: Math.log(weight / total),
          },
        ]
      : [],
  );
}
