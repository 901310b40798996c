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
 * From this width of the result on, a factor is turned round beforehand. Below it is hardly faster; and ONNX Runtime adds up
 * such a product in another order where a thread's share is 64 columns or fewer, which would make the last bits depend on the
 * number of threads (up to 255 of them are safe here).
 */
const WIDE = 16_384;

/**
 * alpha · aᵀ·b. a [N, I], b [N, O] → [I, O]. The narrower of the two is the one that is read column by column or turned round;
 * turning the product round afterwards costs little.
 */
function transposedProduct(g: GraphBuilder, a: Value, b: Value, alpha = 1): Value {
  const [inputs, outputs] = [a.shape[1]!, b.shape[1]!];
  const product = (left: Value, right: Value): Value =>
    Math.max(inputs, outputs) >= WIDE
      ? g.matmul(g.turned(left), right, { alpha })
      : g.matmul(left, right, { transA: true, alpha });
  return inputs <= outputs ? product(a, b) : g.transpose(product(b, a), [1, 0]);
}
