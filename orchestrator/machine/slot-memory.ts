import { totalmem } from "node:os";

/** Of the memory that may be used, what all slots together may take. */
const MEMORY_SHARE = 0.85;

/** In bytes: the machine's, or less where a container or a batch job is allowed less. Node reports no limit as 0 or a huge number. */
export function usableMemory(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

/** What a trainer may use where so many train at once: of a worker, and where speed is measured. */
export const memoryBytesPerSlot = (slots: number): number =>
  Math.floor((usableMemory() * MEMORY_SHARE) / slots);
