/**
 * Keeps log files from growing for ever: one that is large becomes the old one, and begins anew. Whoever writes it goes on, since all
 * of them append: what is said between the copy and the cut is lost.
 */
import { copyFileSync, statSync, truncateSync } from "node:fs";

const LARGE_BYTES = 10 << 20;
const LOOK_MS = 60_000;

/** @returns whether it did */
export function rotateLog(path: string, large = LARGE_BYTES): boolean {
  try {
    if (statSync(path).size < large) return false;
    copyFileSync(path, `${path}.1`);
    truncateSync(path);
    return true;
  } catch {
    // Not there yet; or no space for a copy: then it is the disk that has to be said something about.
    return false;
  }
}

/** Now and from time to time. @returns the end of it */
export function keepLogsSmall(paths: readonly string[]): () => void {
  const look = (): void => {
    for (const path of paths) rotateLog(path);
  };
  look();
  const timer = setInterval(look, LOOK_MS).unref();
  return () => clearInterval(timer);
}
