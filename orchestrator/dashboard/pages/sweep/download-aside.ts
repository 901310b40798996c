/** Files of a large sweep, made by a process of its own (download-program.ts): here they would hold up everybody else. */
import { z } from "zod";
import { MusweepError } from "../../../../schema/wire/errors.ts";
import type { Database } from "../../../database/open.ts";
import { type LimitedProcess, startLimited } from "../../../machine/limited-process.ts";

/** At once; more would only take turns on the cores that train. */
const AT_ONCE = 2;
const SECONDS = 300;
const MEMORY_BYTES = 2 * 2 ** 30;

/** What the program is asked. */
export const downloadOrderSchema = z.strictObject({
  database: z.string(),
  sweep: z.string(),
  file: z.string(),
});
/** Its first line: what comes in the lines after it, in pieces of base64; null: there is no such file. */
const downloadHeadSchema = z.strictObject({ type: z.string() }).nullable();
export type DownloadHead = z.infer<typeof downloadHeadSchema>;
const pieceSchema = z.string().nullable();

let running = 0;

export interface StreamedDownload {
  type: string;
  content: ReadableStream<Uint8Array>;
}

/**
 * @param request ends the process when it is given up
 * @returns null when there is no such file
 * @throws MusweepError: too many at once, too slow, too large
 */
export async function downloadAside(
  db: Database,
  sweep: string,
  file: string,
  { signal, method }: Request,
): Promise<StreamedDownload | null> {
  if (running >= AT_ONCE)
    throw new MusweepError("downloads-busy", `${AT_ONCE} files of large sweeps are being made already`, {
      kind: "unavailable",
      remedy: "Try again in a moment, or use `musweep report` on the machine itself.",
    });
  running++;
  const order = downloadOrderSchema.parse({ database: db.path, sweep, file });
  const child = startLimited("../dashboard/pages/sweep/download-program", JSON.stringify(order), {
    seconds: SECONDS,
    memoryBytes: MEMORY_BYTES,
    tooSlow: () => refused(file, `took longer than ${SECONDS} s`),
    tooLarge: () => refused(file, `needed more than ${MEMORY_BYTES / 2 ** 30} GiB`),
    broken: (complaint) => new Error(`the program that makes ${file} ended early: ${complaint}`),
  });
  const stop = (): void => child.stop();
  signal.addEventListener("abort", stop);
  void child.ended.then(() => {
    running--;
    signal.removeEventListener("abort", stop);
  });
  try {
    const head = downloadHeadSchema.parse(await child.next());
    // Hono answers HEAD as GET and drops the body: nobody would read it to its end.
    if (head === null || method === "HEAD") child.stop();
    return head && { type: head.type, content: method === "HEAD" ? new ReadableStream() : contentOf(child) };
  } catch (error) {
    child.stop();
    throw error;
  }
}

function contentOf(child: LimitedProcess): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const piece = pieceSchema.parse(await child.next());
      if (piece === null) controller.close();
      else controller.enqueue(Buffer.from(piece, "base64"));
    },
    cancel: () => child.stop(),
  });
}

const refused = (file: string, why: string): MusweepError =>
  new MusweepError("download-limit", `${file} ${why}`, {
    kind: "unavailable",
    remedy: "`musweep report` on the machine itself has no limit.",
  });
