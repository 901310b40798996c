/**
 * The numbers behind ranges and random draws. Powers of two are exact, so that a point of one grid and the same point of
 * another are the same number, and the same run.
 */
import { createHash } from "node:crypto";
import { MAX_AXIS_POINTS, type Range } from "../../schema/axes.ts";

/** 2^k: exact for whole k, and 2^(k+1) is twice 2^k for any k. */
export function powerOfTwo(k: number): number {
  const whole = Math.floor(k);
  return 2 ** whole * 2 ** (k - whole);
}

/**
 * from, from + step, … up to `to`, included when a step falls on it within rounding. Each is rounded at the fourteenth digit
 * of the largest, so that steps of 0.1 from different starts meet at the same numbers, zero among them.
 */
function* steps(from: number, to: number, step: number): Generator<number> {
  const last = Math.floor((to - from) / step + 1e-9);
  const digits = Math.floor(Math.log10(Math.max(Math.abs(from), Math.abs(to), step)));
  const decimals = Math.min(100, Math.max(0, 13 - digits));
  // Adding 0 makes −0 plain 0.
  for (let i = 0; i <= last; i++) yield Number((from + i * step).toFixed(decimals)) + 0;
}

/** The values of a range in its order, or what is wrong with it. */
export function rangeValues(range: Range): number[] | string {
  if ("count" in range) return Array.from({ length: range.count }, (_, i) => range.first + i);
  const { from, to, step } = "linear" in range ? range.linear : range.log2;
  if (to < from) return `is empty: it goes from ${from} to ${to}; expected from ≤ to`;
  if ((to - from) / step > MAX_AXIS_POINTS)
    return `has more than ${MAX_AXIS_POINTS} values; expected a larger step`;
  const points = [...steps(from, to, step)];
  if ("linear" in range) return points;
  const unit = "multiples_of" in range ? range.multiples_of : 1;
  return points.map((k) => unit * powerOfTwo(k));
}

/**
 * A uniform number in [0, 1) that depends on nothing but its arguments: adding draws, or another distribution, moves no
 * existing one. 53 bits of SHA-256.
 */
function uniformAt(seed: number, name: string, index: number): number {
  const digest = createHash("sha256").update(`musweep random axis 1\n${seed}\n${name}\n${index}`).digest();
  return Number(digest.readBigUInt64BE() >> 11n) / 2 ** 53;
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
