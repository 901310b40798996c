/** Long works beside each other: what waits between their turns waits for one of them, not for a turn of each. */
import { setImmediate } from "node:timers/promises";
import { expect, it } from "vitest";
import { inTurns } from "../../../orchestrator/machine/turns.ts";

it("of several works one has its turn at a time", async () => {
  let turns = 0;
  function* work(): Generator<void, number> {
    for (let i = 0; i < 5; i++) {
      turns++;
      // Longer than a turn.
      const until = performance.now() + 20;
      while (performance.now() < until);
      yield;
    }
    return turns;
  }
  const works = Promise.all([work(), work(), work(), work()].map(inTurns));
  let going = true;
  void works.then(() => {
    going = false;
  });
  const between: number[] = [];
  while (going) {
    const before = turns;
    await setImmediate();
    between.push(turns - before);
  }
  expect((await works).length).toBe(4);
  expect(turns).toBe(20);
  expect(Math.max(...between)).toBe(1);
});
