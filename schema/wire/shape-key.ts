/**
 * Which runs can be trained together in one program: those of one shape, whatever their seed, initial values, learning rates, decay, ε,
 * density, masks, multipliers, optimizer's numbers and schedule.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { canonicalJson, isScriptPlan, type RunPlan } from "./plan.ts";

export const shapeKeySchema = z.string().regex(/^[0-9a-f]{16}$/);

/**
 * Runs that end together: one that trains on alone leaves the others' places empty.
 * @returns undefined of a script's plan, whose shape only the script knows
 */
export function shapeKeyOf(plan: RunPlan): string | undefined {
  if (isScriptPlan(plan)) return undefined;
  const { trainer, precision, data, shape, batch_size, micro_batch_size, evaluation, steps } = plan;
  const text = canonicalJson({
    trainer,
    precision,
    data,
    shape,
    batch_size,
    micro_batch_size,
    evaluation,
    steps,
  });
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
