/** When a run counts as diverged, and the loss history that decides it. */

export interface LossState {
  /** Training loss of step 1; null before it. */
  readonly initial: number | null;
  readonly lastFinite: number | null;
  /** Steps in a row whose training loss lay above the initial one. */
  readonly stepsAbove: number;
}

export const initialLossState: LossState = { initial: null, lastFinite: null, stepsAbove: 0 };

export type Verdict = "training" | "non-finite" | "above-initial";

/**
 * The state after a step, and whether the run has diverged by it.
 * @param loss training loss of the step
 * @param gradientNorm of the step; a non-finite one has just made the weights non-finite
 */
export function observeStep(
  state: LossState,
  loss: number,
  gradientNorm: number,
  patienceSteps: number,
): { state: LossState; verdict: Verdict } {
  if (!Number.isFinite(loss)) return { state, verdict: "non-finite" };
  const initial = state.initial ?? loss;
  const stepsAbove = loss > initial ? state.stepsAbove + 1 : 0;
  return {
    state: { initial, lastFinite: loss, stepsAbove },
    verdict: verdictOf(gradientNorm, stepsAbove, patienceSteps),
  };
}

function verdictOf(gradientNorm: number, stepsAbove: number, patienceSteps: number): Verdict {
  if (!Number.isFinite(gradientNorm)) return "non-finite";
  return stepsAbove >= patienceSteps ? "above-initial" : "training";
}

/** For JSON, which has no NaN and no infinity. */
export const finiteOrNull = (x: number): number | null => (Number.isFinite(x) ? x : null);
