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
  const y = g.mul(silu, up);
  return {
    out: y,
    backward: (dy) => {
      // silu′ = σ + silu − silu·σ, so up·silu′ = σ·up + y − σ·y
      const slope = g.add(g.mul(sigmoid, g.sub(up, y)), y);
      return { dGate: g.mul(dy, slope), dUp: g.mul(dy, silu) };
    },
  };
}
