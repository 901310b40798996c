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

/** Ended, and its id kept until its parent asks after it, which in some containers nobody does. Linux tells. */
function isDefunct(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // "1234 (its name) Z 1 …"; a name may hold anything.
    return stat.slice(stat.lastIndexOf(")") + 1).startsWith(" Z");
  } catch {
    return false;
  }
}
