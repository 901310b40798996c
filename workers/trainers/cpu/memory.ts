/** How much memory a run will need, before it starts. */
import { readFileSync } from "node:fs";
import { regionBytes } from "./region.ts";
import type { RunLayout } from "./run-memory.ts";

const MEBIBYTE = 2 ** 20;

/**
 * What Node holds of its own while a trainer trains: heap, compiled code, events, whatever waits to be collected. The most
 * that 60 processes held, and a little more: two that do the same differ by up to 9 MiB.
 */
const NODE_BYTES = 31 * MEBIBYTE;
/** struct Copies of native/tape.h, in whole huge pages. */
const THREAD_BYTES = 4 * MEBIBYTE;

/** What is loaded from files: Node's own code, most of all, which is larger in some versions than in others. */
function programBytes(): number {
  try {
    return 1024 * Number(/RssFile:\s*(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]);
  } catch {
    // Not Linux: the measured size of Node 24's.
    return 50 * MEBIBYTE;
  }
}

const PROCESS_BYTES = programBytes() + NODE_BYTES;

/** Peak resident bytes of a trainer process that trains a plan. docs/engine.md has it beside measured ones. */
export const estimateMemory = (threads: number, { pieces }: RunLayout): number =>
  PROCESS_BYTES + threads * THREAD_BYTES + regionBytes(pieces);
