/**
 * Causal multi-head attention. Queries are taken in blocks: block i needs only the keys up to its own end, so nearly half
 * of the scores of a long sequence are never computed.
 */
import type { GraphBuilder, Value } from "../graph.ts";
import type { Operation } from "./operation.ts";

interface Attention extends Operation<AttentionGradients> {
  /** scale · q·k of each block, [B, H, block length, end of the block]; future keys are not masked yet. */
  readonly scores: readonly Value[];
}

export interface AttentionShape {
  readonly sequences: number; // B
  readonly length: number; // T
  /** Query i sees key j with scale · q·k − slope·(i − j); a slope per head, zeros without positions. */
  readonly slopes: readonly number[]; // [H]
  readonly scale: number;
  /** In order; together 0 … T − 1. */
  readonly blocks: readonly QueryBlock[];
}

interface AttentionGradients {
  readonly dq: Value;
  readonly dk: Value;
  readonly dv: Value;
}

/** From this length on, blocks pay for their overhead. */
const BLOCKED_FROM = 128;

/** A run of queries, start … end − 1. */
export interface QueryBlock {
  readonly start: number;
  readonly end: number;
}

/** The query blocks of sequences of T tokens: halves, of 64 to 128 queries. */
export function queryBlocks(length: number): QueryBlock[] {
  const half = 16 * Math.ceil(length / 32);
  const size = length < BLOCKED_FROM ? length : Math.min(half, 128);
  return Array.from({ length: Math.ceil(length / size) }, (_, i) => ({
    start: i * size,
    end: Math.min((i + 1) * size, length),
  }));
}

/**
 * q, k, v [N, C] → out [N, C]; head h is columns h·D … (h+1)·D − 1.
 */
export function attention(
  g: GraphBuilder,
  q: Value,
  k: Value,
  v: Value,
  { sequences: b, length: t, slopes, scale, blocks }: AttentionShape,
): Attention {
  const c = q.shape[1]!;
  const h = slopes.length;
  const d = c / h;
  const slopesOfHeads = g.floats([h], slopes);
  const perHead = (x: Value): Value => g.transpose(g.reshape(x, [b, t, h, d]), [0, 2, 1, 3]); // [B, H, T, D]
  const merged = (x: Value): Value => g.reshape(g.transpose(x, [0, 2, 1, 3]), [b * t, c]);
  const [qs, ks, vs] = [perHead(q), perHead(k), perHead(v)];
  const lengths = blocks.map((block) => block.end - block.start);
  const queries = g.split(qs, lengths, 2);
  const parts = blocks.map(({ start, end }, i) => {
    const upTo = (x: Value): Value => (end === t ? x : g.slice(x, 2, 0, end));
    const [keys, values] = [upTo(ks), upTo(vs)]; // [B, H, end, D]
    const scores = g.matmul(queries[i]!, keys, { transB: true, alpha: scale });
    const [p] = g.compiled("CausalSoftmax", [scores, slopesOfHeads], [scores.shape], { start }); // [B, H, length, end]
    return { start, keys, values, scores, p: p!, out: g.matmul(p!, values) };
  });
  return {
    scores: parts.map((p) => p.scores),
    out: merged(
      g.concat(
        parts.map((p) => p.out),
        2,
      ),
    ),
    backward: (dOut) => {
      const dOuts = g.split(perHead(dOut), lengths, 2);
      const gradients = parts.map(({ start, keys, values, p }, i) => {
        const dO = dOuts[i]!; // [B, H, length, D]
        const dP = g.matmul(dO, values, { transB: true });
        // dS = P ∘ (dP − rowsum(P ∘ dP))
        const [dScores] = g.compiled("CausalSoftmaxGradient", [dP, p], [p.shape], { start });
        return {
          dq: g.matmul(dScores!, keys, { alpha: scale }),
          dk: g.matmul(dScores!, queries[i]!, { transA: true, alpha: scale }), // [B, H, end, D]
          dv: g.matmul(p, dO, { transA: true }),
        };
      });
      return {
        dq: merged(
          g.concat(
            gradients.map((x) => x.dq),
            2,
          ),
        ),
        dk: merged(
          sumOfPrefixes(
            g,
            gradients.map((x) => x.dk),
          ),
        ),
        dv: merged(
          sumOfPrefixes(
            g,
            gradients.map((x) => x.dv),
          ),
        ),
      };
    },
  };
}

/** Σ of tensors that cover the first block, the first two, … all of T along axis 2. */
function sumOfPrefixes(g: GraphBuilder, prefixes: readonly Value[]): Value {
  const finished: Value[] = [];
  let sum = prefixes.at(-1)!;
  for (const prefix of prefixes.slice(0, -1).toReversed()) {
    const length = prefix.shape[2]!;
    const [head, tail] = g.split(sum, [length, sum.shape[2]! - length], 2);
    finished.unshift(tail!);
    sum = g.add(head!, prefix);
  }
  return g.concat([sum, ...finished], 2);
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
