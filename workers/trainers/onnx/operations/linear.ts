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
      dw: transposedProduct(g, x, dy), // [I, N]·[N, O]
    }),
  };
}

/** logits = multiplier · x·Wᵀ. x [N, C], w [V, C] → logits [N, V] */
export function unembed(g: GraphBuilder, x: Value, w: Value, multiplier: number): Operation<LinearGradients> {
  return {
    out: g.matmul(x, w, { transB: true, alpha: multiplier }),
    backward: (dLogits) => ({
      dx: g.matmul(dLogits, w, { alpha: multiplier }), // [N, V]·[V, C]
      dw: transposedProduct(g, dLogits, x, multiplier), // [V, N]·[N, C]
    }),
  };
}

/**
 * alpha · aᵀ·b. a [N, I], b [N, O] → [I, O]. ONNX Runtime reads its left operand column by column here, again for every few
 * columns of the right one, so the narrower of the two goes left; turning the product round afterwards costs little.
 */
function transposedProduct(g: GraphBuilder, a: Value, b: Value, alpha = 1): Value {
  if (a.shape[1]! <= b.shape[1]!) return g.matmul(a, b, { transA: true, alpha });
  return g.transpose(g.matmul(b, a, { transA: true, alpha }), [1, 0]);
}
