/**
 * What a source is, before it is tokenized: a hash over its bytes as they lie on disk. Hashing a large file takes
 * seconds, so the hash is remembered under the file's path, size, inode and times, as git remembers its working tree.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { readError } from "./errors.ts";
import { corpusFiles, type ReadOptions } from "./read-source.ts";
import { type DataSpec, pathsOf } from "./spec.ts";
import { hashFiles } from "./write-tokens.ts";

const rememberedSchema = z.strictObject({ stamp: z.string(), hash: z.string() });

/** A file changed this shortly ago may change again within the clock's tick without a new time: not remembered. */
const RACY_MS = 2000;

/** Every file that the source is read from. */
export const filesOf = async (spec: DataSpec): Promise<string[]> =>
  "corpus" in spec ? corpusFiles(spec.corpus) : pathsOf(spec);

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

async function hashOne(file: string, memory: string, signal: AbortSignal | undefined): Promise<string> {
  signal?.throwIfAborted();
  const real = path.resolve(file);
  const entry = path.join(memory, `${createHash("sha256").update(real).digest("hex").slice(0, 32)}.json`);
  try {
    const info = await stat(real, { bigint: true });
    const stamp = [info.size, info.ino, info.mtimeNs, info.ctimeNs].join(" ");
    const remembered = await readJson(entry, rememberedSchema);
    if (remembered?.stamp === stamp) return remembered.hash;
    const hash = await hashFiles("source", [real]);
    if (Date.now() - Number(info.ctimeMs) > RACY_MS)
      await writeAtomically(entry, JSON.stringify({ stamp, hash }));
    return hash;
  } catch (error) {
    throw readError(file, error);
  }
}

/**
 * @param memory directory for remembered hashes
 * @throws MusweepError when a file is missing or unreadable
 */
export async function hashSource(spec: DataSpec, memory: string, { signal }: ReadOptions): Promise<string> {
  const files = await filesOf(spec);
  if ("corpus" in spec) return hashFiles(spec.corpus, files);
  const hashes: string[] = [];
  for (const file of files) hashes.push(await hashOne(file, memory, signal));
  return hashes.join("+");
}
