/**
 * Sizes of activations, for the coordinate check: which modules are measured, and what is said of each. A trainer measures
 * them where the plan asks for it; docs/trainer-protocol.md says how.
 */
import { z } from "zod";

/** Of the model that ships, in the order of the forward pass. */
export const COORDINATE_MODULES = ["embedding", "attention_scores", "attention", "ffn", "logits"] as const;
export type CoordinateModule = (typeof COORDINATE_MODULES)[number];

export const moduleSizeSchema = z.object({
  /** A script names its own; "logits", and "attention_scores", mean what they mean in the model that ships. */
  module: z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_. -]{0,63}$/),
  /** From 0; null for what the model has once. */
  layer: z.int().nonnegative().nullable(),
  /** Mean absolute activation; null when not finite. */
  size: z.number().nonnegative().nullable(),
  /** Mean absolute difference from the initial network's activations on the same tokens; null when not finite. */
  change: z.number().nonnegative().nullable(),
});
export type ModuleSize = z.infer<typeof moduleSizeSchema>;
