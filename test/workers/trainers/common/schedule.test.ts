import { expect, test } from "vitest";
import type { Plan } from "../../../../schema/wire/plan.ts";
import { scheduleFactor } from "../../../../workers/trainers/common/schedule.ts";

const factors = (schedule: Plan["schedule"], steps: number): number[] =>
  Array.from({ length: steps }, (_, i) => scheduleFactor({ schedule, steps }, i + 1));

const expectFactors = (actual: number[], expected: number[]): void => {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((x, i) => {
    expect(x).toBeCloseTo(expected[i]!, 12);
  });
};

test("linear decay after a warm-up, worked by hand", () => {
  // Four warm-up steps, then four equal steps of (1 − 0.2)/4 down to 0.2 at the last step.
  expectFactors(
    factors({ warmup_steps: 4, decay: "linear", final_fraction: 0.2 }, 8),
    [0.25, 0.5, 0.75, 1, 0.8, 0.6, 0.4, 0.2],
  );
});

test("cosine decay after a warm-up, worked by hand", () => {
  // cos 0, 60, 120, 180 degrees: 1, 0.5, −0.5, −1; factor 0.1 + 0.9·(1 + cos)/2.
  expectFactors(
    factors({ warmup_steps: 2, decay: "cosine", final_fraction: 0.1 }, 5),
    [0.5, 1, 0.775, 0.325, 0.1],
  );
});

test("without a warm-up the first step is at the peak and the last at the final fraction", () => {
  expectFactors(factors({ warmup_steps: 0, decay: "linear", final_fraction: 0 }, 5), [1, 0.75, 0.5, 0.25, 0]);
});

test("constant stays at the peak", () => {
  expectFactors(factors({ warmup_steps: 2, decay: "constant", final_fraction: 0.1 }, 4), [0.5, 1, 1, 1]);
});

test("a warm-up as long as the run, or longer, never decays", () => {
  expectFactors(factors({ warmup_steps: 4, decay: "cosine", final_fraction: 0 }, 4), [0.25, 0.5, 0.75, 1]);
  expectFactors(factors({ warmup_steps: 8, decay: "linear", final_fraction: 0 }, 2), [0.125, 0.25]);
});

test("a run of one step trains at the peak", () => {
  expectFactors(factors({ warmup_steps: 0, decay: "linear", final_fraction: 0 }, 1), [1]);
});
