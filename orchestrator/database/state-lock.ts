/**
 * The lock of a state directory: one orchestrator at a time. It is a lock of the operating system, on a SQLite file of its own,
 * so it ends with the process that holds it, however that ends, and no process id that was given to somebody else can hold it.
 */
import { mkdirSync, readFileSync, truncateSync } from "node:fs";
import { MusweepError } from "../../schema/wire/errors.ts";
import { sleepSync } from "../../schema/wire/sleep-sync.ts";
import { loadBinding } from "./binding.ts";
import { diskError } from "./disk-error.ts";

/** Of a state directory (orchestrator/machine/state-directory.ts). */
interface Lockable {
  readonly root: string;
  /** The file. It stays when the lock is free: two that remove and make files could each hold one. */
  readonly lock: string;
}

/** Whoever looks whether the lock is free holds it for a moment itself. */
const PATIENCE_MS = 2000;
const LOOK_MS = 5;
/** Where a file says its user_version, which is the holder's process id here (sqlite.org/fileformat2.html, section 1.3). */
const USER_VERSION_AT = 60;

/**
 * What this process holds. Such a file is opened once: POSIX lets go of all locks of a process on a file when it closes that file
 * through any handle.
 */
const held = new Set<string>();

/**
 * Takes the directory for this process; makes it where there is none.
 * @returns the release
 * @throws MusweepError (conflict) when another orchestrator holds it; (unavailable) when the file cannot be written
 */
export function lockState({ root, lock }: Lockable): () => void {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const release = held.has(lock) ? undefined : take(lock);
  if (release !== undefined) return release;
  const holder = lockHolder({ root, lock });
  throw new MusweepError("state-locked", `${root} is in use by another musweep${inBrackets(holder)}`, {
    kind: "conflict",
    remedy: "Submit to it with `musweep submit`, stop it first, or use another --dir.",
  });
}

/** @returns the release; undefined when another process holds it */
function take(lock: string): (() => void) | undefined {
  const Binding = loadBinding();
  const sqlite = new Binding(lock, { timeout: PATIENCE_MS });
  const sayHolder = (pid: number): void => void sqlite.pragma(`user_version = ${pid}`);
  try {
    // A journal on disk would be one more file; the lock outlasts the transaction that took it.
    sqlite.pragma("journal_mode = MEMORY");
    sqlite.pragma("locking_mode = EXCLUSIVE");
    sqlite.transaction(() => sayHolder(process.pid)).exclusive();
  } catch (error) {
    sqlite.close();
    const { code } = error as { code?: string };
    if (code === "SQLITE_BUSY") return undefined;
    if (code !== "SQLITE_NOTADB" && code !== "SQLITE_CORRUPT") throw diskError(error, lock) ?? error;
    // Of another version, or damaged. Whoever holds a lock on it still does when it is empty.
    truncateSync(lock);
    return take(lock);
  }
  held.add(lock);
  return () => {
    held.delete(lock);
    try {
      sayHolder(0);
    } finally {
      sqlite.close();
    }
  };
}

/**
 * Process id of the orchestrator that holds the directory; undefined when none does. Whoever takes the lock, or lets go of it, holds
 * it for a moment without saying who it is, at first in an empty file.
 * @returns 0 where it was halted in just that moment
 */
export function lockHolder({ lock }: Lockable): number | undefined {
  if (held.has(lock)) return process.pid;
  for (let waited = 0; !isFree(lock); waited += LOOK_MS) {
    const holder = saidHolder(lock);
    if (holder > 0 || waited >= PATIENCE_MS) return holder;
    sleepSync(LOOK_MS);
  }
  return undefined;
}

/** " (process 123)", where that is known. */
export const inBrackets = (holder: number | undefined): string =>
  holder === undefined || holder === 0 ? "" : ` (process ${holder})`;

function saidHolder(lock: string): number {
  const file = readFileSync(lock);
  return file.length < USER_VERSION_AT + 4 ? 0 : file.readUInt32BE(USER_VERSION_AT);
}

function isFree(lock: string): boolean {
  const Binding = loadBinding();
  try {
    const sqlite = new Binding(lock, { readonly: true, fileMustExist: true, timeout: 0 });
    try {
      sqlite.pragma("user_version");
      return true;
    } finally {
      sqlite.close();
    }
  } catch (error) {
    // Not there, or none that anybody could hold.
    return (error as { code?: string }).code !== "SQLITE_BUSY";
  }
}
