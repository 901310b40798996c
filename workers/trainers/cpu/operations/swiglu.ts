/** The gated activation of the feed-forward block (Shazeer, arXiv 2002.05202). */
import { sizeOf, type Tape, type Value } from "../tape.ts";
import { Rows } from "./rows.ts";

interface Swiglu {
  readonly out: Rows;
  /** dGate and dUp, which take the places of gate and up. */
  backward(dy: Rows): { readonly dGate: Rows; readonly dUp: Rows };
}

/** y = silu(gate) ∘ up, silu(x) = x·σ(x). gate, up [N, F] → y [N, F], in the layout of the two */
export function swiglu(t: Tape, gate: Rows, up: Rows): Swiglu {
  const inTokens = gate.areTokens || up.areTokens;
  const values = (rows: Rows): Value => (inTokens ? rows.tokens() : rows.panels());
  const rowsOf = (value: Value): Rows => (inTokens ? Rows.tokens(t, value) : Rows.panels(t, gate.n, value));
  const [g, u] = [values(gate), values(up)];
  const sizes = [sizeOf(g.shape)];
  const out = t.value(g.shape);
  t.call("swiglu", [g, u, out], sizes);
  return {
    out: rowsOf(out),
    // silu′ = σ·(1 + x·(1 − σ))
    backward: (dy) => {
      t.call("swiglu_gradient", [values(dy), g, u], sizes);
      return { dGate: rowsOf(g), dUp: rowsOf(u) };
    },
  };
}
