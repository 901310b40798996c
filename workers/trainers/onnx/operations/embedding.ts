/** The token embedding: a row of the table per token. */
import { type GraphBuilder, sizeOf, type Value } from "../graph.ts";

export interface Embedding {
  readonly out: Value;
  /**
   * The gradient of the table, added onto `onto`: the unembedding's gradient of the same table when they are tied, else
   * nothing.
   */
  backward(dOut: Value, onto: Value | null): Value;
}

/** x = multiplier · W[token]. tokens [N] int32, w [V, C] → x [N, C] */
export function embed(g: GraphBuilder, tokens: Value, w: Value, multiplier: number): Embedding {
  const n = sizeOf(tokens.shape);
  const c = w.shape[1]!;
  return {
    out: g.scale(g.node("Gather", [w, tokens], [n, c], { attributes: { axis: 0 } }), multiplier),
    backward: (dx, onto) => {
      const base = onto ?? g.node("Expand", [g.floats([1, 1], [0]), g.integers(w.shape)], w.shape);
      // ScatterND takes int64 only; its additions run in token order, so the sum is the same every time.
      const cast = g.node("Cast", [tokens], [n], { type: "int64", attributes: { to: 7 } });
      const rows = g.reshape(cast, [n, 1]);
      return g.node("ScatterND", [base, rows, g.scale(dx, multiplier)], w.shape, {
        attributes: { reduction: "add" },
      });
    },
  };
}
