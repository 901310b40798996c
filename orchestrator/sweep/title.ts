/** A run's place in its sweep as people read it: `SμPar d128 s0.9375 lr 2^-8 seed 1`. */
import { RULES } from "../parameterization/rules.ts";
import type { Coordinates } from "./expand-sweep.ts";

/**
 * @param coordinates layers are shown only when `layers` says so, since most sweeps have one depth
 */
export const titleOf = (coordinates: Coordinates, options: { layers?: boolean } = {}): string =>
  parts(coordinates, options.layers === true).join(" ");

/** What several have in common, once, and of each what it has not. */
export function splitTitles(all: readonly Coordinates[]): { common: string; own: string[] } {
  const depths = new Set(all.map((coordinates) => coordinates.layers));
  const each = all.map((coordinates) => parts(coordinates, depths.size > 1));
  const isCommon = (part: string): boolean => each.every((one) => one.includes(part));
  return {
    common: (each[0] ?? []).filter(isCommon).join(" "),
    own: each.map((one) => one.filter((part) => !isCommon(part)).join(" ")),
  };
}

function parts(coordinates: Coordinates, layered: boolean): string[] {
  const { parameterization, width, sparsity, layers, learning_rate, seed, ...others } = coordinates;
  return [
    RULES[parameterization].title,
    `d${width}`,
    ...(layered ? [`L${layers}`] : []),
    `s${sparsity}`,
    ...Object.entries(others).map(([name, value]) => `${name} ${value}`),
    `lr ${showRate(learning_rate)}`,
    `seed ${seed}`,
  ];
}

/** As a power of two, with two digits where it is none: 2^-8, 2^-5.95. */
function showRate(rate: number): string {
  const log2 = Math.log2(rate);
  return `2^${Number.isInteger(log2) ? log2 : log2.toFixed(2)}`;
}
