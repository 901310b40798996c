/**
 * A differentiable operation: what it computes, and beside it how the gradient of the loss with respect to its output
 * becomes the gradients with respect to its inputs. `backward` adds nodes to the same graph and reuses the values that
 * the forward pass left there.
 */
import type { Value } from "../graph.ts";

export interface Operation<Gradients> {
  readonly out: Value;
  backward(dOut: Value): Gradients;
}
