/**
 * Sizes of activations, for the coordinate check: which modules are measured, and what is said of each. A trainer measures
 * them where the plan asks for it; docs/trainer-protocol.md says how.
 */
import { z } from "zod";

/** In the order of the forward pass. */
export const COORDINATE_MODULES = ["embedding", "attention_scores", "attention", "ffn", "logits"] as const;
export type CoordinateModule = (typeof COORDINATE_MODULES)[number];

export const moduleSizeSchema = z.strictObject({
  module: z.enum(COORDINATE_MODULES),
  /** From 0; null for what the model has once. */
  layer: z.int().nonnegative().nullable(),
  /** Mean absolute activation; null when not finite. */
  size: z.number().nonnegative().nullable(),
  /** Mean absolute difference from the initial network's activations on the same tokens; null when not finite. */
  change: z.number().nonnegative().nullable(),
});
export type ModuleSize = z.infer<typeof moduleSizeSchema>;
