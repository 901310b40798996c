/** Matrix products with weights: the projections, and the unembedding. */
import type { GraphBuilder, Value } from "../graph.ts";
import type { Operation } from "./operation.ts";

interface LinearGradients {
  readonly dx: Value;
  readonly dw: Value;
}

/** y = x·W. x [N, I], w [I, O] → y [N, O] */
export function linear(g: GraphBuilder, x: Value, w: Value): Operation<LinearGradients> {
  return {
    out: g.matmul(x, w),
    backward: (dy) => ({
      dx: g.matmul(dy, w, { transB: true }), // [N, O]·[O, I]
      dw: g.matmul(x, dy, { transA: true }), // [I, N]·[N, O]
    }),
  };
}

/** logits = multiplier · x·Wᵀ. x [N, C], w [V, C] → logits [N, V] */
export function unembed(g: GraphBuilder, x: Value, w: Value, multiplier: number): Operation<LinearGradients> {
  return {
    out: g.matmul(x, w, { transB: true, alpha: multiplier }),
    backward: (dLogits) => ({
      dx: g.matmul(dLogits, w, { alpha: multiplier }), // [N, V]·[V, C]
      dw: g.matmul(dLogits, x, { transA: true, alpha: multiplier }), // [V, N]·[N, C]
    }),
  };
}
