/** `data: {files: …}`: which files a folder, or a pattern, stands for, and in which order. */
import { stat } from "node:fs/promises";
import { glob } from "tinyglobby";
import { badData } from "./errors.ts";
import type { FilesSource } from "./spec.ts";

/** More files than this are a tree that nobody meant; what is really so many belongs into .jsonl files. */
const MAX_FILES = 2_000_000;
/**
 * What a pattern may leave open. A file name is tried against it at every place where a `*` can end and with every choice of the
 * `{…}`, so that a few more of either take hours for one name, while nothing else happens. `**` is one, and the first `*` between
 * two slashes is none, because only one end fits it.
 */
const MAX_OPEN_STARS = 4;
const MAX_CHOICES = 1000;
/** Of a folder; a plain .json in one mostly describes what else is there. */
const TEXTS = "**/*.{{txt,jsonl,ndjson}{,.gz,.zst},json.gz,json.zst}";
/** What is no text, nor lines of it. */
const IS_TABLE = /\.(parquet|csv|tsv|arrow|feather)(\.(gz|zst))?$/i;

/**
 * Every file once, by its path, byte by byte: the same on every machine. Links are not followed.
 * @param spec with absolute patterns (resolvePaths)
 * @throws MusweepError where there is none
 */
export async function matchFiles({ files }: FilesSource): Promise<string[]> {
  const named = [files].flat();
  named.forEach(refuseEndless);
  const patterns = await Promise.all(named.map(patternOf));
  const found = await glob(patterns.map(withoutRepeats), {
    absolute: true,
    extglob: false,
    onlyFiles: true,
    dot: false,
    expandDirectories: false,
    followSymbolicLinks: false,
  });
  const table = found.find((file) => IS_TABLE.test(file));
  if (table !== undefined)
    throw badData(
      `${table}: a table, not a text`,
      "Write it as lines first, such as pandas.read_parquet(FILE).to_json(OUT, orient='records', lines=True), and name those.",
    );
  if (found.length > MAX_FILES)
    throw badData(
      `${named.join(", ")}: ${found.length.toLocaleString("en-US")} files match; at most ${MAX_FILES.toLocaleString("en-US")} are read`,
      "Put the texts into .jsonl files, one document a line.",
    );
  return [...new Set(found)]
    .map((file) => ({ file, bytes: Buffer.from(file) }))
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
    .map(({ file }) => file);
}

/** A folder stands for the texts in it and below. */
async function patternOf(pattern: string): Promise<string> {
  const plain = pattern.replaceAll(/\\(.)/g, "$1");
  const info = await stat(plain).catch(() => null);
  return info?.isDirectory() ? `${pattern.replace(/\/+$/, "")}/${TEXTS}` : pattern;
}

function refuseEndless(pattern: string): void {
  if (openStars(pattern) > MAX_OPEN_STARS)
    throw badData(
      `${pattern}: too many "*", which take too long to match: expected at most ${MAX_OPEN_STARS} that are "**", or follow another "*" between the same slashes or braces`,
      "Leave out what the file names do not need, or name the folder, or list several patterns.",
    );
  if (mostChoices(pattern) > MAX_CHOICES)
    throw badData(
      `${pattern}: its braces may stand for more than ${MAX_CHOICES.toLocaleString("en-US")} patterns, which take too long to match`,
      'Put "*" in the place of some of the braces, or list several patterns.',
    );
}

/** From the first brace to the last all is taken for one part, because a brace may have slashes in it. */
function openStars(pattern: string): number {
  const isFolders = /(?<=^|\/)\*\*(?=\/|$)/g;
  const rest = pattern.replaceAll(isFolders, "").replace(/\{.*\}/s, (braces) => braces.replaceAll("/", ""));
  const inPart = (part: string): number => Math.max(0, (part.match(/\*+/g)?.length ?? 0) - 1);
  return rest.split("/").reduce((sum, part) => sum + inPart(part), pattern.match(isFolders)?.length ?? 0);
}

/** No braces with so many commas stand for more than when each has its equal share of them. */
function mostChoices(pattern: string): number {
  const count = (sign: string): number => pattern.split(sign).length - 1;
  const braces = count("{");
  return braces === 0 ? 1 : (count(",") / braces + 1) ** braces;
}

/** Parentheses and + as they are: the matcher would take `(a+)+` for a regular expression, which can take for ever. */
const withoutRepeats = (pattern: string): string =>
  pattern.replaceAll(/\\.|[()+]/gs, (sign) => (sign.length === 2 ? sign : `\\${sign}`));
