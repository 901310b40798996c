/**
 * Causal multi-head attention. Queries are taken in blocks: block i needs only the keys up to its own end, so nearly half
 * of the scores of a long sequence are never computed.
 */
import { native } from "../../common/native.ts";
import type { Tape, Value } from "../tape.ts";

const weightNumbers = native.func("int64_t attention_weight_numbers(int64_t)");
const roomNumbers = native.func("int64_t attention_room_numbers(int64_t, int64_t)");
const blockQueries = native.func("int64_t attention_block_queries()");

export interface AttentionShape {
  readonly sequences: number; // B
  readonly length: number; // T
  readonly heads: number; // H
  readonly scale: number;
}

interface Attention {
  readonly out: Value;
  /** scale · q·k where asked for, in the layout of the weights: below. */
  readonly scores: Value | null;
  /** dq, dk, dv, which take the places of q, k and v. */
  backward(dOut: Value): { readonly dq: Value; readonly dk: Value; readonly dv: Value };
}

/** Queries start … end − 1, each with keys 0 … end − 1. */
interface QueryBlock {
  readonly start: number;
  readonly end: number;
}

/** Of one head, the blocks in which weights and scores lie: one behind the other, each [end − start, end]. */
export function queryBlocks(length: number): QueryBlock[] {
  const size = Number(blockQueries());
  return Array.from({ length: Math.ceil(length / size) }, (_, i) => ({
    start: i * size,
    end: Math.min((i + 1) * size, length),
  }));
}

/**
 * Query i sees key j ≤ i with scale · q·k − slope·(i − j).
 * q, k, v [N, C] → out [N, C]; head h is columns h·D … (h+1)·D − 1. slopes [H], zeros without positions
 */
export function attention(
  t: Tape,
  [q, k, v]: readonly [Value, Value, Value],
  slopes: Value,
  { sequences: b, length, heads, scale }: AttentionShape,
  keepScores = false,
): Attention {
  const d = q.shape[1]! / heads;
  const sizes = [b, length, heads, d];
  const layout = [b, heads, Number(weightNumbers(length))];
  const [out, p] = [t.value(q.shape), t.value(layout)];
  const scores = keepScores ? t.value(layout) : null;
  const room = (): Value => t.value([t.members, Number(roomNumbers(length, d))]);
  t.call("attention", [q, k, v, slopes, out, p, scores, room()], sizes, [scale]);
  return {
    out,
    scores,
    backward: (dOut) => {
      t.call("attention_gradient", [q, k, v, dOut, p, room()], sizes, [scale]);
      return { dq: q, dk: k, dv: v };
    },
  };
}

/**
 * ALiBi's slopes (Press, Smith, Lewis, arXiv 2108.12409): 2^(−8/n), 2^(−16/n), … for n heads a power of two; otherwise those
 * of the next smaller power of two, then every other one of the next larger.
 */
export function alibiSlopes(heads: number): number[] {
  const powers = (n: number): number[] => Array.from({ length: n }, (_, i) => 2 ** ((-8 * (i + 1)) / n));
  const below = 2 ** Math.floor(Math.log2(heads));
  const between = powers(2 * below).filter((_, i) => i % 2 === 0);
  return [...powers(below), ...between.slice(0, heads - below)];
}
