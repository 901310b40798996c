/**
 * Learning-rate curves with a known optimum on which nothing of the estimator was chosen: what its promise is judged by. Their
 * shapes are not those of synthetic-curves.ts, and their noise breaks the rules that the fit assumes: it is shared, quiet, heavy
 * in the tails, grows with the rate, or ends in divergence. Excess loss is relative to the best loss, u is octaves from the optimum.
 */
import type { CurveInput } from "../orchestrator/analysis/types.ts";
import { gridOf, type Random } from "./synthetic-curves.ts";

export type Family = {
  name: string;
  /** 7 rates, an octave apart, 3 seeds, 0.5% unless said. */
  rates?: number;
  spacing?: number;
  seeds?: number;
  /** Standard deviation of one run within its seed, relative. */
  noise?: number;
  /** Excess loss over u of one curve of the family. @param random what the curve's parameters are drawn from */
  shape: (random: Random) => (u: number) => number;
  /** Where the optimum lies; in the middle half of the grid unless said. */
  optimum?: (random: Random, grid: readonly number[]) => number;
  /** What all seeds share at a rate, relative. */
  shared?: number;
  /** Factor of the noise at u. */
  growth?: (u: number) => number;
  /** One draw of noise with standard deviation 1; normal unless said. */
  draw?: (random: Random) => number;
  /** Probability that a run at u diverges. */
  diverges?: (u: number) => number;
  /** The sweep's file states the noise. */
  stated?: boolean;
};

const logUniform = (random: Random, low: number, high: number): number =>
  Math.exp(random.uniform(Math.log(low), Math.log(high)));

/** Two half parabolas, the right one r times as steep; their geometric mean is 0.4 to 2% per octave². */
const parabolas =
  (r: number) =>
  (random: Random): ((u: number) => number) => {
    const c = logUniform(random, 0.004, 0.02);
    return (u) => c * u * u * (u < 0 ? 1 / Math.sqrt(r) : Math.sqrt(r));
  };

/** Curvature and lean at one octave as 195 published curves of 0.2 to 1B language models have them (docs/method.md). */
const likeReal = (random: Random): ((u: number) => number) => {
  const c = Math.exp(Math.log(0.0047) + 0.48 * random.normal());
  const r = Math.exp(Math.log(1.21) + 0.39 * random.normal());
  // Sides that bend: powers between 1.6 and 2.4, which need not be alike.
  const [left, right] = [random.uniform(1.6, 2.4), random.uniform(1.6, 2.4)];
  return (u) => (u < 0 ? (c / Math.sqrt(r)) * (-u) ** left : c * Math.sqrt(r) * u ** right);
};

/** Almost level for octaves, then a cliff: the optimum is at its foot. */
const plateauThenCliff = (random: Random): ((u: number) => number) => {
  const slope = random.uniform(0.002, 0.008);
  const cliff = random.uniform(0.01, 0.03);
  return (u) => (u < 0 ? slope * (Math.sqrt(1 + u * u) - 1) : cliff * u * u);
};

/** A second, shallower valley 2 to 3 octaves to a side. */
const twoValleys = (random: Random): ((u: number) => number) => {
  const c = logUniform(random, 0.006, 0.02);
  const away = random.uniform(2, 3) * (random.uniform(0, 1) < 0.5 ? -1 : 1);
  const higher = random.uniform(0.002, 0.015);
  return (u) => {
    const [a, b] = [c * u * u, higher + c * (u - away) ** 2];
    // A soft minimum, zero at the first valley's floor.
    const soft = (x: number, y: number) => -0.002 * Math.log(Math.exp(-x / 0.002) + Math.exp(-y / 0.002));
    return soft(a, b);
  };
};

/** Straight flanks that a soft corner joins: nowhere a parabola but at its floor. */
const vee = (random: Random): ((u: number) => number) => {
  const [left, right] = [random.uniform(0.006, 0.02), random.uniform(0.006, 0.03)];
  const soft = random.uniform(0.4, 1);
  return (u) => {
    const s = u < 0 ? left : right;
    return s * (Math.sqrt(u * u + soft * soft) - soft);
  };
};

/** As if the minimum were a quarter power of a floor: steeper and steeper on both sides. */
const steepening = (random: Random): ((u: number) => number) => {
  const c = logUniform(random, 0.004, 0.015);
  const [left, right] = [random.uniform(0.2, 0.6), random.uniform(0.3, 0.9)];
  return (u) => {
    const k = u < 0 ? left : right;
    return (2 * c * (Math.cosh(k * u) - 1)) / (k * k);
  };
};

/** Rounded at its floor, straight far out: the logarithm of a hyperbolic cosine, its sides unlike. */
const softened = (random: Random): ((u: number) => number) => {
  const c = logUniform(random, 0.005, 0.02);
  const [left, right] = [random.uniform(0.6, 1.4), random.uniform(0.8, 2)];
  return (u) => c * (u < 0 ? left : right) * 2 * Math.log(Math.cosh(u));
};

/** A dip in a level: both sides come to rest 3 to 8% above the floor. */
const dip = (random: Random): ((u: number) => number) => {
  const height = random.uniform(0.03, 0.08);
  const [left, right] = [random.uniform(1, 2), random.uniform(0.8, 1.6)];
  return (u) => height * (1 - Math.exp(-0.5 * (u / (u < 0 ? left : right)) ** 2));
};

/** Chi-square on 3 degrees of freedom under the root: Student's t, scaled to standard deviation 1. */
const heavy = (random: Random): number => {
  const chi = random.normal() ** 2 + random.normal() ** 2 + random.normal() ** 2;
  return random.normal() / Math.sqrt(chi);
};

const usual = parabolas(1.6);

/** By the shape, then by the noise: the rows of the table in docs/method.md. */
export const HELD_OUT: Family[] = [
  ...[1, 2, 0.5, 0.25, 4, 6].map((r) => ({ name: `asym ${r}`, shape: parabolas(r) })),
  { name: "plateau, then a cliff", shape: plateauThenCliff },
  { name: "two valleys", shape: twoValleys },
  { name: "like published curves", shape: likeReal },
  { name: "like published, quiet: 0.15%", shape: likeReal, noise: 0.0015 },
  { name: "vee", shape: vee },
  { name: "steepening sides", shape: steepening },
  { name: "softened vee", shape: softened },
  { name: "a dip in a level", shape: dip },
  { name: "shared at a rate 0.5%", shape: usual, shared: 0.005 },
  { name: "shared at a rate 0.3%", shape: usual, shared: 0.003 },
  { name: "quiet: 3 seeds 0.05%", shape: usual, noise: 0.0005 },
  { name: "quiet: 8 seeds 0.1%", shape: usual, noise: 0.001, seeds: 8 },
  {
    name: "0.3 octave inside the edge",
    shape: usual,
    optimum: (random, grid) => (random.uniform(0, 1) < 0.5 ? grid[0]! + 0.3 : grid.at(-1)! - 0.3),
  },
  {
    name: "a seed may diverge from +1 octave on",
    shape: usual,
    diverges: (u) => (u > 1 ? Math.min(0.9, 0.15 * u) : 0),
  },
  { name: "1 seed, 2% noise", shape: usual, noise: 0.02, seeds: 1 },
  { name: "1 seed, 0.2% noise, stated", shape: usual, noise: 0.002, seeds: 1, stated: true },
  { name: "heavy tails", shape: usual, draw: heavy },
  { name: "noise doubles an octave", shape: usual, growth: (u) => 2 ** Math.max(-1, Math.min(3, u)) },
  { name: "20 rates, 0.35 octave", shape: usual, rates: 20, spacing: 0.35 },
  { name: "4 rates", shape: usual, rates: 4 },
];

export const familyOf = (name: string): Family => HELD_OUT.find((family) => family.name === name)!;

export type Drawn = { curve: CurveInput; optimum: number; excess: (u: number) => number; best_loss: number };

export function drawHeldOut(random: Random, family: Family, options: { optimum?: number } = {}): Drawn {
  const { rates = 7, spacing = 1, seeds = 3, noise = 0.005, shared = 0 } = family;
  const grid = gridOf(rates, spacing);
  const [first, last] = [grid[0]!, grid.at(-1)!];
  const quarter = (last - first) / 4;
  const optimum =
    options.optimum ?? family.optimum?.(random, grid) ?? random.uniform(first + quarter, last - quarter);
  const excess = family.shape(random);
  const best_loss = random.uniform(1.5, 4);
  const levels = Array.from({ length: seeds }, () => 0.01 * random.normal());
  const points = grid.map((log2_tuned) => {
    const u = log2_tuned - optimum;
    const common = shared * random.normal();
    return {
      log2_tuned,
      missing: 0,
      seeds: levels.map((level, seed) => {
        if (random.uniform(0, 1) < (family.diverges?.(u) ?? 0)) return { seed, loss: null, diverged: true };
        const scatter = noise * (family.growth?.(u) ?? 1) * (family.draw ?? ((r) => r.normal()))(random);
        return { seed, loss: best_loss * (1 + excess(u) + level + common + scatter), diverged: false };
      }),
    };
  });
  return { curve: { points }, optimum, excess, best_loss };
}
