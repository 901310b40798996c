/** The two norms over the last axis, each with a gain; LayerNorm also centres and has a bias. */
import type { GraphBuilder, Value } from "../graph.ts";

export interface Norm<Gradients> {
  readonly out: Value;
  /** @param residual what else reaches x, past the block that the norm begins: added to dx */
  backward(dy: Value, residual: Value | null): Gradients;
}

interface RmsNormGradients {
  readonly dx: Value;
  readonly dGain: Value;
}

/** y = gain ∘ x·r, r = 1/√(mean x² + ε) per row. x [N, C], gain [C] → y [N, C] */
export function rmsNorm(g: GraphBuilder, x: Value, gain: Value, epsilon: number): Norm<RmsNormGradients> {
  const [n, c] = x.shape as [number, number];
  const [y, r] = g.compiled("RmsNorm", [x, gain], [x.shape, [n, 1]], { epsilon });
  return {
    out: y!,
    // With x̂ = x·r and dx̂ = dy ∘ gain: dx = (dx̂ − x̂·mean(dx̂ ∘ x̂))·r, and dGain = Σ dy ∘ x̂ over tokens.
    backward: (dy, residual) => {
      const inputs = [dy, x, gain, r!, ...(residual ? [residual] : [])];
      const [dx, dGain] = g.compiled("RmsNormGradient", inputs, [x.shape, [c]]);
      return { dx: dx!, dGain: dGain! };
    },
  };
}

interface LayerNormGradients extends RmsNormGradients {
  readonly dBias: Value;
}

/** y = gain ∘ (x − mean)·r + bias, r = 1/√(variance + ε) per row. x [N, C], gain [C], bias [C] → y [N, C] */
export function layerNorm(
  g: GraphBuilder,
  x: Value,
  gain: Value,
  bias: Value,
  eps: number,
): Norm<LayerNormGradients> {
  const [n, c] = x.shape as [number, number];
  const attributes = { axis: 1, epsilon: { float: eps }, stash_type: 1 };
  const shapes = [x.shape, [n, 1], [n, 1]];
  const [y, mean, r] = g.nodes("LayerNormalization", [x, gain, bias], shapes, { attributes });
  return {
    out: y!,
    backward: (dy, residual) => {
      const normalized = g.mul(g.sub(x, mean!), r!); // x̂ [N, C]
      const product = g.mul(dy, normalized); // [N, C]
      const column = g.reshape(gain, [c, 1]);
      const meanProduct = g.matmul(product, column, { alpha: 1 / c }); // mean of dx̂ ∘ x̂, [N, 1]
      const meanGradient = g.matmul(dy, column, { alpha: 1 / c }); // mean of dx̂, [N, 1]
      const centred = g.sub(g.mul(dy, gain), g.mul(normalized, meanProduct));
      const dx = g.mul(g.sub(centred, meanGradient), r!);
      return {
        dx: residual ? g.add(dx, residual) : dx,
        dGain: g.reshape(g.reduce("ReduceSum", product, 0), [c]),
        dBias: g.reshape(g.reduce("ReduceSum", dy, 0), [c]),
      };
    },
  };
}
