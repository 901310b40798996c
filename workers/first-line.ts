/**
 * How the processes of workers/ are told what to do: by the first line of standard input. A command line can be read by every
 * user of the machine, has a limit in length, and cannot say when the one who wrote it is gone.
 */
import type { Readable } from "node:stream";

/** @returns the first line; what comes after it, the end included, is still to be read. @throws when there is none */
export function firstLine(input: Readable): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const onData = (chunk: string): void => {
      text += chunk;
      const end = text.indexOf("\n");
      if (end === -1) return;
      input.off("data", onData).off("end", onEnd).off("error", reject).pause();
      resolve(text.slice(0, end));
    };
    const onEnd = (): void => reject(new Error("standard input ended before its first line"));
    input.setEncoding("utf8").on("data", onData).on("end", onEnd).on("error", reject);
  });
}
