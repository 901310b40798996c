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

  /** Probability of at most exp(log), and the density there; of a part that is zero for certain there is none. */
  #at(log: number): { below: number; density: number } {
    let [below, density] = [0, 0];
    for (const { weight, mean_log, sd_log } of this.#parts) {
      if (sd_log > 0) {
        const z = (log - mean_log) / sd_log;
        below += weight * standardCdf(z);
        density += (weight / sd_log) * Math.exp(-0.5 * z * z);
      } else if (log >= mean_log) below += weight;
    }
    return { below: below / this.#total, density: density / this.#total / Math.sqrt(2 * Math.PI) };
  }

  /** By Newton's steps, by halves where they leave what is left of the range; zero where more than p lies at (next to) zero. */
  quantile(p: number): number {
    let [low, high] = LOG_RANGE;
    if (this.#at(low).below >= p) return 0;
    let log = (low + high) / 2;
    while (high - low > PRECISION) {
      const { below, density } = this.#at(log);
      if (below < p) low = log;
      else high = log;
      const newton = log - (below - p) / density;
      const next = newton > low && newton < high ? newton : (low + high) / 2;
      if (Math.abs(next - log) < PRECISION) return Math.exp(next);
      log = next;
    }
    return Math.exp(log);
  }
}

/** From a millionth of a per cent to a hundredfold loss. */
const LOG_RANGE: [number, number] = [Math.log(1e-8), Math.log(100)];
const PRECISION = 1e-7;
