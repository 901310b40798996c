/**
 * What a source is, before it is tokenized: a hash over its bytes as they lie on disk. Hashing a large file takes
 * seconds, so the hash is remembered under the file's path, size, inode and times, as git remembers its working tree. By what is
 * remembered of a path, a file that is gone is still known.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { MusweepError } from "../../schema/wire/errors.ts";
import { openRegular } from "../../schema/wire/regular-file.ts";
import { readError } from "./errors.ts";
import { matchFiles } from "./match-files.ts";
import { changed, corpusFiles, type ReadOptions, readChunks, stampOf, stampTextOf } from "./read-source.ts";
import { type DataSpec, type FilesSource, pathsOf, placeOf } from "./spec.ts";
import { hashFiles, hashOpened } from "./write-tokens.ts";

const rememberedSchema = z.strictObject({ stamp: z.string(), hash: z.string() });

/** A file changed this shortly ago may change again within the clock's tick without a new time: it will be hashed again. */
const RACY_MS = 2000;
const NO_STAMP = "";

interface SourceFile {
  path: string;
  size: number;
  /** It must be this still when it is read. */
  stamp: string;
}

export interface Source {
  hash: string;
  /** Of all files together, as they lie on disk. */
  bytes: number;
  /** The user's; none for a shipped corpus. */
  files: readonly SourceFile[];
  /** Why it cannot be read, where a file of it is not there any more: then the hash is of what was there last. */
  gone?: Error;
}

/** Writes a small file so that a reader sees the old one or the new one, never a part. */
export async function writeAtomically(file: string, text: string): Promise<void> {
  const temporary = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(temporary, text);
  await rename(temporary, file);
}

export async function readJson<T>(file: string, schema: z.ZodType<T>): Promise<T | null> {
  try {
    return schema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch {
    // Missing or damaged: both mean that the work is done again.
    return null;
  }
}

async function identifyOne(
  file: string,
  memory: string,
  { signal, checkOpened }: ReadOptions,
): Promise<SourceFile & Pick<Source, "hash" | "gone">> {
  signal?.throwIfAborted();
  const real = path.resolve(file);
  const entry = path.join(memory, `${createHash("sha256").update(real).digest("hex").slice(0, 32)}.json`);
  try {
    const handle = await openRegular(real, checkOpened);
    try {
      const { size, text } = await stampOf(handle);
      const { ctimeNs } = await handle.stat({ bigint: true });
      const source = { path: file, size, stamp: text };
      // The time of its last change in any respect cannot be set back, as that of its content can.
      const stamp = `${text} ${ctimeNs}`;
      const remembered = await readJson(entry, rememberedSchema);
      if (remembered?.stamp === stamp) return { ...source, hash: remembered.hash };
      const hash = await hashOpened("source", [handle]);
      if ((await stampOf(handle)).text !== text) throw changed(file);
      const isRacy = Date.now() - Number(ctimeNs / 1_000_000n) <= RACY_MS;
      await writeAtomically(entry, JSON.stringify({ stamp: isRacy ? NO_STAMP : stamp, hash }));
      return { ...source, hash };
    } finally {
      await handle.close();
    }
  } catch (error) {
    const said = readError(file, error);
    const remembered =
      (error as NodeJS.ErrnoException).code === "ENOENT" && (await readJson(entry, rememberedSchema));
    if (!remembered) throw said;
    return { path: file, size: 0, stamp: NO_STAMP, hash: remembered.hash, gone: said as Error };
  }
}

/**
 * Of many files: one hash over all, of each how it is packed, its length and its bytes, in their order. It is remembered under the
 * patterns, and a stamp of every file.
 */
async function identifyFiles(spec: FilesSource, memory: string, options: ReadOptions): Promise<Source> {
  const paths = await matchFiles(spec);
  if (paths.length === 0) throw noneMatches(spec);
  const stamp = createHash("sha256");
  let newest = 0n;
  const files: SourceFile[] = [];
  for (const file of paths) {
    options.signal?.throwIfAborted();
    const info = await stat(file, { bigint: true }).catch((error: unknown) => {
      throw readError(file, error);
    });
    const text = stampTextOf(info);
    if (info.ctimeNs > newest) newest = info.ctimeNs;
    stamp.update(`${file}\n${text} ${info.ctimeNs}\n`);
    files.push({ path: file, size: Number(info.size), stamp: text });
  }
  const source = { files, bytes: files.reduce((sum, { size }) => sum + size, 0) };
  const named = createHash("sha256").update(JSON.stringify(spec.files)).digest("hex").slice(0, 32);
  const entry = path.join(memory, `${named}.json`);
  const now = stamp.digest("hex");
  const remembered = await readJson(entry, rememberedSchema);
  if (remembered?.stamp === now) return { ...source, hash: remembered.hash };
  const found = await hashContents(files, options);
  const isRacy = Date.now() - Number(newest / 1_000_000n) <= RACY_MS;
  await writeAtomically(entry, JSON.stringify({ stamp: isRacy ? NO_STAMP : now, hash: found }));
  return { ...source, hash: found };
}

async function hashContents(files: readonly SourceFile[], options: ReadOptions): Promise<string> {
  const hash = createHash("sha256").update("files");
  const stamps = new Map(files.map((file) => [file.path, file.stamp]));
  for (const { path: file, size } of files) {
    hash.update(`\n${PACKING.exec(file)?.[0] ?? ""} ${size}\n`);
    try {
      for await (const chunk of readChunks(file, { ...options, stamps })) hash.update(chunk);
    } catch (error) {
      options.signal?.throwIfAborted();
      throw readError(file, error);
    }
  }
  return hash.digest("hex").slice(0, 32);
}
/** The same bytes are read otherwise under another of these names. */
const PACKING = /(\.jsonl|\.ndjson|\.json)?(\.gz|\.zst)?$/;

const noneMatches = (spec: FilesSource): MusweepError =>
  new MusweepError("data-missing", `no file matches ${placeOf(spec)}`, {
    kind: "unavailable",
    remedy:
      "Check the pattern; a relative one in a sweep file is relative to that file. Of a folder, .txt, .jsonl, .ndjson and .json.gz are read.",
  });

/** @throws MusweepError when a file of it is not there, or none that can be read; nothing is remembered */
export async function requireSource(spec: DataSpec): Promise<void> {
  if ("files" in spec && (await matchFiles(spec)).length === 0) throw noneMatches(spec);
  for (const file of pathsOf(spec))
    await openRegular(path.resolve(file)).then(
      (handle) => handle.close(),
      (error: unknown) => {
        throw readError(file, error);
      },
    );
}

/**
 * @param memory directory for remembered hashes
 * @throws MusweepError when a file is missing, unreadable, or none that can be read
 */
export async function identifySource(spec: DataSpec, memory: string, options: ReadOptions): Promise<Source> {
  if ("corpus" in spec) {
    const paths = await corpusFiles(spec.corpus);
    const sizes = await Promise.all(paths.map(async (file) => (await stat(file)).size));
    return {
      hash: await hashFiles(spec.corpus, paths),
      bytes: sizes.reduce((a, b) => a + b, 0),
      files: [],
    };
  }
  if ("files" in spec) return identifyFiles(spec, memory, options);
  const files: (SourceFile & Pick<Source, "hash" | "gone">)[] = [];
  for (const file of pathsOf(spec)) files.push(await identifyOne(file, memory, options));
  const gone = files.find((file) => file.gone !== undefined)?.gone;
  return {
    ...(gone === undefined ? {} : { gone }),
    hash: files.map((file) => file.hash).join("+"),
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    files,
  };
}
