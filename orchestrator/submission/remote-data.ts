/**
 * The data of a sweep that came over HTTP. The server reads files as its own user, and whoever may submit may not thereby read
 * that user's files: only those below the directory that the user has opened, where a link that leads out of it counts as
 * outside; and those whose data set has been prepared on the server before, because then that user has named them to musweep.
 * Shipped corpora always.
 */
import { lstatSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, isAbsolute, join, sep } from "node:path";
import type { DataMeta } from "../../schema/wire/data.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { matchFiles } from "../data/match-files.ts";
import { type PrepareOptions, prepareData } from "../data/prepare.ts";
import { type DataSpec, type FilesSource, pathsOf, placeOf, resolvePaths } from "../data/spec.ts";

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
  const paths = "files" in spec ? await filesBelow(spec, root) : pathsOf(named);
  // A corpus has none.
  if (paths.every((path) => root !== undefined && isInside(root, path))) return prepareData(named, options);
  const refused = new MusweepError(
    "data-not-allowed",
    `${placeOf(spec)}: not among the files that this server reads for sweeps that come over HTTP`,
    {
      kind: "usage",
      remedy:
        "Start `musweep serve` with --data-root DIR to allow those in DIR; or, on the server itself, prepare it with " +
        "`musweep data prepare`, or submit the sweep with `musweep submit`.",
    },
  );
  if (!paths.every(isFile)) throw refused;
  try {
    return await prepareData(named, { ...options, preparedOnly: true });
  } catch {
    options.signal?.throwIfAborted();
    // Why it cannot be read is none of the asker's business.
    throw refused;
  }
}

/** What patterns stand for; nowhere else than below the root is looked for it. */
async function filesBelow(spec: FilesSource, root: string | undefined): Promise<string[]> {
  const patterns = [spec.files].flat();
  if (root === undefined || patterns.some((pattern) => isAbsolute(pattern) || pattern.includes("..")))
    return patterns;
  return matchFiles(resolvePaths(spec, root) as FilesSource);
}

function isInside(root: string, path: string): boolean {
  try {
    const start = realpathSync(root);
    return realPath(path).startsWith(start.endsWith(sep) ? start : start + sep);
  } catch {
    return false;
  }
}

/** Where a path leads; of what does not exist, where it would lie. @throws for a link that leads nowhere, and what cannot be looked at */
function realPath(path: string): string {
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) return realpathSync(path);
  return join(realPath(dirname(path)), basename(path));
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
