/** The learning-rate schedule: one factor per step, which multiplies every group's learning rate and decay. */
import type { Plan } from "../../../schema/wire/plan.ts";

/**
 * Factor of step t = 1 … N: t/warm-up during the warm-up, then from 1 at its end to `final_fraction` at t = N, along a
 * line or half a cosine; or constant at 1.
 */
export function scheduleFactor(plan: Pick<Plan, "schedule" | "steps">, t: number): number {
  const { warmup_steps: warmup, decay, final_fraction: last } = plan.schedule;
  if (t <= warmup) return t / warmup;
  if (decay === "constant") return 1;
  // Without a warm-up the first step, not step 0, is at the peak.
  const start = Math.max(warmup, 1);
  const progress = plan.steps > start ? (t - start) / (plan.steps - start) : 0;
  return decay === "linear"
    ? 1 - (1 - last) * progress
    : last + (1 - last) * 0.5 * (1 + Math.cos(Math.PI * progress));
}
