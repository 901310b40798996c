/** What a curve is over, and its optimum sought in: the base learning rate, unless a phase tunes something else. In words. */
import { TAKEN, type TakenName, type Words, wordsOf } from "../../schema/sweep/hyperparameters.ts";

export const TUNED = Object.fromEntries(TAKEN.map((name) => [name, wordsOf(name)])) as Record<
  TakenName,
  Words
>;
