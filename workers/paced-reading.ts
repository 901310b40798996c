/**
 * Reading what other programs write, no faster than is good for everybody else: one chunk at a time, with a turn for the rest of
 * the process after each. A program that writes more than it may waits, in the end at its own write.
 */
import type { Readable } from "node:stream";
import { setImmediate, setTimeout as sleep } from "node:timers/promises";

/** An honest trainer writes some kB a second. */
const BYTES_PER_SECOND = 4 * 2 ** 20;
/** Saved up in quieter times. */
const BURST_BYTES = 2 ** 20;

/** Resolves when the stream has ended, in whatever way. @param isHurried whether only the end is of interest any more */
export async function readPaced(
  stream: Readable,
  take: (chunk: Buffer) => void,
  isHurried: () => boolean,
): Promise<void> {
  let allowed = BURST_BYTES;
  let at = performance.now();
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      take(chunk);
      if (isHurried()) continue;
      const now = performance.now();
      allowed = Math.min(BURST_BYTES, allowed + ((now - at) / 1000) * BYTES_PER_SECOND) - chunk.length;
      at = now;
      if (allowed < 0) await sleep((-allowed / BYTES_PER_SECOND) * 1000);
      else await setImmediate();
    }
  } catch {
    // Broken off, by us or by the other end: its process tells why.
  }
}
