/**
 * Two ways to write one learning rate: 0.00097656 for 2⁻¹⁰, 0.1 + 0.2 for 0.3. Nobody means such twins as two points of a
 * curve, and a grid that takes them for two trains one of them for nothing.
 */

/** Four significant digits round a value by up to 0.05%; no grid is as fine as this. */
const TOLERANCE = 1e-3;

/** @param a @param b positive values, such as learning rates */
export const areTwins = (a: number, b: number): boolean => Math.abs(a - b) <= TOLERANCE * Math.max(a, b);

/** Runs of neighbours, by rising value, in which each is a twin of the first. */
export function groupTwins<T>(items: readonly T[], sizeOf: (item: T) => number): [T, ...T[]][] {
  const groups: [T, ...T[]][] = [];
  for (const item of [...items].sort((a, b) => sizeOf(a) - sizeOf(b))) {
    const last = groups.at(-1);
    if (last !== undefined && areTwins(sizeOf(last[0]), sizeOf(item))) last.push(item);
    else groups.push([item]);
  }
  return groups;
}

/** The lowest of each group of twins, by rising value. */
export const withoutTwins = (values: readonly number[]): number[] =>
  groupTwins(values, (v) => v).map(([first]) => first);
