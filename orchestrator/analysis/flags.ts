/** What the flag of an optimum means, in words. */
import type { TakenName } from "../../schema/sweep/hyperparameters.ts";
import { TUNED } from "./tuned.ts";
import type { Optimum, OptimumFlag } from "./types.ts";

/** Why an optimum is no estimate, in words; empty when it is one. */
export function explainFlag(optimum: Optimum, tuned: TakenName = "learning_rate"): string {
  const values = tuned === "learning_rate" ? "LRs" : TUNED[tuned].plural;
  const notes: Record<OptimumFlag, string> = {
    bracketed: "",
    "at low edge": `may lie below the grid: add lower ${values}, or let extend do it`,
    "at high edge": `may lie above the grid: add higher ${values}, or let extend do it`,
    "edge is divergence": `next to divergence: add ${values} between`,
    "too few points": `too few ${values} to fit`,
    ambiguous: `two places may be the best: ${optimum.places.map((p) => `2^${p.log2_tuned.toFixed(1)}`).join(" and ")}`,
    "too noisy": "noise hides the minimum: add seeds",
    incomplete: "runs missing beside the best",
  };
  return notes[optimum.flag];
}
