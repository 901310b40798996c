/** What a sweep asks of its curves: which margin decides whether an optimum transfers, and what is known beforehand. */
import { z } from "zod";

/** What decides a verdict: what the base's optimum costs elsewhere, or how far the optimum moves. */
export const CRITERIA = ["cost", "octaves"] as const;
export type Criterion = (typeof CRITERIA)[number];

/** How alike the valleys of one parameterization are taken to be when they are fitted together. */
export const POOLINGS = ["loose", "medium", "none"] as const;
export type Pooling = (typeof POOLINGS)[number];

/** With its sign, so that nobody takes 0.01 for 1%. @returns 1 for "1%" */
const perCent = (most: number) => {
  const error = `expected a percentage with its sign, above 0% and at most ${most}%, such as 1%`;
  return z
    .string({ error })
    .regex(/^\d+(\.\d+)?%$/, { error })
    .refine((text) => Number.parseFloat(text) > 0 && Number.parseFloat(text) <= most, { error })
    .transform((text) => Number.parseFloat(text));
};

/** Fields that a sweep file and each of its phases may have. */
export const questionShape = {
  margin: z
    .strictObject({
      octaves: z
        .number()
        .positive()
        .max(20)
        .optional()
        .describe("Octaves that an optimum may move. Default 0.5."),
      cost: perCent(100)
        .optional()
        .describe("Loss that the base's optimum may cost elsewhere, such as 1%, the default."),
    })
    .meta({ examples: [{ cost: "1%", octaves: 0.5 }] })
    .optional()
    .describe("What still counts as a transfer: {octaves: 0.5, cost: 1%}."),
  criterion: z
    .enum(CRITERIA)
    .optional()
    .describe(
      "Which margin decides a verdict: cost, what using the base's optimum loses (default), or octaves, how far the optimum moves. The other is shown beside it.",
    ),
  noise: perCent(20)
    .optional()
    .describe(
      "Standard deviation of one run's final loss, where it is known, such as 0.2%. Default: found from the sweep's own runs.",
    ),
  pooling: z
    .enum(POOLINGS)
    .optional()
    .describe(
      "How much the curves of one parameterization tell about each other's shape: loose (default), medium, or none.",
    ),
};
