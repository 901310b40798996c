/**
 * A phase that is a search: gives it the runs that decide most (analysis/search.ts), once all that it has have ended. What comes next
 * follows from the database alone, so a restart goes on where it was.
 */
import { powerOfTwo } from "../../schema/sweep/hyperparameters.ts";
import type { Search } from "../../schema/sweep/search.ts";
import type { Phase } from "../../schema/sweep/sweep.ts";
import { plannedFlops, sparseTrainingFlops } from "../../schema/wire/cost.ts";
import { isForEmbedded, needOfRun } from "../../schema/wire/need.ts";
import { isScriptPlan, type RunPlan } from "../../schema/wire/plan.ts";
import { type CurveCoordinates, coordinatesOf } from "../analysis/groups.ts";
import { nextRuns, type SearchStep } from "../analysis/search.ts";
import type { NextRun } from "../analysis/search-choices.ts";
import type { SearchedCurve } from "../analysis/search-curves.ts";
import { questionOf } from "../analysis/verdict.ts";
import { lastPosition, plannedPoints } from "../database/cells.ts";
import { readCurves } from "../database/curves.ts";
import type { Database } from "../database/open.ts";
import { refreshPhase } from "../database/optima.ts";
import { hasOpenRuns, type StoredPhase, startedPhase } from "../database/phases.ts";
import { reviveCancelled } from "../database/run-states.ts";
import { runResult } from "../database/runs.ts";
import { gatherCells } from "../database/store-cells.ts";
import { type Cell, type Expansion, expandPhase, type GridCurve } from "../sweep/expand-sweep.ts";

/** Why a point is there that was trained before the search began. */
const EARLIER = "search: trained before";
/** So many seeds are looked for among earlier runs, beside the grid's own. */
const EARLIER_SEEDS = 4;

/** What a search's curves, and with them its grid, would cost. */
export interface SearchCosts {
  /** Of one run of each curve, by its key: FLOPs, without weights that do not exist where the engine leaves them out. */
  perRun: Map<string, number>;
  /** Of the whole grid that the axes describe. */
  grid: number;
}

/** @returns whether there was anything to add */
export function addSearched(
  db: Database,
  self: StoredPhase,
  search: Search,
  now: number,
  slots: number,
): boolean {
  const phase = startedPhase(self);
  const expansion = expandPhase(phase, self.definition.data);
  const grid = expansion.curves();
  const costs = searchCosts(phase, expansion, grid);
  if (plannedPoints(db, self.id).length === 0)
    add(
      db,
      self,
      now,
      [...earlierCells(db, expansion, grid)].map((cell) => ({ cell, reason: EARLIER })),
    );
  const points = plannedPoints(db, self.id);
  const added = points.filter(({ reason }) => reason !== EARLIER);
  const spent = added.reduce((sum, { curve }) => sum + (costs.perRun.get(curve) ?? 0), 0);
  const stored = readCurves(db, self.id);
  const curves = emptyCurves(grid, costs).map((curve) => ({
    ...curve,
    input: stored.get(curve.curve)?.input ?? curve.input,
    planned: points
      .filter((point) => point.curve === curve.curve)
      .map(({ tuned_value, seed }) => ({ log2_tuned: Math.log2(tuned_value), seed })),
  }));
  const question = { ...questionOf(phase), stated_noise: phase.noise };
  const { runs, questions, stopped } = nextRuns(curves, question, {
    ...batchOf(search, slots),
    ...limitsOf(search.budget, { runs: added.length, cost: spent }, costs.grid),
  });
  add(db, self, now, cellsOf(runs, expansion, grid, points));
  self.search = {
    questions,
    next: byReason(runs),
    stopped,
    added: added.length + runs.length,
    earlier: points.length - added.length,
    share: (spent + runs.reduce((sum, { curve }) => sum + costs.perRun.get(curve)!, 0)) / costs.grid,
    budget: search.budget,
  };
  // A point that is there already is none that waits.
  return plannedPoints(db, self.id).length > points.length || hasOpenRuns(db, self.id);
}

/**
 * What a search would train next from the results that a phase has, whoever trained them: its first steps are done. Reads alone; of
 * a budget it knows nothing.
 * @param batch runs at a time
 */
export function searchFurther(
  db: Database,
  self: StoredPhase,
  batch: number,
): Pick<SearchStep, "questions" | "stopped"> & { runs: (NextRun & { tuned_value: number })[] } {
  const curves = [...readCurves(db, self.id).values()].map(({ curve, coordinates, input }): SearchedCurve => {
    const rates = input.points.map(({ log2_tuned }) => log2_tuned).sort((a, b) => a - b);
    const planned = input.points.flatMap(({ log2_tuned, seeds }) =>
      seeds.map(({ seed }) => ({ log2_tuned, seed })),
    );
    return {
      curve,
      coordinates,
      input,
      planned,
      middle: (rates[0]! + rates.at(-1)!) / 2,
      first_seed: Math.min(...planned.map(({ seed }) => seed)),
      cost: relativeCost(coordinates),
    };
  });
  const { runs, questions, stopped } = nextRuns(
    curves,
    { ...questionOf(self.definition.phase), stated_noise: self.definition.phase.noise },
    {
      batch,
      thrift: Number.POSITIVE_INFINITY,
      runs: Number.POSITIVE_INFINITY,
      cost: Number.POSITIVE_INFINITY,
    },
  );
  const points = plannedPoints(db, self.id);
  return {
    questions,
    stopped,
    runs: runs.map((run) => {
      const tried = points.filter(({ curve }) => curve === run.curve).map(({ tuned_value }) => tuned_value);
      return { ...run, tuned_value: rateAt(run.log2_tuned, tried) };
    }),
  };
}

/** Of a run somewhere else, beside another's: by what its results tell of its size. */
function relativeCost({ width, layers, steps, tokens }: CurveCoordinates): number {
  const factor = (value: unknown): number => (typeof value === "number" && value > 0 ? value : 1);
  return factor(width) ** 2 * factor(layers) * factor(tokens ?? steps);
}

function byReason(runs: readonly NextRun[]): { reason: string; runs: number }[] {
  const counts = new Map<string, number>();
  for (const { reason } of runs) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts].map(([reason, n]) => ({ reason, runs: n }));
}

/** What a budget leaves, in runs and in FLOPs; without an end where it does not say. @param grid FLOPs of the whole grid */
export const limitsOf = (
  budget: Search["budget"],
  spent: { runs: number; cost: number },
  grid: number,
): { runs: number; cost: number } =>
  typeof budget === "number"
    ? { runs: Math.max(0, budget - spent.runs), cost: Number.POSITIVE_INFINITY }
    : { runs: Number.POSITIVE_INFINITY, cost: (Number.parseFloat(budget) / 100) * grid - spent.cost };

/** Runs of a look cost at most this share of all before it, unless the file says how many it wants. */
const THRIFT = 0.25;

export const batchOf = ({ batch }: Search, slots: number): { batch: number; thrift: number } =>
  batch === undefined ? { batch: slots, thrift: THRIFT } : { batch, thrift: Number.POSITIVE_INFINITY };

/** The curves of a search before it has begun. */
export const emptyCurves = (grid: readonly GridCurve[], { perRun }: SearchCosts): SearchedCurve[] =>
  grid.map((curve) => ({
    curve: curve.curve,
    coordinates: coordinatesOf(curve.curve),
    input: { points: [] },
    planned: [],
    middle: middleOf(curve),
    first_seed: curve.seeds[0]!,
    cost: perRun.get(curve.curve)!,
  }));

/** A plan of each curve says what a run of it costs. */
export function searchCosts(phase: Phase, expansion: Expansion, grid: readonly GridCurve[]): SearchCosts {
  const one = new Map(
    grid.map(({ curve, tuned_values, seeds }) => [
      curve,
      [{ tuned_value: tuned_values[0]!, seed: seeds[0]! }],
    ]),
  );
  const perRun = new Map(
    [...expansion.extraCells(one)].map(({ curve, plan }) => [curve, costOf(plan, phase)]),
  );
  return { perRun, grid: grid.reduce((sum, { curve, points }) => sum + points * perRun.get(curve)!, 0) };
}

function costOf(plan: RunPlan, phase: Phase): number {
  const isSparse = !isScriptPlan(plan) && isForEmbedded(needOfRun(plan, phase));
  return Math.max(1, isSparse ? sparseTrainingFlops(plan) : plannedFlops(plan, phase));
}

/** Results of the points below, from whichever sweep. */
function* earlierCells(db: Database, expansion: Expansion, grid: readonly GridCurve[]): Generator<Cell> {
  for (const cell of expansion.extraCells(earlierPoints(grid)))
    if (runResult(db, cell.run) !== undefined) yield cell;
}

/** The grid's points, and half octaves between its rates, at which earlier results count; by curve. */
export const earlierPoints = (
  grid: readonly GridCurve[],
): Map<string, { tuned_value: number; seed: number }[]> =>
  new Map(
    grid.map((curve) => {
      const { tuned_values, seeds } = curve;
      const steps = Math.floor(Math.log2(tuned_values.at(-1)! / tuned_values[0]!) + 1e-9);
      const rates = new Set(tuned_values);
      for (let k = -steps; k <= steps; k++) rates.add(rateAt(middleOf(curve) + k / 2, tuned_values));
      const tried = new Set([...seeds, ...Array.from({ length: EARLIER_SEEDS }, (_, k) => seeds[0]! + k)]);
      return [
        curve.curve,
        [...rates].flatMap((tuned_value) => [...tried].map((seed) => ({ tuned_value, seed }))),
      ];
    }),
  );

const middleOf = ({ tuned_values }: GridCurve): number =>
  (Math.log2(tuned_values[0]!) + Math.log2(tuned_values.at(-1)!)) / 2;

/** Near enough to be the same rate, octaves. */
const SAME = 1e-6;

/** 2^x as the file or an earlier run writes it: exact for quarters of an octave, else to 12 digits. */
function rateAt(x: number, known: readonly number[]): number {
  const same = known.find((value) => Math.abs(Math.log2(value) - x) < SAME);
  if (same !== undefined) return same;
  const quarters = Math.round(4 * x);
  return Math.abs(quarters / 4 - x) < SAME ? powerOfTwo(quarters / 4) : Number((2 ** x).toPrecision(12));
}

/** @param tried values that curves have been given already */
function cellsOf(
  runs: readonly NextRun[],
  expansion: Expansion,
  grid: readonly GridCurve[],
  tried: readonly { curve: string; tuned_value: number }[],
): { cell: Cell; reason: string }[] {
  const known = new Map(grid.map(({ curve, tuned_values }) => [curve, [...tuned_values]]));
  for (const { curve, tuned_value } of tried) known.get(curve)?.push(tuned_value);
  const points = runs.map(({ curve, log2_tuned, seed, reason }) => ({
    curve,
    point: { tuned_value: rateAt(log2_tuned, known.get(curve)!), seed },
    reason,
  }));
  const byCurve = new Map<string, { tuned_value: number; seed: number }[]>();
  for (const { curve, point } of points) byCurve.set(curve, [...(byCurve.get(curve) ?? []), point]);
  const cells = [...expansion.extraCells(byCurve)];
  // In the order of their choice: what decides most is trained first.
  return points.map(({ curve, point, reason }) => ({
    cell: cells.find(
      (c) => c.curve === curve && c.tuned_value === point.tuned_value && c.coordinates.seed === point.seed,
    )!,
    reason,
  }));
}

function add(
  db: Database,
  self: StoredPhase,
  now: number,
  cells: readonly { cell: Cell; reason: string }[],
): void {
  if (cells.length === 0) return;
  const gathered = gatherCells(db);
  let position = lastPosition(db, self.id);
  for (const { cell, reason } of cells) gathered.add(cell, self.definition.phase, ++position, reason);
  gathered.store(self.id, now);
  gathered.drop();
  reviveCancelled(db, self.id, now);
  refreshPhase(db, self.id);
}
