/** A search against curves whose truth is known, beside the grid that it replaces: what each says, what it costs, and whether it is wrong. */
import { type Axis, axesOf, groupsAlong } from "./groups.ts";
import { nextRuns } from "./search.ts";
import type { SearchLimits } from "./search-choices.ts";
import { type Known, readSearched, type SearchedCurve, type Spot } from "./search-curves.ts";
import { isStarted, type SearchQuestion } from "./search-groups.ts";
import type { CellVerdict } from "./types.ts";
import { verdict } from "./verdict.ts";

export type Truth = {
  /** Final loss of a run, the same whoever asks; null: it diverges. @param curve index */
  loss: (curve: number, spot: Spot) => number | null;
  /** Relative excess without noise above the curve's lowest loss, and where that is (log2). */
  excess: (curve: number, log2_tuned: number) => number;
  optimum: (curve: number) => number;
};

/** What is said of the curves along an axis. */
export type Said = { axis: Axis; parameterization: string; verdict: CellVerdict; wrong: boolean };

export type Replayed = {
  said: Said[];
  runs: number;
  cost: number;
  /** How often the curves were looked at. */
  looks: number;
  /** Why it stopped. */
  stopped: string;
};

/** @param budget of the whole search */
export function replaySearch(
  curves: readonly SearchedCurve[],
  truth: Truth,
  question: SearchQuestion,
  budget: SearchLimits,
): Replayed {
  const index = new Map(curves.map(({ curve }, i) => [curve, i]));
  const planned = curves.map((curve): Spot[] => [...curve.planned]);
  for (let looks = 1; ; looks++) {
    const now = withResults(curves, planned, truth);
    const spent = spentOn(curves, planned);
    const { runs, stopped } = nextRuns(now, question, {
      ...budget,
      runs: budget.runs - spent.runs,
      cost: budget.cost - spent.cost,
    });
    if (stopped !== null) return { said: sayings(now, truth, question), ...spent, looks, stopped };
    for (const { curve, log2_tuned, seed } of runs) planned[index.get(curve)!]!.push({ log2_tuned, seed });
  }
}

/** @param spots of every curve */
export function replayGrid(
  curves: readonly SearchedCurve[],
  spots: readonly (readonly Spot[])[],
  truth: Truth,
  question: SearchQuestion,
): Omit<Replayed, "looks" | "stopped"> {
  return { said: sayings(withResults(curves, spots, truth), truth, question), ...spentOn(curves, spots) };
}

const spentOn = (curves: readonly SearchedCurve[], spots: readonly (readonly Spot[])[]) => ({
  runs: spots.reduce((sum, own) => sum + own.length, 0),
  cost: spots.reduce((sum, own, i) => sum + own.length * curves[i]!.cost, 0),
});

const withResults = (
  curves: readonly SearchedCurve[],
  spots: readonly (readonly Spot[])[],
  truth: Truth,
): SearchedCurve[] =>
  curves.map((curve, i) => ({
    ...curve,
    planned: spots[i]!,
    input: {
      points: [...new Set(spots[i]!.map((spot) => spot.log2_tuned))].map((log2_tuned) => ({
        log2_tuned,
        missing: 0,
        seeds: spots[i]!.filter((spot) => spot.log2_tuned === log2_tuned).map((spot) => {
          const loss = truth.loss(i, spot);
          return { seed: spot.seed, loss, diverged: loss === null };
        }),
      })),
    },
  }));

/** As the report of a sweep judges what has been trained. */
function sayings(curves: readonly SearchedCurve[], truth: Truth, question: SearchQuestion): Said[] {
  const all = [...readSearched(curves, question.stated_noise).values()];
  return axesOf(all.map(({ coordinates }) => coordinates)).flatMap((axis) =>
    groupsAlong(axis, all)
      .filter(({ members }) => members.length > 1)
      .map(({ members }): Said => {
        const [base, ...others] = members;
        const trained = others.filter(isStarted);
        const cell = ({ coordinates, input, optimum }: Known) => ({ coordinates, curve: input, optimum });
        const untrained = others.filter((curve) => !isStarted(curve)).map(({ coordinates }) => coordinates);
        const options = { ...question, axis, noise: base.pooled ?? undefined, open: 1, untrained };
        const said =
          isStarted(base) && trained.length > 0
            ? verdict(trained.map(cell), cell(base), options).verdict
            : "inconclusive";
        const at = (curve: Known) => all.indexOf(curve);
        const moves = others.some((other) =>
          isBeyond(truth, at(base), at(other), base.optimum.log2_tuned, question),
        );
        return {
          axis,
          parameterization: base.coordinates.parameterization,
          verdict: said,
          wrong: said !== "inconclusive" && (said !== "transfers") !== moves,
        };
      }),
  );
}

/** Whether a cell truly lies beyond the margin. @param rate that the base is found to be best at */
function isBeyond(
  truth: Truth,
  base: number,
  cell: number,
  rate: number | null,
  { criterion, margin }: SearchQuestion,
): boolean {
  if (criterion === "octaves") return Math.abs(truth.optimum(cell) - truth.optimum(base)) >= margin.octaves;
  return 100 * truth.excess(cell, rate ?? truth.optimum(base)) > margin.cost;
}
