/** Which plans are taken to train equally fast: the forecasts of `plan` and of the dashboard rest on one measurement for each. */
import { expect, test } from "vitest";
import { speedKey } from "../../../orchestrator/submission/speed.ts";
import { makePlan } from "../../workers/trainers/support.ts";

const keyAt = (density: number): string => speedKey(makePlan({ density }));

test("densities of which the trainer keeps other numbers of weights have speeds of their own", () => {
  const densities = [1, 0.75, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 64];
  expect(new Set(densities.map(keyAt)).size).toBe(densities.length);
  expect(keyAt(0.75)).toBe(keyAt(0.6));
});

test("a density drawn at random shares the measurement of its neighbours, and so does any rate or seed", () => {
  expect(keyAt(0.125)).toBe(keyAt(0.128));
  const keys = Array.from({ length: 500 }, (_, i) => keyAt((i + 1) / 1000));
  expect(new Set(keys).size).toBeLessThan(40);
  const plan = makePlan({ density: 0.25 });
  const other = {
    ...plan,
    seed: 8,
    groups: plan.groups.map((g) => ({ ...g, learning_rate: 1, init_std: 0.5 })),
  };
  expect(speedKey(other)).toBe(speedKey(plan));
});
