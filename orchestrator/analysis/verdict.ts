/**
 * Does the optimum transfer along an axis? An equivalence test (two one-sided tests, Schuirmann 1987) of every cell's
 * drift from the base against a margin: shown to be within, shown to be beyond, or not decided, and then how many more
 * seeds would decide. Sentences are in sentence.ts.
 */
import type { TakenName } from "../../schema/axes.ts";
import { readCurve } from "./curve.ts";
import type { Axis } from "./groups.ts";
import { noiseOfOthers, withMoreSeeds } from "./noise.ts";
import { fitCurve } from "./optimum.ts";
import { verdictSentence } from "./sentence.ts";
import { drift, regret } from "./transfer.ts";
import type { Cell, CellVerdict, Drift, Noise, Optimum, Verdict } from "./types.ts";

export type VerdictOptions = {
  /** What the cells differ in, and names of the coordinates that move with it; only words depend on them. */
  axis: Axis;
  tied?: readonly string[];
  /** What the optima are of; only words depend on it. The learning rate by default. */
  tuned?: TakenName;
  /** Octaves; 0.5 by default. */
  margin?: number | undefined;
  /** As for fitOptimum. */
  noise?: Noise | undefined;
  /** Runs of the cells that are still to be trained; until there are none it is not worked out what more would decide. */
  open?: number;
};

export const DEFAULT_MARGIN = 0.5;

/** @param cells the other cells of the axis; the base itself among them is passed over */
export function verdict(cells: readonly Cell[], base: Cell, options: VerdictOptions): Verdict {
  const margin = options.margin ?? DEFAULT_MARGIN;
  const others = cells.filter((c) => c !== base);
  const judged = others.map((cell) => {
    const d = drift(cell.optimum, base.optimum);
    return { cell, drift: d, verdict: judgeDrift(d, margin), regret: regret(cell, base.optimum, options) };
  });
  const overall = combine(judged.map((j) => j.verdict));
  const undecided = judged.filter((j) => j.verdict === "inconclusive").map((j) => j.cell);
  const open = options.open ?? 0;
  const isUndecided = overall === "inconclusive" && open === 0;
  const result: Omit<Verdict, "sentence"> = {
    verdict: overall,
    margin,
    open,
    cells: judged,
    within: widest(judged.map((j) => j.drift)),
    more_seeds: isUndecided ? moreSeeds(undecided, base, margin, options.noise) : null,
  };
  return { ...result, sentence: verdictSentence(result, base, options) };
}

/**
 * transfers: both one-sided tests at 5% reject, so the 90% interval lies inside ±margin. drifts: the 95% interval lies
 * outside. A bound can show a drift, never a transfer.
 */
export function judgeDrift(d: Drift, margin: number): CellVerdict {
  if (d.estimate !== null && d.low_90! > -margin && d.high_90! < margin) return "transfers";
  if ((d.low !== null && d.low > margin) || (d.high !== null && d.high < -margin)) return "drifts";
  return "inconclusive";
}

/** All cells must transfer (an intersection–union test, so no correction for their number); one drift is enough. */
function combine(verdicts: CellVerdict[]): CellVerdict {
  if (verdicts.includes("drifts")) return "drifts";
  return verdicts.length > 0 && verdicts.every((v) => v === "transfers") ? "transfers" : "inconclusive";
}

function widest(drifts: Drift[]): number | null {
  let within = 0;
  for (const { low_90, high_90 } of drifts) {
    if (low_90 === null || high_90 === null) return null;
    within = Math.max(within, Math.abs(low_90), Math.abs(high_90));
  }
  return drifts.length > 0 ? within : null;
}

/** More than the last is as good as never. */
const SEED_STEPS = [1, 2, 3, 4, 6, 8, 12, 16, 24];

/** If losses and noise stay what they are, this many more seeds in the base and every undecided cell settle the verdict. */
function moreSeeds(undecided: Cell[], base: Cell, margin: number, noise: Noise | undefined): number | null {
  const project = (cell: Cell, extra: number): Optimum => {
    const curve = readCurve(cell.curve);
    const others = noiseOfOthers(curve, noise);
    return fitCurve(withMoreSeeds(curve, extra, others), others);
  };
  const decides = (extra: number): boolean => {
    const projectedBase = project(base, extra);
    const verdicts = undecided.map((c) => judgeDrift(drift(project(c, extra), projectedBase), margin));
    return combine(verdicts) !== "inconclusive";
  };
  if (undecided.length === 0 || !decides(SEED_STEPS.at(-1)!)) return null;
  let [enough, tooFew] = [SEED_STEPS.length - 1, -1];
  while (enough - tooFew > 1) {
    const middle = (enough + tooFew) >> 1;
    if (decides(SEED_STEPS[middle]!)) enough = middle;
    else tooFew = middle;
  }
  return SEED_STEPS[enough]!;
}
