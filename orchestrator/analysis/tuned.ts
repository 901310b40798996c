/** What a curve is over, and its optimum sought in: the base learning rate, unless a phase tunes something else. In words. */
import type { TakenName } from "../../schema/axes.ts";

interface Words {
  /** In headings of columns and axes: "log2 LR*". */
  short: string;
  /** "add higher …" */
  plural: string;
  long: string;
  /** "a single …" */
  one: string;
}

export const TUNED: Record<TakenName, Words> = {
  learning_rate: { short: "LR", plural: "learning rates", long: "base learning rate", one: "learning rate" },
  init_std: {
    short: "init_std",
    plural: "values of init_std",
    long: "base init_std",
    one: "value of init_std",
  },
  alpha_input: {
    short: "alpha_input",
    plural: "values of alpha_input",
    long: "alpha_input",
    one: "value of alpha_input",
  },
  alpha_output: {
    short: "alpha_output",
    plural: "values of alpha_output",
    long: "alpha_output",
    one: "value of alpha_output",
  },
};
