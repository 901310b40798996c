/**
 * The shapes of the analysis: one learning-rate curve in, one optimum out, and what is concluded from several optima.
 * Everything here is plain data, so it can be stored, sent and shown as it is. Learning rates are log2 of the base
 * rate η (before multipliers), differences of them are octaves; losses are nats per token. Method: docs/method.md.
 */

import type { CellVerdict, CostVerdict, DriftVerdict, RegretState } from "../../schema/database/states.ts";
import type { Criterion, Pooling } from "../../schema/sweep/question.ts";
import type { CurveCoordinates } from "./groups.ts";

type SeedResult = {
  seed: number;
  /** Final validation loss; null when the run diverged. */
  loss: number | null;
  /** Training broke down at this rate: a result, never a failure. */
  diverged: boolean;
};

export type CurvePoint = {
  log2_tuned: number;
  seeds: SeedResult[];
  /** Planned runs here that have no result: pending, failed or cancelled. */
  missing: number;
};

/** Loss against log2 η for one parameterization, width, density, …; points in any order, each rate once. */
export type CurveInput = { points: CurvePoint[] };

/** Seed noise of runs, relative to the loss (0.005 is 0.5%), pooled over a sweep's curves. */
export type Noise = {
  /** Standard deviation of what differs from rate to rate within a seed. */
  sd: number;
  /** Degrees of freedom behind it. */
  df: number;
};

export type OptimumFlag =
  /** The 95% interval lies between the lowest and the highest rate that trained: the only flag with an estimate. */
  | "bracketed"
  /** The optimum may lie below every rate tried; `log2_tuned_high` bounds it from above. */
  | "at low edge"
  /** The optimum may lie above every rate tried; `log2_tuned_low` bounds it from below. */
  | "at high edge"
  /** As at high edge, but the next rate up diverges: `log2_tuned_low` and `log2_tuned_high` bound it, no estimate. */
  | "edge is divergence"
  /** Fewer than three rates trained; where one above them diverges, `log2_tuned_high` bounds it from above. */
  | "too few points"
  /** The noise hides where the minimum is. */
  | "too noisy"
  /** Two places may be the optimum: two valleys, or a plateau that may end in a cliff. `places` says which. */
  | "ambiguous"
  /** A planned rate beside the best has no result yet, or there are fewer than three and some are still to come. */
  | "incomplete";

/** Where an optimum may lie: the likeliest log2 η, and the 95% interval if it is here. */
export type Place = { log2_tuned: number; low: number; high: number };

export type Optimum = {
  flag: OptimumFlag;
  /** log2 of the best base learning rate; null unless bracketed. */
  log2_tuned: number | null;
  /** 95% interval when bracketed, otherwise the bound the flag speaks of; null: unbounded on that side. */
  log2_tuned_low: number | null;
  log2_tuned_high: number | null;
  /** The same at 90%, which the equivalence test uses. */
  log2_tuned_low_90: number | null;
  log2_tuned_high_90: number | null;
  /** Two when ambiguous: the valleys, the lower point's first, or the plateau's middle and its cliff. Otherwise none. */
  places: Place[];
  /** Expected loss over seeds at the optimum, with its 95% interval; null unless bracketed. */
  loss: number | null;
  loss_low: number | null;
  loss_high: number | null;
  /** Rates whose loss is within 0.5% of the best, log2; null unless bracketed. */
  valley_low: number | null;
  valley_high: number | null;
  /** Lowest log2 η at which a seed diverged; null: none did. */
  stability_edge: number | null;
  /** Best rate of the grid and the mean loss there: always known once one rate trained. Its loss is a bound from above. */
  grid_log2_tuned: number | null;
  grid_loss: number | null;
  /** Distinct seeds with a finite loss, rates with one, and planned runs of the whole curve without a result. */
  seeds: number;
  points: number;
  missing: number;
};

/** A quantity in the same state as the optima behind it: an estimate with interval, or a bound, or unknown. */
export type Bounded = {
  /** null: only bounds are known. */
  estimate: number | null;
  /** 95%; null: unbounded on that side. */
  low: number | null;
  high: number | null;
};

/** The 90% interval beside it: each of its ends is a bound that holds at 95% by itself, which is what verdicts use. */
export type Bounded90 = Bounded & { low_90: number | null; high_90: number | null };

/** log2 η*(cell) − log2 η*(base), octaves. */
export type Drift = Bounded90;

export type Regret = {
  /**
   * known: nats and per_cent hold. diverges: the base's rate diverges in this cell, with most seeds. outside: the
   * base's rate lies outside the cell's grid, at its last rates where some seeds diverge, or beside one at which most of a
   * few seeds did though higher ones trained, so the values bound the regret from below. unknown: no base optimum, or a hole.
   */
  state: RegretState;
  /** Loss at the base's rate minus the loss at the cell's own optimum. When the cell is not bracketed: minus its best grid loss, a bound from below. */
  nats: Bounded;
  per_cent: Bounded90;
};

/** One cell of a transfer question: where it stands, and its curve. */
export type Cell = {
  coordinates: CurveCoordinates;
  curve: CurveInput;
  optimum: Optimum;
};

export type Exponents = {
  /** log2 η* = intercept + width·log2(width) + density·log2(density); null where the cells do not vary. */
  intercept: Bounded;
  width: Bounded | null;
  density: Bounded | null;
  /** Bracketed cells used, and cells left out because they are only bounds. */
  used: number;
  left_out: number;
};

export type { CellVerdict, CostVerdict, Criterion, DriftVerdict, Pooling };

export type Margin = {
  /** Octaves that an optimum may drift. */
  octaves: number;
  /** Per cent of loss that the base's optimum may cost. */
  cost: number;
};

export type JudgedCell = {
  cell: Cell;
  drift: Drift;
  drift_verdict: DriftVerdict;
  regret: Regret;
  cost_verdict: CostVerdict;
  /** By the criterion that decides. */
  verdict: CellVerdict;
};

export type Verdict = {
  /** By the criterion that decides. */
  verdict: CellVerdict;
  criterion: Criterion;
  margin: Margin;
  pooling: Pooling;
  cells: JudgedCell[];
  /** Either criterion over all cells, whichever decides. */
  drift_verdict: DriftVerdict;
  cost_verdict: CostVerdict;
  /** Runs of the cells that are still to be trained. */
  open: number;
  /** Smallest margin, octaves, within which every drift is shown to lie; null when one is unbounded, or not known. */
  within: number | null;
  /**
   * Per cent that the base's optimum is shown to cost at most in every cell (null: not known of some), and at least in some cell
   * (null: not known, or it diverges in one, which no number says).
   */
  costs_at_most: number | null;
  costs_at_least: number | null;
  /**
   * Seeds per rate to add to the undecided cells and the base; null when decided, while runs are open or curves have
   * none, or when seeds alone would not decide.
   */
  more_seeds: number | null;
  /** One plain sentence without the parameterization's name, such as "drifts +3.1 octaves, …". */
  sentence: string;
};
