/**
 * What a search would have said and cost, beside the whole grid: replayed on the curves that the database has results of, else on
 * synthetic ones that are shaped as published learning-rate curves are. Noise is drawn by hash: the same file says the same.
 */
import { hash } from "node:crypto";
import normalQuantile from "@stdlib/stats-base-dists-normal-quantile";
import type { Phase } from "../../schema/sweep/sweep.ts";
import { type Curve, lowest, readCurve } from "../analysis/curve.ts";
import { axesOf, groupsAlong } from "../analysis/groups.ts";
import { monotoneCubic } from "../analysis/interpolate.ts";
import { pooledNoise, residualOf } from "../analysis/noise.ts";
import { type Replayed, replayGrid, replaySearch, type Truth } from "../analysis/replay.ts";
import type { SearchedCurve, Spot } from "../analysis/search-curves.ts";
import type { CurveInput } from "../analysis/types.ts";
import { questionOf } from "../analysis/verdict.ts";
import type { Database } from "../database/open.ts";
import { runResult } from "../database/runs.ts";
import type { Expansion, GridCurve } from "../sweep/expand-sweep.ts";
import { batchOf, earlierPoints, emptyCurves, limitsOf, searchCosts } from "./searched-runs.ts";

export interface Simulation {
  phase: string;
  /** Results of the database, or a synthetic family and how its optima lie. */
  curves: string;
  draws: number;
  /** Of the questions that the grid decides, the share that the search says the same of; null: it decides none. */
  same: number | null;
  /** Shares of all verdicts; null: a curve that stands alone has none. */
  decided: { grid: number | null; search: number | null };
  wrong: { grid: number | null; search: number | null };
  /** Mean over the draws. */
  runs: { grid: number; search: number };
  /** Of the grid's FLOPs. */
  share: number;
}

/** A rate of a curve needs so many others with results for the curve to be replayed. */
const FEWEST_RATES = 5;
/** As many as many machines have. */
const SLOTS = 4;
/** Of one run where nothing is known, relative. */
const NOISE = 0.005;
/** Of a seed at all rates, in multiples of a run's. */
const SEED_LEVEL = 1;
/** How far optima move from one curve to the next, octaves, where they do. */
const DRIFT = 1.5;

export function simulateSearches(
  db: Database,
  phases: readonly { phase: Phase; expansion: Expansion }[],
  draws: number,
): Simulation[] {
  return phases.flatMap(({ phase, expansion }) => {
    if (phase.search === undefined) return [];
    const grid = expansion.curves();
    const costs = searchCosts(phase, expansion, grid);
    const curves = emptyCurves(grid, costs);
    const stored = storedCurves(db, expansion, grid);
    const run = (name: string, truthOf: (draw: number) => Truth): Simulation => {
      const pairs = Array.from({ length: draws }, (_, draw) =>
        pairOf(phase, curves, grid, truthOf(draw), costs.grid),
      );
      return { phase: phase.name, curves: name, draws, ...summary(pairs, costs.grid) };
    };
    if (stored !== null) return [run("results of this database", (draw) => storedTruth(stored, draw, phase))];
    return [
      run("like published ones, optima alike", (draw) => syntheticTruth(curves, draw, 0, phase)),
      run(`like published ones, optima ${DRIFT} octaves apart`, (draw) =>
        syntheticTruth(curves, draw, DRIFT, phase),
      ),
    ];
  });
}

interface Pair {
  grid: Omit<Replayed, "looks" | "stopped">;
  search: Replayed;
}

function pairOf(
  phase: Phase,
  curves: readonly SearchedCurve[],
  grid: readonly GridCurve[],
  truth: Truth,
  cost: number,
): Pair {
  const question = { ...questionOf(phase), stated_noise: phase.noise };
  const spots = grid.map(({ tuned_values, seeds }): Spot[] =>
    seeds.flatMap((seed) => tuned_values.map((value) => ({ log2_tuned: Math.log2(value), seed }))),
  );
  const budget = limitsOf(phase.search!.budget, { runs: 0, cost: 0 }, cost);
  return {
    grid: replayGrid(curves, spots, truth, question),
    search: replaySearch(curves, truth, question, { ...batchOf(phase.search!, SLOTS), ...budget }),
  };
}

function summary(pairs: readonly Pair[], cost: number): Omit<Simulation, "phase" | "curves" | "draws"> {
  const both = pairs.flatMap(({ grid, search }) =>
    grid.said.map((g, i) => ({ grid: g, search: search.said[i]! })),
  );
  const share = (is: (pair: (typeof both)[number]) => boolean, among = both): number | null =>
    among.length === 0 ? null : among.filter(is).length / among.length;
  const decided = both.filter(({ grid }) => grid.verdict !== "inconclusive");
  const mean = (of: (pair: Pair) => number): number =>
    pairs.reduce((sum, pair) => sum + of(pair), 0) / pairs.length;
  return {
    same: share(({ grid, search }) => alike(grid.verdict) === alike(search.verdict), decided),
    decided: {
      grid: share(({ grid }) => grid.verdict !== "inconclusive"),
      search: share(({ search }) => search.verdict !== "inconclusive"),
    },
    wrong: { grid: share(({ grid }) => grid.wrong), search: share(({ search }) => search.wrong) },
    runs: { grid: mean(({ grid }) => grid.runs), search: mean(({ search }) => search.runs) },
    share: mean(({ search }) => search.cost) / cost,
  };
}

/** A drift and a cost both say that it does not transfer. */
const alike = (verdict: string): string => (verdict === "costs" ? "drifts" : verdict);

/** Uniform in (0, 1), of nothing but its arguments. */
function uniform(...what: (string | number)[]): number {
  const digest = hash("sha256", `musweep simulated search\n${what.join("\n")}`, "hex");
  return (Number.parseInt(digest.slice(0, 12), 16) + 0.5) / 2 ** 48;
}
const normal = (...what: (string | number)[]): number => normalQuantile(uniform(...what), 0, 1);

/** A run's noise and its seed's level, relative. */
const noiseAt = (draw: number, curve: number, { log2_tuned, seed }: Spot, sd: number): number =>
  sd * (normal("run", draw, curve, log2_tuned, seed) + SEED_LEVEL * normal("seed", draw, curve, seed));

/** Every curve's results, of whichever sweep; null where some have too few. */
function storedCurves(db: Database, expansion: Expansion, grid: readonly GridCurve[]): Curve[] | null {
  const inputs = new Map(grid.map(({ curve }) => [curve, new Map<number, CurveInput["points"][number]>()]));
  for (const { curve, tuned_value, coordinates, run } of expansion.extraCells(earlierPoints(grid))) {
    const result = runResult(db, run);
    if (result === undefined) continue;
    const points = inputs.get(curve)!;
    const point = points.get(tuned_value) ?? { log2_tuned: Math.log2(tuned_value), seeds: [], missing: 0 };
    point.seeds.push({ seed: coordinates.seed, ...result });
    points.set(tuned_value, point);
  }
  const curves = grid.map(({ curve }) => readCurve({ points: [...inputs.get(curve)!.values()] }));
  return curves.every(({ stable }) => stable.length >= FEWEST_RATES) ? curves : null;
}

/** Their means as they are, between them a cubic, beyond them the last slope; where most diverged, all do. */
function storedTruth(curves: readonly Curve[], draw: number, { noise }: Phase): Truth {
  const sd = noise === undefined ? (pooledNoise(curves.map(residualOf))?.sd ?? NOISE) : noise / 100;
  const best = curves.map(({ stable }) => lowest(stable)!);
  const logLoss = (curve: number, x: number): number => {
    const points = curves[curve]!.stable.map((p) => ({ x: p.log2_tuned, y: p.y }));
    const [first, second] = [points[0]!, points[1]!];
    const [before, last] = [points.at(-2)!, points.at(-1)!];
    if (x < first.x) return first.y + ((second.y - first.y) / (second.x - first.x)) * (x - first.x);
    if (x > last.x) return last.y + ((last.y - before.y) / (last.x - before.x)) * (x - last.x);
    return monotoneCubic(points, x);
  };
  const wall = (curve: number): number =>
    curves[curve]!.walls.find((x) => x > curves[curve]!.stable.at(-1)!.log2_tuned) ??
    Number.POSITIVE_INFINITY;
  return {
    loss: (curve, spot) =>
      spot.log2_tuned >= wall(curve)
        ? null
        : Math.exp(logLoss(curve, spot.log2_tuned)) * (1 + noiseAt(draw, curve, spot, sd)),
    excess: (curve, x) => (x >= wall(curve) ? 1 : Math.expm1(logLoss(curve, x) - best[curve]!.y)),
    optimum: (curve) => best[curve]!.log2_tuned,
  };
}

/** Two sides of powers 1.6 to 2.4, curvature and lean as 195 published curves have them (docs/method.md). */
function syntheticTruth(
  curves: readonly SearchedCurve[],
  draw: number,
  drift: number,
  { noise }: Phase,
): Truth {
  const sd = noise === undefined ? NOISE : noise / 100;
  const steps = stepsOf(curves);
  const base = normal("base", draw) * 0.7;
  const shapes = curves.map((_, k) => ({
    curvature: Math.exp(Math.log(0.0047) + 0.48 * normal("curvature", draw, k)),
    lean: Math.exp(Math.log(1.21) + 0.39 * normal("lean", draw, k)),
    left: 1.6 + 0.8 * uniform("left", draw, k),
    right: 1.6 + 0.8 * uniform("right", draw, k),
    optimum: curves[k]!.middle + base - drift * steps[k]! + 0.1 * normal("optimum", draw, k),
  }));
  const excess = (curve: number, x: number): number => {
    const { curvature, lean, left, right, optimum } = shapes[curve]!;
    const u = x - optimum;
    return u < 0 ? (curvature / Math.sqrt(lean)) * (-u) ** left : curvature * Math.sqrt(lean) * u ** right;
  };
  return {
    loss: (curve, spot) => 3 * (1 + excess(curve, spot.log2_tuned) + noiseAt(draw, curve, spot, sd)),
    excess,
    optimum: (curve) => shapes[curve]!.optimum,
  };
}

/** How many curves each lies from its base, along all axes. */
function stepsOf(curves: readonly SearchedCurve[]): number[] {
  const steps = new Map(curves.map(({ curve }) => [curve, 0]));
  for (const axis of axesOf(curves.map(({ coordinates }) => coordinates)))
    for (const { members } of groupsAlong(axis, curves))
      for (const [i, { curve }] of members.entries()) steps.set(curve, steps.get(curve)! + i);
  return curves.map(({ curve }) => steps.get(curve)!);
}
