/** Curves side by side: those of a phase that differ in sparsity alone, the densest first as the base of the others. */
import type { Cell, CurveInput, Optimum } from "./types.ts";

/** A curve with what names it. */
export type NamedCurve<First> = { first: First; input: CurveInput };

type GroupCell<First> = Cell & { key: string; first: First };

export type SparsityGroup<First> = {
  /** The coordinates that its curves share. */
  shared: Record<string, unknown>;
  /** By rising sparsity; the first is the base. */
  cells: [GroupCell<First>, ...GroupCell<First>[]];
};

/** @param curves by their key: canonical JSON of their coordinates; each has an optimum under the same key */
export function sparsityGroups<First extends { width: number; sparsity: number }>(
  curves: ReadonlyMap<string, NamedCurve<First>>,
  optima: ReadonlyMap<string, Optimum>,
): SparsityGroup<First>[] {
  const groups = new Map<string, SparsityGroup<First>>();
  const bySparsity = [...curves].sort(([, a], [, b]) => a.first.sparsity - b.first.sparsity);
  for (const [key, { first, input }] of bySparsity) {
    const { sparsity: _, ...shared } = JSON.parse(key) as Record<string, unknown>;
    const cell = {
      key,
      first,
      curve: input,
      width: first.width,
      density: 1 - first.sparsity,
      optimum: optima.get(key)!,
    };
    const name = JSON.stringify(shared);
    const group = groups.get(name);
    if (group) group.cells.push(cell);
    else groups.set(name, { shared, cells: [cell] });
  }
  return [...groups.values()];
}
