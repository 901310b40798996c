/** What SQLite says of its file's disk, as an error for the person whose disk it is: which file, and what to do. */
import { statfsSync } from "node:fs";
import { dirname, isAbsolute } from "node:path";
import { MusweepError } from "../../schema/wire/errors.ts";

const AGAIN = "what is stored is kept, and the same command goes on from there";

/** By the beginning of SQLite's result codes (sqlite.org/rescode.html); the first that fits. */
const MEANINGS: [prefix: string, code: string, says: string, remedy: string][] = [
  ["SQLITE_FULL", "database-disk", "no space is left on the disk of", `Free some disk space: ${AGAIN}.`],
  [
    "SQLITE_READONLY",
    "database-disk",
    "no permission to write, or a read-only disk:",
    `Make it writable, or use another --dir: ${AGAIN}.`,
  ],
  [
    "SQLITE_CANTOPEN",
    "database-disk",
    "cannot open, or make a file beside,",
    "Check that its directory is there and writable, and that the disk has space.",
  ],
  [
    "SQLITE_IOERR",
    "database-disk",
    "the disk cannot read or write",
    `Look at the system's log and at your disk quota: ${AGAIN}.`,
  ],
  [
    "SQLITE_CORRUPT",
    "database-damaged",
    "damaged:",
    "`musweep verify` says what is readable; put a backup (`musweep backup`) in its place, or use another --dir.",
  ],
  [
    "SQLITE_NOTADB",
    "database-damaged",
    "damaged, or no database at all:",
    "Put a backup (`musweep backup`) in its place, or use another --dir.",
  ],
  [
    "SQLITE_BUSY",
    "database-busy",
    "another program has not let go for 10 s of",
    "End that program, then try again.",
  ],
];

/** @returns null for what has other causes than the disk */
export function diskError(error: unknown, path = "the database"): MusweepError | null {
  if (error instanceof MusweepError || !(error instanceof Error) || !("code" in error)) return null;
  // Of a disk that is full to the last byte SQLite says but that it cannot make its files beside the database longer.
  const result =
    /^SQLITE_(IOERR|CANTOPEN)/.test(String(error.code)) && isFull(path) ? "SQLITE_FULL" : String(error.code);
  const meaning = MEANINGS.find(([prefix]) => result.startsWith(prefix));
  if (meaning === undefined) return null;
  const [, code, says, remedy] = meaning;
  return new MusweepError(code, `${says} ${path}`, { kind: "unavailable", remedy, cause: error });
}

function isFull(path: string): boolean {
  try {
    return isAbsolute(path) && statfsSync(dirname(path)).bavail === 0;
  } catch {
    return false;
  }
}
