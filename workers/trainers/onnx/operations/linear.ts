/** Matrix products with weights: the projections, and the unembedding. */
import type { GraphBuilder, Value } from "../graph.ts";
import type { Operation } from "./operation.ts";

interface Linear extends Operation<LinearGradients> {
  /** @param onto what dx is added to */
  backward(dy: Value, onto?: Value): LinearGradients;
}

interface LinearGradients {
  readonly dx: Value;
  readonly dw: Value;
}

/** y = x·W. x [N, I], w [I, O] → y [N, O] */
export function linear(g: GraphBuilder, x: Value, w: Value): Linear {
  return {
    out: g.matmul(x, w),
    backward: (dy, onto) => ({
      dx: g.matmul(dy, w, { transB: true, onto }), // [N, O]·[O, I]
      dw: g.matmul(x, dy, { transA: true }), // [I, N]·[N, O]
    }),
  };
}

/** Row i of `rows` [N, C] belongs to row tokens[i] of a table [V, C]. */
interface TokenRows {
  readonly tokens: Value;
  readonly rows: Value;
}

/** The gradient of a table, [V, C]; with rows added where the table is the embedding's as well. */
export type TableGradient = (added: TokenRows | null) => Value;

/** logits = multiplier · x·Wᵀ. x [N, C], w [V, C] → logits [N, V] */
export function unembed(
  g: GraphBuilder,
  x: Value,
  w: Value,
  multiplier: number,
): Operation<{ readonly dx: Value; readonly dw: TableGradient }> {
  const alpha = multiplier;
  return {
    out: g.matmul(x, w, { transB: true, alpha }),
    backward: (dLogits) => ({
      dx: g.matmul(dLogits, w, { alpha }), // [N, V]·[V, C]
      dw: (added) =>
        added === null
          ? g.matmul(dLogits, x, { transA: true, alpha }) // [V, N]·[N, C]
          : g.tableGradient(dLogits, x, added.tokens, added.rows, alpha),
    }),
  };
}
