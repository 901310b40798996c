/** A file system of its own, small enough to be filled: in memory, where this user may mount one. */
import { execFileSync } from "node:child_process";
import { closeSync, cpSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

const mount = (...args: string[]): void => void execFileSync("mount", args, { stdio: "pipe" });

export class SmallDisk {
  readonly path: string;
  readonly #ballast: string;

  /** @param path a directory that is not there yet. @throws where this user may not mount: mayMount() tells */
  constructor(path: string, megabytes: number) {
    this.path = path;
    this.#ballast = join(path, "ballast");
    mkdirSync(path);
    mount("-t", "tmpfs", "-o", `size=${megabytes}m,mode=700`, "tmpfs", path);
  }

  /** Leaves no byte free. */
  fill(): void {
    const page = Buffer.alloc(4096);
    const file = openSync(this.#ballast, "a");
    try {
      // Others write meanwhile.
      while (true) writeSync(file, page);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    } finally {
      closeSync(file);
    }
  }

  /** Takes away what filled it. */
  clear(): void {
    rmSync(this.#ballast, { force: true });
  }

  setReadOnly(yes: boolean): void {
    mount("-o", `remount,${yes ? "ro" : "rw"}`, this.path);
  }

  /** Lazily: what was left running may still hold files. */
  remove(): void {
    execFileSync("umount", ["-l", this.path]);
  }

  /** What is on it is in a plain directory of the same name from now on. */
  leave(): void {
    const kept = `${this.path}.kept`;
    cpSync(this.path, kept, { recursive: true, filter: (name) => !name.endsWith(".sock") });
    this.remove();
    rmSync(this.path, { recursive: true });
    renameSync(kept, this.path);
  }
}

/** Whether this user may mount file systems. */
export function mayMount(): boolean {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
  try {
    const script = "d=$(mktemp -d) && mount -t tmpfs tmpfs $d && umount $d && rmdir $d";
    execFileSync("sh", ["-c", script], { stdio: "pipe" });
    return true;
  } catch {
    // In a container without the right to.
    return false;
  }
}
