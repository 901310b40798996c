/** A file system of a test's own, small enough to be filled. */
import { onTestFinished } from "vitest";
import { mayMount as mayMountHere, SmallDisk } from "../../orchestrator/chaos/small-disk.ts";

export function smallDisk(path: string, megabytes: number): SmallDisk {
  const disk = new SmallDisk(path, megabytes);
  onTestFinished(() => disk.remove());
  return disk;
}

/** Whether this user may mount file systems; where not, it is said which test is missing. */
export function mayMount(what: string): boolean {
  if (mayMountHere()) return true;
  console.warn(
    `SKIPPED: ${what}, because this user may not mount a file system. As root on Linux it is tested.`,
  );
  return false;
}
