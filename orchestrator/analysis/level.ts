/** The level: each parameterization's best loss in every cell, side by side. Transfer at a worse loss is no victory. */
import type { Bounded, Cell } from "./types.ts";

export type Level = {
  width: number;
  density: number;
  /** Lowest loss first. Without a bracketed optimum the best loss of the grid is a bound from above. */
  losses: { parameterization: string; loss: Bounded; per_cent_above_best: number }[];
};

/** Cells without a single trained rate are left out. Levels come by rising width, then falling density. */
export function level(groups: readonly { parameterization: string; cells: readonly Cell[] }[]): Level[] {
  const levels = new Map<string, { cell: Cell; entries: { parameterization: string; loss: Bounded }[] }>();
  for (const { parameterization, cells } of groups) {
    for (const cell of cells) {
      const { loss, loss_low, loss_high, grid_loss } = cell.optimum;
      if (grid_loss === null) continue;
      const key = `${cell.width} ${cell.density}`;
      const entry = levels.get(key) ?? { cell, entries: [] };
      levels.set(key, entry);
      entry.entries.push({
        parameterization,
        loss:
          loss === null
            ? { estimate: null, low: null, high: grid_loss }
            : { estimate: loss, low: loss_low, high: loss_high },
      });
    }
  }
  const value = ({ loss }: { loss: Bounded }) => loss.estimate ?? loss.high!;
  return [...levels.values()]
    .map(({ cell, entries }) => {
      const sorted = [...entries].sort((a, b) => value(a) - value(b));
      const best = value(sorted[0]!);
      return {
        width: cell.width,
        density: cell.density,
        losses: sorted.map((e) => ({ ...e, per_cent_above_best: 100 * (value(e) / best - 1) })),
      };
    })
    .sort((a, b) => a.width - b.width || b.density - a.density);
}
