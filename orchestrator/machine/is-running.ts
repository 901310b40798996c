import { readFileSync } from "node:fs";

/** Whether this machine has a process with this id that has not ended; one that belongs to somebody else is one too. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return !isDefunct(pid);
}

/**
 * When a process was started, in the system's own words: with its id, this is one process alone. Linux tells; elsewhere it is not
 * known, and undefined.
 */
export const startOf = (pid: number): string | undefined => statOf(pid)?.split(" ")[20];

/** Ended, and its id kept until its parent asks after it, which in some containers nobody does. Linux tells. */
const isDefunct = (pid: number): boolean => statOf(pid)?.startsWith(" Z") ?? false;

/** What /proc says behind a process's name, from " Z 1 …" on (proc(5)). */
function statOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // "1234 (its name) Z 1 …"; a name may hold anything.
    return stat.slice(stat.lastIndexOf(")") + 1);
  } catch {
    return undefined;
  }
}
