/** Errors of data preparation: one constructor for bad input, one for files that cannot be read or written. */
import { MusweepError } from "../../schema/wire/errors.ts";
import { pathError } from "../../schema/wire/path-error.ts";

/** The user's file or setting is wrong. */
export const badData = (message: string, remedy?: string, cause?: unknown): MusweepError =>
  new MusweepError("data", message, { kind: "usage", ...(remedy === undefined ? {} : { remedy }), cause });

const isErrno = (error: unknown): error is NodeJS.ErrnoException => error instanceof Error && "code" in error;

/** Turns what reading a data file threw into a message that names the file; passes on what is none of the file's. */
export function readError(path: string, error: unknown): unknown {
  if (error instanceof MusweepError || !isErrno(error)) return error;
  const code = String(error.code);
  if (code === "ENOENT") {
    return new MusweepError("data-missing", `Data file not found: ${path}`, {
      kind: "unavailable",
      remedy: "Check the path; a relative path in a sweep file is relative to that file.",
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
  return pathError(error, path) ?? error;
}

/** Turns what writing the cache threw into a message that names the cache directory. */
export function cacheError(directory: string, error: unknown): unknown {
  if (error instanceof MusweepError || !isErrno(error)) return error;
  const known = pathError(error, directory);
  if (known === null) return error;
  return new MusweepError("data-cache", `The data cache ${directory} cannot be written: ${error.message}`, {
    kind: "unavailable",
    remedy: `${known.remedy ?? "Look at the path."} Another state directory is chosen with --dir.`,
    cause: error,
  });
}
