/** The unembedding. */
import type { Tape, Value } from "../tape.ts";
import type { Sum } from "./operation.ts";
import { product } from "./product.ts";

/** logits = multiplier · x·Wᵀ. x [N, C], w [V, C] → logits [N, V]; backward gives dx */
export function unembed(
  t: Tape,
  x: Value,
  w: Value,
  multiplier: number,
): { readonly out: Value; backward(dLogits: Value, dw: Sum): Value } {
  const alpha = multiplier;
  const [n, c] = x.shape as [number, number];
  return {
    out: product(t, x, w, t.value([n, w.shape[0]!]), { transB: true, alpha }),
    backward: (dLogits, dw) => {
      const onto = dw.add ? dw.value : null;
      product(t, dLogits, x, dw.value, { transA: true, alpha, onto }); // [V, N]·[N, C]
      return product(t, dLogits, w, t.value([n, c]), { alpha }); // [N, V]·[V, C]
    },
  };
}
