/** What the flag of an optimum means, in words. */
import type { TakenName } from "../../schema/sweep/hyperparameters.ts";
import { TUNED } from "./tuned.ts";
import type { Optimum, OptimumFlag } from "./types.ts";

type Told = { tuned?: TakenName; searched?: boolean; open?: number };

/** Whether too few values trained since those above them diverge: lower ones would train. */
export const divergesAbove = ({
  flag,
  log2_tuned_high,
}: Pick<Optimum, "flag" | "log2_tuned_high">): boolean =>
  flag === "too few points" && log2_tuned_high !== null;

/** Whether an optimum takes more values than the curve has, and nothing says where they should lie. */
export const hasTooFew = (optimum: Pick<Optimum, "flag" | "log2_tuned_high">): boolean =>
  optimum.flag === "too few points" && !divergesAbove(optimum);

/**
 * Why an optimum is no estimate, in words; when it is one, whether it lies above a divergence, else empty.
 * @param told what the optimum is of, whether a search chooses its curve's runs: then nobody else need, and how many runs are still to
 * be trained
 */
export function explainFlag(optimum: Optimum, told: Told = {}): string {
  const { tuned = "learning_rate", searched = false, open = 0 } = told;
  const values = tuned === "learning_rate" ? "LRs" : TUNED[tuned].plural;
  const beyond = (where: string, which: string) =>
    searched
      ? `may lie ${where} the ${values} tried: the search goes there where that decides`
      : `may lie ${where} the grid: add ${which} ${values}, or let extend do it`;
  const notes: Record<OptimumFlag, string> = {
    bracketed: passedDivergence(optimum),
    "at low edge": beyond("below", "lower"),
    "at high edge": beyond("above", "higher"),
    "edge is divergence": `next to divergence: add ${values} between`,
    "too few points": divergesAbove(optimum)
      ? `all ${optimum.points === 0 ? "" : `but ${optimum.points} `}${values} diverge: ${searched ? "the search tries lower ones" : `add lower ${values}, or let extend do it`}`
      : `too few ${values} to fit`,
    ambiguous: `two places may be the best: ${optimum.places.map((p) => `2^${p.log2_tuned.toFixed(1)}`).join(" and ")}`,
    "too noisy": "noise hides the minimum: add seeds",
    incomplete: open > 0 ? `still training, ${open} to come` : "runs missing beside the best",
  };
  return notes[optimum.flag];
}

/** That runs diverged below an optimum is worth a look: a seed that trains nowhere, or a fault. */
function passedDivergence({ stability_edge, log2_tuned }: Optimum): string {
  const isBelow = stability_edge !== null && log2_tuned !== null && stability_edge < log2_tuned;
  return isBelow
    ? `runs diverged at 2^${stability_edge.toFixed(1)} too, and are left out: higher ones trained`
    : "";
}
