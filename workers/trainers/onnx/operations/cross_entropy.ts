/** The loss: negative log-likelihood of the next token. */
import type { GraphBuilder, Value } from "../graph.ts";

export interface CrossEntropy {
  /** Nats of each token, [N, 1]. */
  readonly out: Value;
  /** Gradient of the sum over all N tokens with respect to the logits, [N, V]. */
  backward(): Value;
}

/** nll = log Σ exp(logits) − logits[target]. logits [N, V], targets [N] int32 */
export function crossEntropy(g: GraphBuilder, logits: Value, targets: Value): CrossEntropy {
  const [n] = logits.shape as [number];
  const column = g.reshape(targets, [n, 1]);
  const attributes = { axis: 1 };
  const probabilities = g.node("Softmax", [logits], logits.shape, { attributes }); // [N, V]
  // The largest probability is exp(max − log Σ exp), at least 1/V: its logarithm cannot underflow, the target's could.
  const logLargest = g.unary("Log", g.reduce("ReduceMax", probabilities, 1));
  const logSumExp = g.sub(g.reduce("ReduceMax", logits, 1), logLargest);
  const target = g.node("GatherElements", [logits, column], [n, 1], { attributes });
  return {
    out: g.sub(logSumExp, target),
    backward: () => {
      const minusOne = g.node("Expand", [g.floats([1, 1], [-1]), g.integers([n, 1])], [n, 1]);
      return g.node("ScatterElements", [probabilities, column, minusOne], logits.shape, {
        attributes: { axis: 1, reduction: "add" },
      });
    },
  };
}
