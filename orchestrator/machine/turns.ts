/**
 * Long work of a process that has others waiting: a generator that yields wherever it may be interrupted. Whatever came in
 * meanwhile (requests, events of workers) is served between its turns.
 */
import { setImmediate } from "node:timers/promises";

const TURN_MS = 10;

export async function inTurns<T>(work: Generator<void, T>): Promise<T> {
  while (true) {
    const until = performance.now() + TURN_MS;
    do {
      const { done, value } = work.next();
      if (done) return value;
    } while (performance.now() < until);
    await setImmediate();
  }
}
