/** What the server and a query's process say to each other. */
import { z } from "zod";

export const queryRequestSchema = z.strictObject({
  /** The SQLite file. */
  database: z.string(),
  query: z.string(),
  /** Where to stop; null: at the end. */
  max_rows: z.int().positive().nullable(),
  /** Over all values together. */
  max_characters: z.int().positive().nullable(),
  /** Longer texts are cut, and say so. */
  max_value_characters: z.int().positive().nullable(),
});
export type QueryRequest = z.infer<typeof queryRequestSchema>;

const plainValue = z.union([z.string(), z.number(), z.null()]);
export type PlainValue = z.infer<typeof plainValue>;

/** A line of a query's process: columns come first, an end or an error last. */
export const queryLineSchema = z.union([
  z.array(plainValue),
  z.strictObject({ columns: z.array(z.string()) }),
  z.strictObject({ end: z.enum(["complete", "capped"]) }),
  z.strictObject({
    error: z.strictObject({
      code: z.string(),
      message: z.string(),
      kind: z.enum(["incomplete", "usage", "unavailable", "conflict", "interrupted"]),
      remedy: z.string().optional(),
    }),
  }),
]);
