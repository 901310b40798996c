/**
 * The numbers behind ranges and random draws. Powers of two are exact, so that a point of one grid and the same point of
 * another are the same number, and the same run.
 */
import { hash } from "node:crypto";
import { MAX_AXIS_POINTS, type Range } from "../../schema/sweep/axes.ts";
import { powerOfTwo } from "../../schema/sweep/hyperparameters.ts";

/** 10^k: for whole k the number that is written so, else to 12 digits, as it is shown. */
const powerOfTen = (k: number): number =>
  Number.isInteger(k) ? Number(`1e${k}`) : Number((10 ** k).toPrecision(12));

/** Of a range that is not of seeds: between which numbers it steps. */
function stepsOf(range: Exclude<Range, { count: number }>): { from: number; to: number; step: number } {
  if ("linear" in range) return range.linear;
  return "log10" in range ? range.log10 : range.log2;
}

/** How many steps lead from one number to the last at or before the other, within rounding. */
const lastStep = (from: number, to: number, step: number): number => Math.floor((to - from) / step + 1e-9);

/**
 * from, from + step, … up to `to`, included when a step falls on it within rounding. Each is rounded at the fourteenth digit
 * of the largest, so that steps of 0.1 from different starts meet at the same numbers, zero among them.
 */
function* steps(from: number, to: number, step: number): Generator<number> {
  const last = lastStep(from, to, step);
  const digits = Math.floor(Math.log10(Math.max(Math.abs(from), Math.abs(to), step)));
  const decimals = Math.min(100, Math.max(0, 13 - digits));
  // Adding 0 makes −0 plain 0.
  for (let i = 0; i <= last; i++) yield Number((from + i * step).toFixed(decimals)) + 0;
}

/** What is wrong with a range, or null; found without making its values. */
export function rangeMistake(range: Range): string | null {
  if ("count" in range) return null;
  const { from, to, step } = stepsOf(range);
  if (to < from) return `is empty: it goes from ${from} to ${to}; expected from ≤ to`;
  if ((to - from) / step > MAX_AXIS_POINTS)
    return `has more than ${MAX_AXIS_POINTS} values; expected a larger step`;
  return null;
}

/** Of a range that has no mistake. */
export function rangeLength(range: Range): number {
  if ("count" in range) return range.count;
  const { from, to, step } = stepsOf(range);
  return lastStep(from, to, step) + 1;
}

/** The values of a range in its order, or what is wrong with it. */
export function rangeValues(range: Range): number[] | string {
  const mistake = rangeMistake(range);
  if (mistake !== null) return mistake;
  if ("count" in range) return Array.from({ length: range.count }, (_, i) => range.first + i);
  const { from, to, step } = stepsOf(range);
  const points = [...steps(from, to, step)];
  if ("linear" in range) return points;
  if ("log10" in range) return points.map(powerOfTen);
  const unit = "multiples_of" in range ? range.multiples_of : 1;
  return points.map((k) => unit * powerOfTwo(k));
}

/**
 * A uniform number in [0, 1) that depends on nothing but its arguments: adding draws, or another distribution, moves no
 * existing one. 53 bits of SHA-256.
 */
function uniformAt(seed: number, name: string, index: number): number {
  const digest = hash("sha256", `musweep random axis 1\n${seed}\n${name}\n${index}`, "hex");
  const [high, low] = [digest.slice(0, 8), digest.slice(8, 16)].map((word) => Number.parseInt(word, 16));
  return (high! * 2 ** 21 + (low! >>> 11)) / 2 ** 53;
}

export type Distribution =
  | { log_uniform: { from: number; to: number } }
  | { uniform: { from: number; to: number } }
  | { choice: readonly unknown[] };

/** Draw number `index` of one hyperparameter. Real values are rounded to 6 significant digits, to be readable and to copy. */
export function draw(distribution: Distribution, seed: number, name: string, index: number): unknown {
  const u = uniformAt(seed, name, index);
  if ("choice" in distribution) return distribution.choice[Math.floor(u * distribution.choice.length)];
  if ("uniform" in distribution) {
    const { from, to } = distribution.uniform;
    return Number((from + u * (to - from)).toPrecision(6));
  }
  const { from, to } = distribution.log_uniform;
  return Number((from * (to / from) ** u).toPrecision(6));
}
