/**
 * Opening files that a person named. Only regular files are read: a pipe would wait for a writer for ever, /dev/zero has no end,
 * and what /proc shows has neither a size nor an end. What is opened is what was looked at: the file may be exchanged meanwhile.
 */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statfsSync } from "node:fs";
import { type FileHandle, open, statfs } from "node:fs/promises";
import { MusweepError } from "./errors.ts";
import { pathError } from "./path-error.ts";

/** Without waiting: for the writer of a pipe, the line of a modem. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;

/** File systems whose files the kernel makes up as they are read (statfs(2)): proc, sysfs, debugfs, tracefs, cgroup, cgroup2. */
const MADE_UP = new Set([0x9fa0, 0x62656572, 0x64626720, 0x74726163, 0x27e0eb, 0x63677270]);

const refused = (path: string, what: string): MusweepError =>
  new MusweepError("no-regular-file", `${path} is ${what}; expected a regular file`, {
    kind: "usage",
    remedy: "Name a file on disk; what another program writes goes into one first.",
  });

function kindOf(
  stats: Pick<Stats, "isDirectory" | "isFIFO" | "isSocket" | "isCharacterDevice" | "isBlockDevice">,
): string {
  if (stats.isDirectory()) return "a directory";
  if (stats.isFIFO()) return "a pipe";
  if (stats.isSocket()) return "a socket";
  return stats.isCharacterDevice() || stats.isBlockDevice() ? "a device" : "no file of a known kind";
}

/** Throws where what was opened must not be read. */
export type CheckOpened = (opened: FileHandle, path: string) => Promise<void>;

/** @throws MusweepError for what is no regular file; what the system says of others */
export async function openRegular(path: string, check?: CheckOpened): Promise<FileHandle> {
  const handle = await open(path, FLAGS);
  try {
    await check?.(handle, path);
    const stats = await handle.stat();
    if (!stats.isFile()) throw refused(path, kindOf(stats));
    if (MADE_UP.has((await statfs(path)).type)) throw refused(path, "made up by the kernel");
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** @throws MusweepError for what is no regular file; what the system says of others */
export function openRegularSync(path: string): number {
  const fd = openSync(path, FLAGS);
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw refused(path, kindOf(stats));
    if (MADE_UP.has(statfsSync(path).type)) throw refused(path, "made up by the kernel");
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** A small text file, whole. */
export const readRegularSync = (path: string, most: number, check?: (stats: Stats) => void): string =>
  readRegularBytesSync(path, most, check).toString("utf8");

/**
 * A small file, whole.
 * @param check throws where what was opened must not be read
 * @throws MusweepError: as above, or larger than `most` bytes
 */
export function readRegularBytesSync(path: string, most: number, check?: (stats: Stats) => void): Buffer {
  let fd: number | undefined;
  try {
    fd = openRegularSync(path);
    const stats = fstatSync(fd);
    check?.(stats);
    // One more than allowed, so that a file that grows meanwhile is noticed too.
    const buffer = Buffer.alloc(Math.min(stats.size, most) + 1);
    let length = 0;
    for (let read = 1; read > 0 && length < buffer.length; length += read)
      read = readSync(fd, buffer, length, buffer.length - length, null);
    if (length > most)
      throw new MusweepError("file-too-large", `${path} is larger than ${most} bytes`, { kind: "usage" });
    return buffer.subarray(0, length);
  } catch (error) {
    throw pathError(error, path) ?? error;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
