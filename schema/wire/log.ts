/** Where a process writes its log: lines that a terminal may show, and none of which can end the process. */
import { pino } from "pino";
import { printableTo } from "./printable.ts";

/** What could not be written waits up to so much; more is lost. */
const WAITING_BYTES = 1 << 20;

/**
 * For pino. A full disk or a closed pipe loses lines; what else needs the disk says that it is full.
 * @param dest a file's path, or 2: standard error
 */
export function logStream(dest: string | 2): { write(line: string): void } {
  const stream = pino.destination({ dest, sync: true, append: true, maxLength: WAITING_BYTES });
  stream.on("error", () => undefined);
  return printableTo(stream);
}
