/** The loss: negative log-likelihood of the next token. */
import type { GraphBuilder, Value } from "../graph.ts";

export interface CrossEntropy {
  /** Nats of each token, [N, 1]. */
  readonly out: Value;
  /** Gradient of the sum over all N tokens with respect to the logits, [N, V]: softmax(logits) − 1 at the target. */
  backward(): Value;
}

/** nll = log Σ exp(logits) − logits[target]. logits [N, V], targets [N] int32 */
export function crossEntropy(g: GraphBuilder, logits: Value, targets: Value): CrossEntropy {
  const [gradient, nll] = g.compiled(
    "CrossEntropy",
    [logits, targets],
    [logits.shape, [logits.shape[0]!, 1]],
  );
  return { out: nll!, backward: () => gradient! };
}
