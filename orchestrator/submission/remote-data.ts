/**
 * The data of a sweep that came over HTTP. The server reads files as its own user, and whoever may submit may not thereby read
 * that user's files: only those below the directory that the user has opened, where a link that leads out of it counts as
 * outside; and those whose data set has been prepared on the server before, because then that user has named them to musweep.
 * Shipped corpora always.
 */
import { type FileHandle, lstat, readlink, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import type { DataMeta } from "../../schema/wire/data.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import type { CheckOpened } from "../../schema/wire/regular-file.ts";
import { matchFiles } from "../data/match-files.ts";
import { type PrepareOptions, prepareData } from "../data/prepare.ts";
import { type DataSpec, pathsOf, placeOf, resolvePaths } from "../data/spec.ts";

/**
 * @param root the directory, to which relative paths are relative; undefined: none
 * @throws MusweepError (usage) for other files, in the same words whether or not they exist
 */
export async function prepareRemoteData(
  spec: DataSpec,
  root: string | undefined,
  options: PrepareOptions,
): Promise<DataMeta> {
  const named = resolvePaths(spec, root ?? sep);
  if ("corpus" in named) return prepareData(named, options);
  const refused = new MusweepError(
    "data-not-allowed",
    `${placeOf(spec)}: not among the files that this server reads for sweeps that come over HTTP`,
    {
      kind: "usage",
      remedy:
        `${placesOf(root)} ` +
        `${root === undefined ? "Start `musweep serve` with --data-root DIR to allow those in DIR" : "Put the file in there (--data-root DIR of `musweep serve`)"}; or, on the server itself, prepare it with ` +
        "`musweep data prepare`, or submit the sweep with `musweep submit`.",
    },
  );
  const start = root === undefined ? null : await startOf(root);
  if (start !== null && (await isBelow(start, named))) {
    const checkOpened: CheckOpened = async (opened, path) => {
      if (!(await liesBelow(start, opened, path))) throw refused;
    };
    return prepareData(named, { ...options, checkOpened }).catch((error: unknown) => {
      if (!(error instanceof MusweepError && error.code === "data-missing")) throw error;
      const { code, message, kind } = error;
      throw new MusweepError(code, message, {
        kind,
        remedy: `${placesOf(root)} Put the data there, or correct the path.`,
        cause: error,
      });
    });
  }
  if (!(await every(writtenPaths(named), isFile))) throw refused;
  try {
    return await prepareData(named, { ...options, preparedOnly: true });
  } catch {
    options.signal?.throwIfAborted();
    // Why it cannot be read is none of the asker's business.
    throw refused;
  }
}

/** A path in a sweep file that is submitted here means another place there. */
const placesOf = (root: string | undefined): string =>
  root === undefined
    ? "Paths are those of the server's machine, which has no --data-root: it looks up no relative path, neither beside your file nor in its own directory."
    : `Paths are those of the server's machine: relative paths are looked up in the server's --data-root (${root}), not beside your file.`;

/** Many files are looked at together, because each waits for the disk; and by no means all, because they may be millions. */
const AT_ONCE = 64;

async function every(paths: readonly string[], holds: (path: string) => Promise<boolean>): Promise<boolean> {
  for (let from = 0; from < paths.length; from += AT_ONCE)
    if ((await Promise.all(paths.slice(from, from + AT_ONCE).map(holds))).includes(false)) return false;
  return true;
}

/** Patterns without their escapes: where the look for what they match begins is one of the directories in that. */
const writtenPaths = (named: DataSpec): string[] =>
  "files" in named ? [named.files].flat().map((pattern) => pattern.replaceAll("\\", "")) : pathsOf(named);

/** Dots that mean the directory above, also as one of several in braces. */
const leadsUp = (path: string): boolean => /(?<=[/{,])\.\.(?=[/},]|$)/.test(path);

/** Nowhere else than below the root is looked for what patterns match, lest the answer tell whether there is anything. */
async function isBelow(start: string, named: DataSpec): Promise<boolean> {
  const isInside = insideOf(start);
  const written = writtenPaths(named);
  if (written.some(leadsUp) || !(await every(written, isInside))) return false;
  return !("files" in named) || every(await matchFiles(named), isInside);
}

/** Whether a path leads to the root or below it, or would if it existed. A directory is followed once for all files in it. */
function insideOf(start: string): (path: string) => Promise<boolean> {
  const directories = new Map<string, Promise<string>>();
  const directoryOf = (path: string): Promise<string> => {
    const directory = dirname(path);
    const known = directories.get(directory) ?? leadsTo(directory);
    directories.set(directory, known);
    return known;
  };
  /** Of what does not exist, where it would lie. @throws for a link that leads nowhere, and what cannot be looked at */
  const leadsTo = async (path: string): Promise<string> => {
    if (path === dirname(path)) return path;
    const info = await lstat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    return info?.isSymbolicLink() ? realpath(path) : join(await directoryOf(path), basename(path));
  };
  return async (path) => `${await leadsTo(resolve(path)).catch(() => "")}${sep}`.startsWith(start);
}

/** What every path below the root begins with; null where there is none. */
async function startOf(root: string): Promise<string | null> {
  const start = await realpath(root).catch(() => null);
  return start === null || start.endsWith(sep) ? start : start + sep;
}

/** Links may have been exchanged since its path was looked at: what counts is where that lies which was opened. */
async function liesBelow(start: string, opened: FileHandle, path: string): Promise<boolean> {
  // Linux says where; elsewhere it must be what the path leads to now.
  const said = await readlink(`/proc/self/fd/${opened.fd}`).catch(() => null);
  if (said !== null) return said.startsWith(start);
  const place = await realpath(path).catch(() => "");
  const [there, here] = await Promise.all([stat(place).catch(() => null), opened.stat()]);
  return place.startsWith(start) && there?.dev === here.dev && there.ino === here.ino;
}

const isFile = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => null))?.isFile() ?? false;
