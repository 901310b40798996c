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
      dw: weightGradient(g, x, dy),
    }),
  };
}

/**
 * xᵀ·dy. x [N, I], dy [N, O] → [I, O]. ONNX Runtime could read x turned round, but does so again for every piece of the result,
 * a sixth slower than a product of what was turned once. Where x is wide, it is cheaper to turn dy, and the result.
 */
function weightGradient(g: GraphBuilder, x: Value, dy: Value): Value {
  return x.shape[1]! > dy.shape[1]!
    ? g.turned(g.matmul(g.turned(dy), x)) // ([O, N]·[N, I])ᵀ
    : g.matmul(g.turned(x), dy); // [I, N]·[N, O]
}

/**
 * From this vocabulary on, x is turned round for the gradient of the table, and the product afterwards: the logits' gradient is
 * much larger than either. In a smaller one turning gains nothing.
 */
const LARGE_VOCABULARY = 16_384;

/** logits = multiplier · x·Wᵀ. x [N, C], w [V, C] → logits [N, V] */
export function unembed(g: GraphBuilder, x: Value, w: Value, multiplier: number): Operation<LinearGradients> {
  const alpha = multiplier;
  const tableGradient = (dLogits: Value): Value =>
    w.shape[0]! < LARGE_VOCABULARY
      ? g.matmul(dLogits, x, { transA: true, alpha }) // [V, N]·[N, C]
      : g.turned(g.matmul(g.turned(x), dLogits, { alpha })); // ([C, N]·[N, V])ᵀ
  return {
    out: g.matmul(x, w, { transB: true, alpha }),
    backward: (dLogits) => ({
      dx: g.matmul(dLogits, w, { alpha }), // [N, V]·[V, C]
      dw: tableGradient(dLogits),
    }),
  };
}
