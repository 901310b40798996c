/**
 * Long work of a process that has others waiting: a generator that yields wherever it may be interrupted. In turns, whatever came
 * in meanwhile (requests, events of workers) is served between them; at once, where nobody waits or a transaction is open.
 */
import { setImmediate } from "node:timers/promises";

const TURN_MS = 10;

export function atOnce<T>(work: Generator<void, T>): T {
  while (true) {
    const { done, value } = work.next();
    if (done) return value;
  }
}

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
