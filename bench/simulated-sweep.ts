/**
 * A sweep of four widths whose runs are simulated, for measuring what a search saves beside a grid, and how often either is
 * wrong: curves of one family (held-out-curves.ts), each with a shape of its own, optima a known way apart.
 */
import { createHash } from "node:crypto";
import type { Truth } from "../orchestrator/analysis/replay.ts";
import type { SearchedCurve, Spot } from "../orchestrator/analysis/search-curves.ts";
import type { Family } from "./held-out-curves.ts";
import { type Random, seededRandom } from "./synthetic-curves.ts";

const WIDTHS = [128, 256, 512, 1024];
/** Of one run: as the square of the width. */
const COSTS = [1, 4, 16, 64];

/** How far the optima lie from the base's. */
const TRUTHS = {
  "no drift": (random) => [0, ...[1, 2, 3].map(() => 0.1 * random.normal())],
  "0.5 octave in one": (random) => {
    const one = Math.floor(random.uniform(1, 4));
    const side = random.uniform(0, 1) < 0.5 ? -1 : 1;
    return [0, 1, 2, 3].map((k) => (k === one ? 0.5 * side : 0));
  },
  "0.7 octave a step": (random) => {
    const side = random.uniform(0, 1) < 0.5 ? -1 : 1;
    return [0, 1, 2, 3].map((k) => 0.7 * k * side);
  },
  "5 octaves in all": () => [0, 1, 2, 3].map((k) => (-5 / 3) * k),
} satisfies Record<string, (random: Random) => number[]>;
export type TruthName = keyof typeof TRUTHS | "1.05% in one";

export type SimulatedSweep = {
  curves: SearchedCurve[];
  /** Of the grid that a search replaces: 7 rates an octave apart, 3 seeds. */
  grid: Spot[][];
  truth: Truth;
};

export function simulateSweep(family: Family, truth: TruthName, seed: number): SimulatedSweep {
  /** By a hash: the first numbers of neighbouring seeds would be alike. */
  const randomOf = (what: string): Random =>
    seededRandom(createHash("sha1").update(what).digest().readInt32LE());
  const random = randomOf(`${seed}`);
  const shapes = WIDTHS.map(() => family.shape(random));
  const base = random.uniform(-5.5, -4.5);
  const middle = Math.round(2 * (base + 0.7 * random.normal())) / 2;
  const drifts = truth === "1.05% in one" ? driftsAtCost(random, shapes, 0.0105) : TRUTHS[truth](random);
  const best = WIDTHS.map((_, k) => 3 - 0.2 * k);
  const { noise = 0.005, shared = 0 } = family;
  const excess = (cell: number, x: number): number => shapes[cell]!(x - base - drifts[cell]!);
  /** The same run has the same result, whoever asks. */
  const drawAt = (cell: number, x: number, runSeed: number): Random =>
    randomOf(`${seed} ${cell} ${x} ${runSeed}`);
  const loss = (cell: number, { log2_tuned: x, seed: s }: Spot): number | null => {
    const own = drawAt(cell, x, s);
    const u = x - base - drifts[cell]!;
    if (own.uniform(0, 1) < (family.diverges?.(u) ?? 0)) return null;
    const level = 0.005 * drawAt(cell, 1000, s).normal();
    const common = shared * drawAt(cell, x, 1000).normal();
    const scatter = noise * (family.growth?.(u) ?? 1) * (family.draw ?? ((r) => r.normal()))(own);
    return best[cell]! * (1 + excess(cell, x) + level + common + scatter);
  };
  return {
    curves: WIDTHS.map((width, cell) => ({
      curve: String(cell),
      coordinates: { parameterization: "supar", width, layers: 2, sparsity: 0 },
      input: { points: [] },
      planned: [],
      middle,
      first_seed: 1,
      cost: COSTS[cell]!,
    })),
    grid: WIDTHS.map(() =>
      [1, 2, 3].flatMap((s) => [-3, -2, -1, 0, 1, 2, 3].map((u) => ({ log2_tuned: middle + u, seed: s }))),
    ),
    truth: { loss, excess, optimum: (cell) => base + drifts[cell]! },
  };
}

/** One cell in which the base's rate costs so much, from either side. */
function driftsAtCost(random: Random, shapes: readonly ((u: number) => number)[], cost: number): number[] {
  const one = Math.floor(random.uniform(1, 4));
  const side = random.uniform(0, 1) < 0.5 ? -1 : 1;
  let u = 0;
  while (shapes[one]!(-side * u) < cost && u < 4) u += 0.005;
  return shapes.map((_, k) => (k === one ? side * u : 0));
}
