/** The token embedding: a row of the table per token. */
import { type GraphBuilder, sizeOf, type Value } from "../graph.ts";
import type { TableGradient } from "./linear.ts";

export interface Embedding {
  readonly out: Value;
  /** The gradient of the table; together with the unembedding's where that is the same table. */
  backward(dOut: Value, unembedding: TableGradient | null): Value;
}

/** x = multiplier · W[token]. tokens [N] int32, w [V, C] → x [N, C] */
export function embed(g: GraphBuilder, tokens: Value, w: Value, multiplier: number): Embedding {
  const n = sizeOf(tokens.shape);
  const c = w.shape[1]!;
  return {
    out: g.scale(g.node("Gather", [w, tokens], [n, c], { attributes: { axis: 0 } }), multiplier),
    backward: (dx, unembedding) => {
      const rows = g.scale(dx, multiplier);
      if (unembedding !== null) return unembedding({ tokens, rows });
      const zeros = g.node("Expand", [g.floats([1, 1], [0]), g.integers(w.shape)], w.shape);
      // ScatterND takes int64 only; its additions run in token order, so the sum is the same every time.
      const cast = g.node("Cast", [tokens], [n], { type: "int64", attributes: { to: 7 } });
      return g.node("ScatterND", [zeros, g.reshape(cast, [n, 1]), rows], w.shape, {
        attributes: { reduction: "add" },
      });
    },
  };
}
