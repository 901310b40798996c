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
  /** What has been asked already, by rising logarithm: the next quantile is looked for between two of them. */
  readonly #known: Place[];
  constructor(parts: readonly Lognormal[]) {
    this.#parts = parts.filter((p) => p.weight > 0);
    this.#total = this.#parts.reduce((sum, p) => sum + p.weight, 0);
    this.#known = LOG_RANGE.map((log) => this.#at(log));
  }

  /** Probability of at most exp(log), and the density there; of a part that is zero for certain there is none. */
  #at(log: number): Place {
    let [below, density] = [0, 0];
    for (const { weight, mean_log, sd_log } of this.#parts) {
      const z = sd_log > 0 ? (log - mean_log) / sd_log : log >= mean_log ? FAR : -FAR;
      if (z >= FAR) below += weight;
      else if (z > -FAR) {
        below += weight * standardCdf(z);
        density += (weight / sd_log) * Math.exp(-0.5 * z * z);
      }
    }
    return { log, below: below / this.#total, density: density / this.#total / Math.sqrt(2 * Math.PI) };
  }

  /** By Newton's steps, by halves where they leave what is left of the range; zero where more than p lies at (next to) zero. */
  quantile(p: number): number {
    const above = this.#known.findIndex(({ below }) => below >= p);
    if (above === 0) return 0;
    let low = this.#known.at(above === -1 ? -2 : above - 1)!.log;
    let high = this.#known.at(above)!.log;
    let log = (low + high) / 2;
    while (high - low > PRECISION) {
      const place = this.#at(log);
      this.#keep(place);
      if (place.below < p) low = log;
      else high = log;
      const newton = log - (place.below - p) / place.density;
      const next = newton > low && newton < high ? newton : (low + high) / 2;
      if (Math.abs(next - log) < PRECISION) return Math.exp(next);
      log = next;
    }
    return Math.exp(log);
  }

  #keep(place: Place): void {
    const after = this.#known.findIndex(({ log }) => log > place.log);
    this.#known.splice(after, 0, place);
  }
}

type Place = { log: number; below: number; density: number };

/** Standard deviations beyond which a part counts as all below or all above: what is left out is 2e-12 of it. */
const FAR = 7;
/** From a millionth of a per cent to a hundredfold loss. */
const LOG_RANGE: [number, number] = [Math.log(1e-8), Math.log(100)];
const PRECISION = 1e-7;
