/** The gated activation of the feed-forward block (Shazeer, arXiv 2002.05202). */
import type { GraphBuilder, Value } from "../graph.ts";
import type { Operation } from "./operation.ts";

interface SwigluGradients {
  readonly dGate: Value;
  readonly dUp: Value;
}

/** y = silu(gate) ∘ up, silu(x) = x·σ(x). gate, up [N, F] → y [N, F] */
export function swiglu(g: GraphBuilder, gate: Value, up: Value): Operation<SwigluGradients> {
  const { shape } = gate;
  const [y] = g.compiled("Swiglu", [gate, up], [shape]);
  return {
    out: y!,
    // silu′ = σ·(1 + x·(1 − σ))
    backward: (dy) => {
      const [dGate, dUp] = g.compiled("SwigluGradient", [dy, gate, up], [shape, shape]);
      return { dGate: dGate!, dUp: dUp! };
    },
  };
}
