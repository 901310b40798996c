/** Short ways to write learning-rate curves in tests. */
import type { Cell, CurveInput, Optimum } from "../../../orchestrator/analysis/types.ts";

/** log2 rate → losses by seed 0, 1, …; null diverged. A number stands for one seed; "missing" for a planned rate without result. */
export type Row = number | null | (number | null)[] | "missing";

export function curveOf(rows: Record<string, Row>): CurveInput {
  return {
    points: Object.entries(rows).map(([x, row]) => ({
      log2_tuned: Number(x),
      missing: row === "missing" ? 1 : 0,
      seeds:
        row === "missing"
          ? []
          : [row]
              .flat()
              .map((loss, seed) => ({ seed, loss: loss as number | null, diverged: loss === null })),
    })),
  };
}

/** Losses from a function, the same for every seed up to a small fixed scatter that no seed level explains. */
export function sampled(
  log2_values: number[],
  loss: (x: number) => number,
  seeds: number,
  scatter: number,
): CurveInput {
  // Signs in a fixed pattern: rows and columns do not add up to a level or a slope.
  return {
    points: log2_values.map((x, k) => ({
      log2_tuned: x,
      missing: 0,
      seeds: Array.from({ length: seeds }, (_, seed) => ({
        seed,
        loss: loss(x) * (1 + scatter * Math.sin(12.9898 * k + 78.233 * seed)),
        diverged: false,
      })),
    })),
  };
}

const EMPTY: Optimum = {
  flag: "too few points",
  log2_tuned: null,
  log2_tuned_low: null,
  log2_tuned_high: null,
  log2_tuned_low_90: null,
  log2_tuned_high_90: null,
  places: [],
  loss: null,
  loss_low: null,
  loss_high: null,
  valley_low: null,
  valley_high: null,
  stability_edge: null,
  grid_log2_tuned: null,
  grid_loss: null,
  seeds: 1,
  points: 0,
  missing: 0,
};

/** A bracketed optimum with 95% bounds and proportionally narrower 90% bounds. */
export const bracketed = (x: number, low: number, high: number, loss = 2): Optimum => ({
  ...EMPTY,
  flag: "bracketed",
  log2_tuned: x,
  log2_tuned_low: low,
  log2_tuned_high: high,
  log2_tuned_low_90: x - 0.84 * (x - low),
  log2_tuned_high_90: x + 0.84 * (high - x),
  loss,
  loss_low: loss * 0.99,
  loss_high: loss * 1.01,
  grid_log2_tuned: x,
  grid_loss: loss,
});

export const bounded = (flag: Optimum["flag"], low: number | null, high: number | null): Optimum => ({
  ...EMPTY,
  flag,
  log2_tuned_low: low,
  log2_tuned_high: high,
  log2_tuned_low_90: low,
  log2_tuned_high_90: high,
});

/** Where a cell stands; 256 wide and dense unless said otherwise. */
export const standing = (at: { width?: number; density?: number } = {}): Cell["coordinates"] => ({
  parameterization: "supar",
  width: at.width ?? 256,
  layers: 2,
  sparsity: 1 - (at.density ?? 1),
});

export const cellOf = (optimum: Optimum, at: { width?: number; density?: number } = {}): Cell => ({
  coordinates: standing(at),
  curve: { points: [] },
  optimum,
});
