/** The token embedding: a row of the table per token. */
import { sizeOf, type Tape, type Value } from "../tape.ts";
import type { Sum } from "./operation.ts";

/** x = multiplier · W[token]. tokens [N] int32, w [V, C] → x [N, C] */
export function embed(
  t: Tape,
  tokens: Value,
  w: Value,
  multiplier: number,
): { readonly out: Value; backward(dx: Value, dw: Sum): void } {
  const n = sizeOf(tokens.shape);
  const [v, c] = w.shape as [number, number];
  const out = t.value([n, c]);
  t.call("embed", [tokens, w, out], [n, c], [multiplier]);
  return {
    out,
    // Only some rows of dW have a token.
    backward: (dx, dw) => {
      if (!dw.add) t.call("zero", [dw.value], [v, c]);
      t.call("embed_gradient", [tokens, dx, dw.value], [n, c], [multiplier]);
    },
  };
}
