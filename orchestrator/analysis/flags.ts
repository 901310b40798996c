/** What the flag of an optimum means, in words. */
import type { TakenName } from "../../schema/sweep/hyperparameters.ts";
import { TUNED } from "./tuned.ts";
import type { Optimum, OptimumFlag } from "./types.ts";

type Told = { tuned?: TakenName; searched?: boolean };

/**
 * Why an optimum is no estimate, in words; empty when it is one.
 * @param told what the optimum is of, and whether a search chooses its curve's runs: then nobody else need
 */
export function explainFlag(optimum: Optimum, told: Told = {}): string {
  const { tuned = "learning_rate", searched = false } = told;
  const values = tuned === "learning_rate" ? "LRs" : TUNED[tuned].plural;
  const beyond = (where: string, which: string) =>
    searched
      ? `may lie ${where} the ${values} tried: the search goes there where that decides`
      : `may lie ${where} the grid: add ${which} ${values}, or let extend do it`;
  const notes: Record<OptimumFlag, string> = {
    bracketed: "",
    "at low edge": beyond("below", "lower"),
    "at high edge": beyond("above", "higher"),
    "edge is divergence": `next to divergence: add ${values} between`,
    "too few points": `too few ${values} to fit`,
    ambiguous: `two places may be the best: ${optimum.places.map((p) => `2^${p.log2_tuned.toFixed(1)}`).join(" and ")}`,
    "too noisy": "noise hides the minimum: add seeds",
    incomplete: "runs missing beside the best",
  };
  return notes[optimum.flag];
}
