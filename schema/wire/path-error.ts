/** What the system says about a path that a person gave, as an error for that person: which path, and what to do. */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { type ErrorKind, MusweepError } from "../../schema/wire/errors.ts";
import { inOneLine } from "../../schema/wire/printable.ts";

interface Meaning {
  says: (path: string) => string;
  kind: ErrorKind;
  remedy?: string;
}

const usage = (says: Meaning["says"], remedy?: string): Meaning => ({
  says,
  kind: "usage",
  ...(remedy === undefined ? {} : { remedy }),
});
const unavailable = (says: Meaning["says"], remedy: string): Meaning => ({
  says,
  kind: "unavailable",
  remedy,
});

/** By error code of the system (errno(3)), or of Node. */
const MEANINGS: Record<string, Meaning> = {
  ENOENT: unavailable((path) => `${path} is not there`, "Check the path."),
  EACCES: unavailable((path) => `no permission for ${path}`, "Change its permissions, or name another path."),
  EPERM: unavailable((path) => `no permission for ${path}`, "Change its permissions, or name another path."),
  EROFS: unavailable((path) => `${path} lies on a file system that is read-only`, "Name another path."),
  ENOSPC: unavailable(
    (path) => `no space is left for ${path}`,
    "Free some disk space, or name another path.",
  ),
  EDQUOT: unavailable(
    (path) => `your disk quota leaves no space for ${path}`,
    "Free some of it, or name another path.",
  ),
  EIO: unavailable(
    (path) => `the disk cannot read or write ${path}`,
    "Look at the system's log: the disk may be failing.",
  ),
  EISDIR: usage((path) => `${path} is a directory; expected a file`),
  ENOTDIR: usage((path) => `a part of ${path} is a file, not a directory`),
  EEXIST: usage((path) => `${path} is there already, and is of another kind than expected`),
  ELOOP: usage((path) => `${path} is a link that leads back to itself`, "Name the file itself."),
  ENAMETOOLONG: usage((path) => `a name is too long for the file system: ${path}`, "Name a shorter path."),
  // Opening a socket or a device that is not there.
  ENXIO: usage((path) => `${path} is a socket or a device; expected a regular file`),
  ENODEV: usage((path) => `${path} is a device; expected a regular file`),
  ERR_INVALID_ARG_VALUE: usage((path) => `the path has a null character: ${path}`, "Correct the path."),
};

const SHOWN_CHARACTERS = 200;

const short = (path: string): string =>
  inOneLine(path.length > SHOWN_CHARACTERS ? `${path.slice(0, SHOWN_CHARACTERS)}…` : path);

/** @returns null for what is no matter of a path */
export function pathError(error: unknown, path: string): MusweepError | null {
  if (error instanceof MusweepError) return error;
  if (!(error instanceof Error) || !("code" in error)) return null;
  const meaning = MEANINGS[String(error.code)];
  // Node calls other arguments invalid by the same code.
  if (meaning === undefined || (error.code === "ERR_INVALID_ARG_VALUE" && !path.includes("\0"))) return null;
  const { says, kind, remedy } = meaning;
  const holder = dirname(path);
  const isHolder = error.code === "ENOENT" && !existsSync(holder);
  const shown = short(isHolder ? holder : path);
  return new MusweepError("path", isHolder ? `there is no directory ${shown}` : says(shown), {
    kind,
    ...(remedy === undefined ? {} : { remedy }),
    cause: error,
  });
}

/**
 * Of a file that a command was given: that it cannot be read, why, and which file would do.
 * @param cause what reading it has thrown
 */
export function unreadable(path: string, cause: unknown, what: { code: string; remedy: string }): unknown {
  if (!(cause instanceof Error) || !("code" in cause)) return cause;
  const why = pathError(cause, path) ?? cause;
  return new MusweepError(what.code, `cannot read ${inOneLine(path)}: ${why.message}`, {
    kind: "usage",
    remedy: what.remedy,
    cause,
  });
}
