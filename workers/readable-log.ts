/** A worker's log as a person at a terminal reads it; files and machines get JSON, a line an event. */
import { z } from "zod";

const entrySchema = z.object({
  level: z.number(),
  time: z.number(),
  msg: z.string(),
  run: z.string().optional(),
  title: z.string().optional(),
  code: z.string().optional(),
});

const WARNING = 40;

/** @param line of pino. @returns "14:03:59  run claimed  SμPar d64 lr 2^-7 seed 1 (r1a2b…)" */
export function readable(line: string): string {
  const parsed = entrySchema.safeParse(JSON.parse(line));
  if (!parsed.success) return line;
  const { level, time, msg, run, title, code } = parsed.data;
  const what = [title, run && (title ? `(${run})` : run), code && `[${code}]`].filter(Boolean).join(" ");
  const warning = level >= WARNING ? "! " : "";
  return `${new Date(time).toTimeString().slice(0, 8)}  ${warning}${msg}${what && `  ${what}`}\n`;
}
