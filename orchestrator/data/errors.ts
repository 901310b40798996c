/** Errors of data preparation: one constructor for bad input, one for files that cannot be read or written. */
import { MusweepError } from "../../schema/errors.ts";

/** The user's file or setting is wrong. */
export const badData = (message: string, remedy?: string, cause?: unknown): MusweepError =>
  new MusweepError("data", message, { kind: "usage", ...(remedy === undefined ? {} : { remedy }), cause });

const isErrno = (error: unknown): error is NodeJS.ErrnoException => error instanceof Error && "code" in error;

/** Turns what reading a data file threw into a message that names the file; passes on what is none of the file's. */
export function readError(path: string, error: unknown): unknown {
  if (error instanceof MusweepError || !isErrno(error)) return error;
  const code = error.code ?? "";
  if (code === "ENOENT") {
    return new MusweepError("data-missing", `Data file not found: ${path}`, {
      kind: "unavailable",
      remedy: "Check the path; a relative path in a sweep file is relative to that file.",
      cause: error,
    });
  }
  if (code === "EISDIR") return badData(`${path} is a directory, a file was expected`, undefined, error);
  if (code === "EACCES" || code === "EPERM") {
    return new MusweepError("data-unreadable", `No permission to read ${path}`, {
      kind: "unavailable",
      remedy: "Make the file readable for this user.",
      cause: error,
    });
  }
  if (code.startsWith("Z_") || code.startsWith("ZSTD_") || code === "ERR_STREAM_PREMATURE_CLOSE") {
    return badData(
      `${path} cannot be decompressed: ${error.message}`,
      "The file is damaged or cut short.",
      error,
    );
  }
  return error;
}

/** Turns what writing the cache threw into a message that names the cache directory. */
export function cacheError(directory: string, error: unknown): unknown {
  if (error instanceof MusweepError || !isErrno(error)) return error;
  const remedies: Record<string, string> = {
    ENOSPC: "Free some disk space, or choose another state directory with --dir.",
    EDQUOT: "Free some of your disk quota, or choose another state directory with --dir.",
    EACCES: "Choose a state directory that you may write with --dir.",
    EPERM: "Choose a state directory that you may write with --dir.",
    EROFS: "Choose a state directory that you may write with --dir.",
    ENOTDIR: "A part of that path is a file; choose another state directory with --dir.",
  };
  const remedy = remedies[error.code ?? ""];
  if (remedy === undefined) return error;
  return new MusweepError("data-cache", `The data cache ${directory} cannot be written: ${error.message}`, {
    kind: "unavailable",
    remedy,
    cause: error,
  });
}
