/** Making files and directories that a person named, so that what goes wrong can be mended and the same command given again. */
import { closeSync, existsSync, mkdirSync, openSync, rmSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { MusweepError } from "../../schema/wire/errors.ts";
import { pathError } from "../../schema/wire/path-error.ts";
import { inOneLine } from "../../schema/wire/printable.ts";

const existsAlready = (path: string, remedy: string): MusweepError =>
  new MusweepError("file-exists", `${inOneLine(path)} exists already`, { kind: "usage", remedy });

/** Before the work whose result is to be written there. @throws as writeNewFile does */
export function refuseExisting(path: string, remedy: string): void {
  if (existsSync(path)) throw existsAlready(path, remedy);
}

/**
 * A file that is not there yet. Of one that could not be written whole, nothing is left.
 * @throws MusweepError (usage, with this remedy) when it is there; what the disk says
 */
export function writeNewFile(path: string, text: string, remedy: string): void {
  let file: number;
  try {
    file = openSync(path, "wx");
  } catch (cause) {
    throw (cause as NodeJS.ErrnoException).code === "EEXIST"
      ? existsAlready(path, remedy)
      : (pathError(cause, path) ?? cause);
  }
  try {
    writeFileSync(file, text);
  } catch (cause) {
    rmSync(path, { force: true });
    throw pathError(cause, path) ?? cause;
  } finally {
    closeSync(file);
  }
}

/**
 * A directory with all that it lies in, where it is not there yet.
 * @throws what the system says about the part that it could not make: mkdir(2) of several at once says ENOENT of a read-only disk
 */
export function makeDirectory(path: string, mode?: number): void {
  try {
    mkdirSync(path, { recursive: true, mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    let missing = resolve(path);
    while (!existsSync(dirname(missing))) missing = dirname(missing);
    mkdirSync(missing, { mode });
    mkdirSync(path, { recursive: true, mode });
  }
}
