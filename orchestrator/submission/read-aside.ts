/**
 * Reads sweep files that come from elsewhere in a process beside the server: a file may be made to take long, and the server has
 * events to collect and pages to answer meanwhile.
 */
import { MusweepError } from "../../schema/wire/errors.ts";
import { startLimited } from "../machine/limited-process.ts";
import type { ParsedSweep } from "../sweep/parse-sweep.ts";
import { SweepFileError } from "../sweep/problems.ts";
import { type ReadOrder, readAnswerSchema } from "./read-messages.ts";

/** At once; more would only take turns on the cores that train. */
const AT_ONCE = 2;
const MOST_WAITING = 20;
const SECONDS = 20;
const MEMORY_BYTES = 2 ** 30;

const tooMuch = (what: string): MusweepError =>
  new MusweepError("sweep-file-effort", `reading the sweep file was given up: ${what}`, {
    kind: "usage",
    remedy: "Make its axes smaller; `musweep validate FILE` has no such limit.",
  });

let running = 0;
const waiting: (() => void)[] = [];

/** @throws SweepFileError with the mistakes in it; MusweepError: too much work, too many at once */
export async function readSweepAside(text: string, file: string): Promise<ParsedSweep> {
  if (waiting.length >= MOST_WAITING)
    throw new MusweepError("sweep-file-busy", "many sweep files are being read already", {
      kind: "unavailable",
      remedy: "Try again in a moment.",
    });
  while (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  running++;
  try {
    return await read({ text, file });
  } finally {
    running--;
    waiting.shift()?.();
  }
}

async function read(order: ReadOrder): Promise<ParsedSweep> {
  const child = startLimited("../submission/read-program", JSON.stringify(order), {
    seconds: SECONDS,
    memoryBytes: MEMORY_BYTES,
    tooSlow: () => tooMuch(`it took more than ${SECONDS} s`),
    tooLarge: () => tooMuch(`it needed more than ${MEMORY_BYTES / 2 ** 20} MiB of memory`),
    broken: (complaint) => new Error(`the process that reads sweep files broke: ${complaint}`),
  });
  try {
    const answer = readAnswerSchema.parse(await child.next());
    if ("problems" in answer) throw new SweepFileError(order.file, answer.problems, answer.more);
    return answer;
  } finally {
    child.stop();
  }
}
