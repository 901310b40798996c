/** What a search may train, before anything is known: how many runs it begins with, how many it takes as a rule, and the most. */
import type { Phase } from "../../schema/sweep/sweep.ts";
import { nextRuns } from "../analysis/search.ts";
import { questionOf } from "../analysis/verdict.ts";
import type { Expansion } from "../sweep/expand-sweep.ts";
import { batchOf, emptyCurves, limitsOf, searchCosts } from "./searched-runs.ts";

export interface SearchPlan {
  phase: string;
  curves: number;
  /** Of the grid that it replaces; FLOPs without weights that do not exist. */
  grid: { runs: number; flops: number };
  begins: { runs: number; flops: number };
  /** Runs, as a rule: where the optimum moves far, and where it stays. */
  expected: { moves: number; stays: number };
  /** The budget: null where it does not limit the runs, or the FLOPs. */
  most: { runs: number | null; flops: number | null };
}

/** Runs a curve, as `npm run bench:search` measures them (docs/method.md). */
const RULE = { moves: 4.5, stays: 10 };

export function planSearches(phases: readonly { phase: Phase; expansion: Expansion }[]): SearchPlan[] {
  return phases.flatMap(({ phase, expansion }) => {
    if (phase.search === undefined) return [];
    const grid = expansion.curves();
    const costs = searchCosts(phase, expansion, grid);
    const limits = limitsOf(phase.search.budget, { runs: 0, cost: 0 }, costs.grid);
    const { runs } = nextRuns(
      emptyCurves(grid, costs),
      { ...questionOf(phase), stated_noise: phase.noise },
      { ...batchOf(phase.search, 1), ...limits },
    );
    const points = grid.reduce((sum, curve) => sum + curve.points, 0);
    const begins = runs.reduce((sum, { curve }) => sum + costs.perRun.get(curve)!, 0);
    // After its beginning a run costs what those of the grid do.
    const paid = runs.length + Math.max(0, limits.cost - begins) / (costs.grid / points);
    const most = Math.floor(Math.min(limits.runs, runs.length === 0 ? 0 : paid));
    const expect = (each: number) => Math.min(most, Math.max(runs.length, Math.round(each * grid.length)));
    return [
      {
        phase: phase.name,
        curves: grid.length,
        grid: { runs: points, flops: costs.grid },
        begins: { runs: runs.length, flops: begins },
        expected: { moves: expect(RULE.moves), stays: expect(RULE.stays) },
        most: {
          runs: Number.isFinite(limits.runs) ? limits.runs : null,
          flops: Number.isFinite(limits.cost) ? limits.cost : null,
        },
      },
    ];
  });
}
