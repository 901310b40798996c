/**
 * A differentiable operation: what it computes, and beside it how the gradient of the loss with respect to its output
 * becomes the gradients with respect to its inputs. `backward` adds calls to the same tape and reads the values that the
 * forward pass left in the arena.
 */
import type { Value } from "../tape.ts";

/** Where a parameter's gradient goes. */
export interface Sum {
  readonly value: Value;
  /** It is added to what is there; otherwise it takes its place. */
  readonly add: boolean;
}
