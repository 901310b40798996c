import { totalmem } from "node:os";

/** Of the machine's memory, what all slots together may use. */
const MEMORY_SHARE = 0.85;

/** What a trainer may use where so many train at once: of a worker, and where speed is measured. */
export const memoryBytesPerSlot = (slots: number): number => Math.floor((totalmem() * MEMORY_SHARE) / slots);
