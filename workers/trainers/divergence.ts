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

/** The state after a step's training loss, and whether the run has diverged by it. */
export function observeLoss(
  state: LossState,
  loss: number,
  patienceSteps: number,
): { state: LossState; verdict: Verdict } {
  if (!Number.isFinite(loss)) return { state, verdict: "non-finite" };
  const initial = state.initial ?? loss;
  const stepsAbove = loss > initial ? state.stepsAbove + 1 : 0;
  return {
    state: { initial, lastFinite: loss, stepsAbove },
    verdict: stepsAbove >= patienceSteps ? "above-initial" : "training",
  };
}
