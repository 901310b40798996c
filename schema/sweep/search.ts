/** Runs where they decide, in place of a whole grid: what a sweep file may say of it. */
import { z } from "zod";

const error = "expected a number of runs, such as 60, or a share of the grid's FLOPs, such as 25%";

export const searchSchema = z
  .strictObject({
    until: z
      .literal("decided")
      .describe("Runs are added until every verdict is decided, cannot be, or the budget is spent."),
    budget: z
      .union(
        [
          z.int().positive().max(100_000),
          z
            .string({ error })
            .regex(/^\d+(\.\d+)?%$/, { error })
            .refine((text) => Number.parseFloat(text) > 0 && Number.parseFloat(text) <= 1000, { error }),
        ],
        { error },
      )
      .default("100%")
      .describe(
        "What may be trained at most: a number of runs, or a share of the FLOPs of the grid that the axes describe. Default 100%.",
      ),
    batch: z
      .int()
      .positive()
      .max(10_000)
      .optional()
      .describe("Runs to add at a time. Default: as many as the workers have slots."),
  })
  .meta({ examples: [{ until: "decided", budget: "50%" }] })
  .optional()
  .describe(
    "In place of the whole grid, train the runs that decide the verdicts: the axes say which curves there are, the rates where to begin.",
  );
export type Search = NonNullable<z.output<typeof searchSchema>>;
