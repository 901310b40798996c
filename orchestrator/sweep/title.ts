/**
 * A run's place in its sweep as people read it: `SμPar d128 L2 s0.9375 lr 2^-8 seed 1`. A run has one title, whichever sweep asks for
 * it, so what tells the runs of any sweep apart is always there.
 */
import { titleOfValue } from "../../schema/sweep/hyperparameters.ts";
import type { Coordinates } from "./expand-sweep.ts";

/** @param coordinates of a run, or of a whole curve */
export const titleOf = (coordinates: Partial<Coordinates>): string => parts(coordinates).join(" ");

/** What several have in common, once, and of each what it has not. */
export function splitTitles(all: readonly Coordinates[]): { common: string; own: string[] } {
  const each = all.map(parts);
  const isCommon = (part: string): boolean => each.every((one) => one.includes(part));
  return {
    common: (each[0] ?? []).filter(isCommon).join(" "),
    own: each.map((one) => one.filter((part) => !isCommon(part)).join(" ")),
  };
}

/** In this order; what else varies stands before the learning rate. */
const FIRST = ["parameterization", "width", "layers", "sparsity"] as const;
const LAST = ["learning_rate", "seed"] as const;

function parts(coordinates: Partial<Coordinates>): string[] {
  const values: Record<string, unknown> = coordinates;
  const others = Object.keys(values).filter((name) => ![...FIRST, ...LAST].some((known) => known === name));
  return [...FIRST, ...others, ...LAST]
    .filter((name) => name in values && !isUnknownSize(name, values[name]))
    .map((name) => titleOfValue(name, values[name]));
}

/** Imported results need not say how large the model was. */
const isUnknownSize = (name: string, value: unknown): boolean =>
  (name === "width" || name === "layers") && value === 0;
