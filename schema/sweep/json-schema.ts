/** The sweep file's JSON Schema (draft-07, the dialect editors know), published as schema/sweep/sweep.schema.json. */
import { z } from "zod";
import { sweepSchema } from "./sweep.ts";

export const sweepJsonSchema = () => ({
  title: "musweep sweep file",
  ...z.toJSONSchema(sweepSchema, { target: "draft-7", io: "input" }),
  // A trainer with data of its own needs none.
  anyOf: [{ required: ["data"] }, { required: ["trainer"] }],
});
