/** What a hyperparameter alone explains of a search's losses, on data of which that is known. */
import { expect, test } from "vitest";
import { importance } from "../../../orchestrator/analysis/importance.ts";

const xs = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

test("ranks that are a parabola, or a line, of it are explained whole", () => {
  expect(importance(xs, xs)).toBeCloseTo(1, 10);
  expect(
    importance(
      xs,
      xs.map((x) => Math.exp(x)),
    ),
  ).toBeCloseTo(1, 10);
});

test("what has nothing to do with it is worth nothing: R² = 0 gives less than 0, which is shown as 0", () => {
  // Each value twice, with ranks that are the same at each value on the mean.
  const twice = [...xs, ...xs];
  const losses = [...xs.map((x) => x), ...xs.map((x) => 9 - x)];
  expect(importance(twice, losses)).toBe(0);
});

test("a diverged run is the worst of all, and too few runs say nothing", () => {
  const diverged = importance(xs, [0, 1, 2, 3, 4, 5, 6, 7, 8, Number.POSITIVE_INFINITY]);
  expect(diverged).toBeCloseTo(1, 10);
  expect(importance([1, 2, 3], [1, 2, 3])).toBeNull();
  expect(
    importance(
      xs,
      xs.map(() => 1),
    ),
  ).toBeNull();
});
