/** The loss: negative log-likelihood of the next token. */
import type { Tape, Value } from "../tape.ts";

/**
 * nats = log Σ exp(logits) − logits[target]. logits [N, V], targets [N] int32 → nats [N]
 * @param gradient whether that of the sum over all tokens, softmax(logits) − 1 at the target, takes the place of the logits
 */
export function crossEntropy(t: Tape, logits: Value, targets: Value, nats: Value, gradient: boolean): void {
  const [n, v] = logits.shape as [number, number];
  t.call("cross_entropy", [logits, targets, nats], [n, v, Number(gradient)]);
}
