/** What a server and the process that reads a sweep file for it say to each other. */
import { z } from "zod";
import type { Sweep } from "../../schema/sweep/sweep.ts";

export const readOrderSchema = z.strictObject({
  text: z.string(),
  /** The name that messages give the file. */
  file: z.string(),
});
export type ReadOrder = z.infer<typeof readOrderSchema>;

const place = z.strictObject({ line: z.int(), column: z.int(), path: z.string() });
const problem = z.strictObject({ ...place.shape, message: z.string() });

export const readAnswerSchema = z.union([
  z.strictObject({
    /** As parsed in the other process: nothing but values of JSON. */
    sweep: z.custom<Sweep>((value) => typeof value === "object" && value !== null),
    warnings: z.array(problem),
    longest_sequence: z.strictObject({ length: z.int(), place }).nullable(),
  }),
  z.strictObject({ problems: z.array(problem), more: z.int() }),
]);
export type ReadAnswer = z.infer<typeof readAnswerSchema>;
