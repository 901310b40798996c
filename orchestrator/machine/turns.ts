/**
 * Long work of a process that has others waiting: a generator that yields wherever it may be interrupted. Whatever came in
 * meanwhile (requests, events of workers) is served between its turns; and of several works one at a time has its turn then, so
 * that nobody waits for a turn of each.
 */
import { setImmediate } from "node:timers/promises";

const TURN_MS = 10;

/** Settles once whoever waits already has had a turn, and what came in after each was served. */
let queue: Promise<unknown> = Promise.resolve();

const nextTurn = (): Promise<unknown> => {
  queue = queue.then(() => setImmediate());
  return queue;
};

export async function inTurns<T>(work: Generator<void, T>): Promise<T> {
  while (true) {
    const until = performance.now() + TURN_MS;
    do {
      const { done, value } = work.next();
      if (done) return value;
    } while (performance.now() < until);
    await nextTurn();
  }
}
