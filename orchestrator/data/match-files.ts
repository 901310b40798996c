/** `data: {files: …}`: which files a folder, or a pattern, stands for, and in which order. */
import { stat } from "node:fs/promises";
import { glob } from "tinyglobby";
import { badData } from "./errors.ts";
import type { FilesSource } from "./spec.ts";

/** More files than this are a tree that nobody meant; what is really so many belongs into .jsonl files. */
const MAX_FILES = 2_000_000;
/** Of a folder. */
const TEXTS = "**/*.{txt,jsonl,ndjson}{,.gz,.zst}";

/**
 * Every file once, by its path, byte by byte: the same on every machine. Links are not followed.
 * @param spec with absolute patterns (resolvePaths)
 * @throws MusweepError where there is none
 */
export async function matchFiles({ files }: FilesSource): Promise<string[]> {
  const patterns = await Promise.all([files].flat().map(patternOf));
  const found = await glob(patterns, {
    absolute: true,
    onlyFiles: true,
    dot: false,
    expandDirectories: false,
    followSymbolicLinks: false,
  });
  if (found.length > MAX_FILES)
    throw badData(
      `${[files].flat().join(", ")}: ${found.length.toLocaleString("en-US")} files match; at most ${MAX_FILES.toLocaleString("en-US")} are read`,
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
