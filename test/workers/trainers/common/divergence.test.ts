import { expect, test } from "vitest";
import {
  initialLossState,
  observeStep,
  type Verdict,
} from "../../../../workers/trainers/common/divergence.ts";

/** The verdict after each loss. */
function verdicts(losses: readonly number[], patience: number): Verdict[] {
  let state = initialLossState;
  return losses.map((loss) => {
    const observed = observeStep(state, loss, 1, patience);
    state = observed.state;
    return observed.verdict;
  });
}

test("a loss above the first for `patience` steps in a row is divergence, not before", () => {
  expect(verdicts([5, 6, 6, 6], 3)).toEqual(["training", "training", "training", "above-initial"]);
});

test("one step at or below the first loss starts the count anew", () => {
  expect(verdicts([5, 6, 6, 5, 6, 6], 3)).toEqual(new Array(6).fill("training"));
});

test("a non-finite loss is divergence at once, and leaves the last finite one on record", () => {
  expect(verdicts([5, Number.NaN], 3)).toEqual(["training", "non-finite"]);
  expect(verdicts([Number.POSITIVE_INFINITY], 3)).toEqual(["non-finite"]);
  const { state } = observeStep(observeStep(initialLossState, 5, 1, 3).state, Number.NaN, 1, 3);
  expect(state.lastFinite).toBe(5);
});

test("a non-finite gradient norm is divergence at its own step, whose loss still counts as finite", () => {
  const { state, verdict } = observeStep(initialLossState, 5, Number.POSITIVE_INFINITY, 3);
  expect(verdict).toBe("non-finite");
  expect(state.lastFinite).toBe(5);
});
