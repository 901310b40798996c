/**
 * Which points of a sweep's grids an earlier grid has too. Grids are products, so no point need be built to be compared: every
 * value of every coordinate gets a number, and a point is the numbers of its values, put together into one.
 */
import type { AxisName } from "../../schema/sweep/hyperparameters.ts";
import { product } from "./combinations.ts";
import type { Dimension, Grid } from "./grids.ts";
import { decidedBy, type PartialSettings, type SettingsReader } from "./settings-of.ts";

/** The repeated points of one grid, by their position in its product. */
export interface Repeats {
  readonly count: number;
  has(position: number): boolean;
}

const NONE: Repeats = { count: 0, has: () => false };

/** One coordinate of one grid: the numbers of its values, by the positions along the dimensions that decide it. */
interface Numbered {
  numbers: readonly number[];
  /** How far apart neighbours along a dimension are in `numbers`. */
  strides: readonly { dimension: number; stride: number }[];
}

/** @param coordinates by which points are told apart */
export function findRepeats(
  grids: readonly Grid[],
  coordinates: readonly AxisName[],
  settings: SettingsReader,
): readonly Repeats[] {
  // Within a grid the dimensions hold no duplicates, so only several grids can meet.
  if (grids.length < 2) return grids.map(() => NONE);
  const numbered = coordinates
    .map((name) => {
      const known = new Map<unknown, number>();
      const of = grids.map((grid) => numberValues(grid, name, known, settings));
      return { of, size: known.size, shared: inSeveral(of, known.size) };
    })
    .filter(({ size }) => size > 1);
  const join = joiner(numbered.map(({ size }) => size));
  const seen = new Set<number>();
  return grids.map(({ dimensions }, g) => {
    const own = numbered.map(({ of, shared }) => ({ ...of[g]!, shared }));
    // A point with a value that no other grid has is not looked at.
    const meeting = dimensions.map(({ points }, d) => {
      const alone = own.filter(({ strides }) => strides.length === 1 && strides[0]!.dimension === d);
      const indexes = [...points.keys()];
      return indexes.filter((i) => alone.every(({ numbers, shared }) => shared[numbers[i]!]));
    });
    const lengths = dimensions.map((d) => d.points.length);
    const repeats = new Set<number>();
    for (const at of combined(meeting)) {
      const key = join(own, at);
      if (seen.has(key)) repeats.add(at.reduce((position, index, d) => position * lengths[d]! + index, 0));
      else seen.add(key);
    }
    return { count: repeats.size, has: (position) => repeats.has(position) };
  });
}

/** Which values more than one grid has. */
function inSeveral(perGrid: readonly Numbered[], size: number): boolean[] {
  const lastGrid = new Array<number>(size).fill(-1);
  const several = new Array<boolean>(size).fill(false);
  perGrid.forEach(({ numbers }, g) => {
    for (const number of numbers) {
      if (lastGrid[number] !== -1 && lastGrid[number] !== g) several[number] = true;
      lastGrid[number] = g;
    }
  });
  return several;
}

function numberValues(
  { dimensions }: Grid,
  name: AxisName,
  known: Map<unknown, number>,
  settings: SettingsReader,
): Numbered {
  const numberOf = (value: unknown): number => {
    const number = known.get(value) ?? known.size;
    known.set(value, number);
    return number;
  };
  const own = dimensions.findIndex((d) => d.names.includes(name));
  // A value that the grid sets itself goes before all that it would follow from.
  if (own >= 0)
    return {
      numbers: dimensions[own]!.points.map(({ values }) => numberOf(values[name] ?? null)),
      strides: [{ dimension: own, stride: 1 }],
    };
  const key = name as keyof PartialSettings;
  const deciding = new Set(decidedBy(name));
  const decides = (d: Dimension): boolean => d.names.some((n) => deciding.has(n));
  const numbers: number[] = [];
  for (const { values } of product(dimensions.filter(decides)))
    numbers.push(numberOf(settings.some([key], values)[key] ?? null));
  let stride = numbers.length;
  const strides = dimensions.flatMap((d, dimension) => {
    if (!decides(d)) return [];
    stride /= d.points.length;
    return [{ dimension, stride }];
  });
  return { numbers, strides };
}

/** Every choice of one number of each list, the last list's changing fastest; the same array each time. */
function* combined(lists: readonly (readonly number[])[]): Generator<readonly number[]> {
  if (lists.some((list) => list.length === 0)) return;
  const at = lists.map(() => 0);
  const chosen = lists.map((list) => list[0]!);
  while (true) {
    yield chosen;
    let i = lists.length - 1;
    for (; i >= 0; i--) {
      const list = lists[i]!;
      at[i] = at[i]! + 1 === list.length ? 0 : at[i]! + 1;
      chosen[i] = list[at[i]!]!;
      if (at[i] !== 0) break;
    }
    if (i < 0) return;
  }
}

/**
 * Numbers, each below its own size, as one number that no others give. Where the sizes would lead beyond whole numbers, what was
 * put together so far is numbered anew.
 */
function joiner(
  sizes: readonly number[],
): (coordinates: readonly Numbered[], at: readonly number[]) => number {
  const renumbered: (Map<number, number> | null)[] = [];
  let reach = 1;
  for (const size of sizes) {
    const fits = reach * size <= Number.MAX_SAFE_INTEGER;
    renumbered.push(fits ? null : new Map());
    // A sweep has a million points at most, far below the root of the largest whole number.
    reach = fits ? reach * size : 2 ** 26 * size;
  }
  return (coordinates, at) => {
    let key = 0;
    for (let i = 0; i < sizes.length; i++) {
      const again = renumbered[i];
      if (again) {
        const number = again.get(key) ?? again.size;
        again.set(key, number);
        key = number;
      }
      const { numbers, strides } = coordinates[i]!;
      let index = 0;
      for (const { dimension, stride } of strides) index += at[dimension]! * stride;
      key = key * sizes[i]! + numbers[index]!;
    }
    return key;
  };
}
