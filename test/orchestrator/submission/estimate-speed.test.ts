/** The two rates behind the forecast of `plan`, from two measurements; numbers worked by hand. */
import { expect, test } from "vitest";
import { solve } from "../../../orchestrator/submission/estimate-speed.ts";
import { makePlan } from "../../workers/trainers/support.ts";

// 16,920 FLOPs a token where all weights exist. At density ¼, 3,456 of weights that are kept one by one, and 3,096 of the rest.
const dense = makePlan();
const sparse = makePlan({ density: 0.25 });

test("1,000 FLOPs a second of dense products, 100 of kept weights", () => {
  const rates = solve(dense, sparse, (plan) => (plan === dense ? 16.92 : 3.096 + 34.56));
  expect(rates.dense).toBeCloseTo(1000, 6);
  expect(rates.kept).toBeCloseTo(100, 6);
});

test("one shape alone, or a sparse one that seems to take less than no time for its kept weights: one rate each", () => {
  const alone = solve(dense, dense, () => 16.92);
  expect(alone.dense).toBeCloseTo(1000, 6);
  expect(alone.kept).toBeCloseTo(1000, 6);
  const noisy = solve(dense, sparse, (plan) => (plan === dense ? 16.92 : 1));
  expect(noisy.dense).toBeCloseTo(1000, 6);
  expect(noisy.kept).toBeCloseTo(6552, 6);
});
