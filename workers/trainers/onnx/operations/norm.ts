/** The two norms over the last axis, each with a gain; LayerNorm also centres and has a bias. */
import type { GraphBuilder, Value } from "../graph.ts";
import type { Operation } from "./operation.ts";

interface RmsNormGradients {
  readonly dx: Value;
  readonly dGain: Value;
}

/** y = gain ∘ x·r, r = 1/√(mean x² + ε) per row. x [N, C], gain [C] → y [N, C] */
export function rmsNorm(g: GraphBuilder, x: Value, gain: Value, eps: number): Operation<RmsNormGradients> {
  const [n, c] = x.shape as [number, number];
  const attributes = { axis: 1, epsilon: { float: eps }, stash_type: 1 };
  const [y, r] = g.nodes("SimplifiedLayerNormalization", [x, gain], [x.shape, [n, 1]], { attributes });
  return {
    out: y!,
    backward: (dy) => {
      const normalized = g.mul(x, r!); // x̂ [N, C]
      const product = g.mul(dy, normalized); // [N, C]
      // mean over C of dx̂ ∘ x̂ with dx̂ = dy ∘ gain, as a matrix product: [N, C]·[C, 1]
      const mean = g.matmul(product, g.reshape(gain, [c, 1]), { alpha: 1 / c });
      return {
        dx: g.mul(g.sub(g.mul(dy, gain), g.mul(normalized, mean)), r!),
        dGain: g.reshape(g.reduce("ReduceSum", product, 0), [c]),
      };
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
): Operation<LayerNormGradients> {
  const [n, c] = x.shape as [number, number];
  const attributes = { axis: 1, epsilon: { float: eps }, stash_type: 1 };
  const shapes = [x.shape, [n, 1], [n, 1]];
  const [y, mean, r] = g.nodes("LayerNormalization", [x, gain, bias], shapes, { attributes });
  return {
    out: y!,
    backward: (dy) => {
      const normalized = g.mul(g.sub(x, mean!), r!); // x̂ [N, C]
      const product = g.mul(dy, normalized); // [N, C]
      const column = g.reshape(gain, [c, 1]);
      const meanProduct = g.matmul(product, column, { alpha: 1 / c }); // mean of dx̂ ∘ x̂, [N, 1]
      const meanGradient = g.matmul(dy, column, { alpha: 1 / c }); // mean of dx̂, [N, 1]
      const centred = g.sub(g.mul(dy, gain), g.mul(normalized, meanProduct));
      return {
        dx: g.mul(g.sub(centred, meanGradient), r!),
        dGain: g.reshape(g.reduce("ReduceSum", product, 0), [c]),
        dBias: g.reshape(g.reduce("ReduceSum", dy, 0), [c]),
      };
    },
  };
}
