/** Reads one sweep file in a process of its own: the order on standard input, the answer as a line of JSON on standard output. */
import { readFileSync } from "node:fs";
import { keepDebuggerClosed } from "../../schema/wire/stop-signals.ts";
import { parseSweepFile } from "../sweep/parse-sweep.ts";
import { SweepFileError } from "../sweep/problems.ts";
import { type ReadAnswer, readOrderSchema } from "./read-messages.ts";

function answer(): ReadAnswer {
  const { text, file } = readOrderSchema.parse(JSON.parse(readFileSync(0, "utf8")));
  try {
    return parseSweepFile(text, file);
  } catch (error) {
    if (!(error instanceof SweepFileError)) throw error;
    return { problems: [...error.problems], more: error.more };
  }
}

keepDebuggerClosed();
process.stdout.write(`${JSON.stringify(answer())}\n`);
