/** Distribution functions and their inverses: of a density on a grid, and of a mixture of lognormals. */
import normalCdf from "@stdlib/stats-base-dists-normal-cdf";

export const standardCdf = normalCdf.factory(0, 1);

/** Inverse of the distribution function of a density that is linear between the points of an even grid. */
export function gridQuantile(xs: ArrayLike<number>, density: ArrayLike<number>): (p: number) => number {
  const cdf = new Float64Array(xs.length);
  for (let i = 1; i < xs.length; i++) cdf[i] = cdf[i - 1]! + (density[i - 1]! + density[i]!) / 2;
  const total = cdf.at(-1)!;
  return (p) => {
    const sought = p * total;
    let i = 1;
    while (i < xs.length - 1 && cdf[i]! < sought) i++;
    const mass = cdf[i]! - cdf[i - 1]!;
    const t = mass > 0 ? Math.min(1, Math.max(0, (sought - cdf[i - 1]!) / mass)) : 0.5;
    return xs[i - 1]! + t * (xs[i]! - xs[i - 1]!);
  };
}

/** A positive quantity: lognormal, or zero for certain. */
export type Lognormal = { weight: number; mean_log: number; sd_log: number };

/** Weights need not sum to one. */
export class LognormalMixture {
  readonly #parts: readonly Lognormal[];
  readonly #total: number;
  constructor(parts: readonly Lognormal[]) {
    this.#parts = parts.filter((p) => p.weight > 0);
    this.#total = this.#parts.reduce((sum, p) => sum + p.weight, 0);
  }

  /** Probability of at most exp(log). */
  #below(log: number): number {
    let below = 0;
    for (const { weight, mean_log, sd_log } of this.#parts)
      below += weight * (sd_log > 0 ? standardCdf((log - mean_log) / sd_log) : Number(log >= mean_log));
    return below / this.#total;
  }

  /** By bisection; zero where more than p lies at (next to) zero. */
  quantile(p: number): number {
    let [low, high] = LOG_RANGE;
    if (this.#below(low) >= p) return 0;
    while (high - low > PRECISION) {
      const middle = (low + high) / 2;
      if (this.#below(middle) < p) low = middle;
      else high = middle;
    }
    return Math.exp((low + high) / 2);
  }
}

/** From a millionth of a per cent to a hundredfold loss. */
const LOG_RANGE: [number, number] = [Math.log(1e-8), Math.log(100)];
const PRECISION = 1e-7;
