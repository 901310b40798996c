/** The gated activation of the feed-forward block (Shazeer, arXiv 2002.05202). */
import type { GraphBuilder, Value } from "../graph.ts";
import type { Operation } from "./operation.ts";

interface SwigluGradients {
  readonly dGate: Value;
  readonly dUp: Value;
}

/** y = silu(gate) ∘ up, silu(x) = x·σ(x). gate, up [N, F] → y [N, F] */
export function swiglu(g: GraphBuilder, gate: Value, up: Value): Operation<SwigluGradients> {
  const sigmoid = g.unary("Sigmoid", gate);
  const silu = g.mul(gate, sigmoid);
  return {
    out: g.mul(silu, up),
    backward: (dy) => {
      // silu′ = σ + silu·(1 − σ) = (σ + silu) − silu·σ
      const slope = g.sub(g.add(sigmoid, silu), g.mul(silu, sigmoid));
      return { dGate: g.mul(g.mul(dy, up), slope), dUp: g.mul(dy, silu) };
    },
  };
}
