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
  epsilon: number,
): Norm<LayerNormGradients> {
  const [n, c] = x.shape as [number, number];
  const shapes = [x.shape, [n, 1], [n, 1]];
  const [y, mean, r] = g.compiled("LayerNorm", [x, gain, bias], shapes, { epsilon });
  return {
    out: y!,
    // As for RMSNorm, and dBias = Σ dy; centring x takes the mean of dx̂ away as well.
    backward: (dy, residual) => {
      const inputs = [dy, x, gain, mean!, r!, ...(residual ? [residual] : [])];
      const [dx, dGain, dBias] = g.compiled("LayerNormGradient", inputs, [x.shape, [c], [c]]);
      return { dx: dx!, dGain: dGain!, dBias: dBias! };
    },
  };
}
