/**
 * Runs that are trained where no queue can be reached: one job a line goes there in a file, one worker event a line (events.ts) comes
 * back in another. docs/gpu.md says who writes and reads them.
 */
import { z } from "zod";
import { planSchema, runIdSchema } from "./plan.ts";

/** A line of a jobs file. */
export const awayJobSchema = z.strictObject({
  version: z.literal(1),
  /** The hash of the plan; a line where it is not is refused. */
  run: runIdSchema,
  /** The attempt that its events belong to, and its token: fenced like any other's. */
  attempt: z.int().positive(),
  token: z.string(),
  keep_weights: z.boolean(),
  plan: planSchema,
});
export type AwayJob = z.infer<typeof awayJobSchema>;
