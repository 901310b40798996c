/**
 * Prepares a data set: tokenizes a source once into <cache directory>/<hash>/ (layout in schema/wire/data.ts) and finds it
 * again at once. A data set appears whole, by a rename, or not at all; processes that prepare the same one at the same
 * time end with the same directory. Prose in docs/data.md.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { z } from "zod";
import { DATA_FILES, type DataMeta, dataMetaSchema } from "../../schema/wire/data.ts";
import { canonicalJson } from "../../schema/wire/plan.ts";
import { isRunning } from "../machine/is-running.ts";
import { encodeSource } from "./encode.ts";
import { badData, cacheError } from "./errors.ts";
import type { ReadOptions } from "./read-source.ts";
import { identifySource, readJson, type Source, writeAtomically } from "./source-identity.ts";
import {
  type DataSpec,
  type FileSource,
  type FilesSource,
  isJsonLines,
  pathsOf,
  placeOf,
  resolvePaths,
} from "./spec.ts";
import { bytesPerToken, dtypeOf, hashFiles } from "./write-tokens.ts";

/** Raised whenever a rule changes that decides which tokens come out: what was indexed under the old rules is passed over. */
const RULES_VERSION = 1;

export interface PrepareProgress {
  /** Bytes read from disk, of `total_bytes`. */
  read_bytes: number;
  total_bytes: number;
}

export interface PrepareOptions extends Pick<ReadOptions, "signal" | "checkOpened"> {
  /** Holds every data set of the state directory; made when missing. */
  cacheDirectory: string;
  /** What relative paths in the spec are relative to: the sweep file's directory. Default: the working directory. */
  baseDirectory?: string | undefined;
  /** Called while tokenizing; not called when the data set is found in the cache. */
  onProgress?: ((progress: PrepareProgress) => void) | undefined;
  /** Told when a file of the source is not there any more, and what was prepared from it is used. */
  onGone?: ((message: string) => void) | undefined;
  /** Whether what is in the cache is hashed before it is believed; what is damaged is prepared anew. */
  verify?: boolean;
  /** Tokenizes nothing: what is not in the cache is an error. */
  preparedOnly?: boolean;
}

const indexSchema = z.strictObject({ hash: z.string() });

function describe(spec: DataSpec): string {
  if ("corpus" in spec || "files" in spec) return placeOf(spec);
  const name = path.basename(placeOf(spec));
  return "file" in spec && isJsonLines(spec.file) ? `${name} (field ${spec.field})` : name;
}

/** How far a file may expand decides whether it is read, not what comes out. */
const withoutLimit = <Spec extends FileSource | FilesSource>({ max_expansion: _limit, ...rest }: Spec) =>
  rest;

/** Everything that decides the tokens, without the places where the source lies. */
function indexKey(spec: DataSpec, source: string): string {
  const rules =
    "corpus" in spec
      ? { ...spec }
      : "file" in spec
        ? { ...withoutLimit(spec), file: isJsonLines(spec.file) ? "jsonl" : "text" }
        : "files" in spec
          ? { ...withoutLimit(spec), files: "files" }
          : { ...spec, tokens: "tokens", validation_tokens: spec.validation_tokens !== undefined };
  // The bytes are hashed as they lie on disk, so how they are packed belongs to the key.
  const packing = pathsOf(spec).map((file) => /\.(gz|zst)$/.exec(file)?.[1] ?? "plain");
  const key = canonicalJson({ version: RULES_VERSION, source, packing, rules });
  return createHash("sha256").update(key).digest("hex").slice(0, 32);
}

/**
 * The data set in `directory`, or null when its description or one of its files is missing, damaged or cut short.
 * @param deep whether its files are hashed; their sizes are looked at always
 */
async function readDataMeta(directory: string, deep: boolean): Promise<DataMeta | null> {
  const meta = await readJson(path.join(directory, DATA_FILES.meta), dataMetaSchema);
  if (meta === null || meta.hash !== path.basename(directory)) return null;
  const sizes = [
    [DATA_FILES.train, meta.train_tokens],
    [DATA_FILES.validation, meta.validation_tokens],
  ] as const;
  for (const [name, tokens] of sizes) {
    const info = await stat(path.join(directory, name)).catch(() => null);
    if (info?.size !== tokens * bytesPerToken(meta.dtype)) return null;
  }
  return !deep || (await hashTokens(directory, meta)) === meta.hash ? meta : null;
}

/** What a data set is called by: a hash over all that a trainer reads of it. */
const hashTokens = (
  directory: string,
  { tokenizer, vocab_size }: Pick<DataMeta, "tokenizer" | "vocab_size">,
) =>
  hashFiles(
    `${tokenizer}\n${vocab_size}`,
    [DATA_FILES.train, DATA_FILES.validation].map((name) => path.join(directory, name)),
  );

/**
 * Reads a data set in full.
 * @param remove takes a damaged one out of the way: whatever needs it prepares it again
 * @returns what is wrong with it; null when nothing is, or when it is not there: it is prepared when it is needed
 */
export async function verifyDataSet(
  cache: string,
  hash: string,
  { remove }: { remove: boolean },
): Promise<string | null> {
  const directory = path.join(cache, hash);
  if ((await stat(directory).catch(() => null)) === null) return null;
  if ((await readDataMeta(directory, true)) !== null) return null;
  if (remove) await rm(directory, { recursive: true, force: true });
  return "damaged: it is not what its name, a hash, says";
}

const TEMPORARY = /^\.preparing-(.*)-(\d+)-[0-9a-f]+$/;

/** Which process of which host prepares, or prepared, what lies in a directory of this name. */
export function preparedBy(name: string): { host: string | undefined; pid: number } {
  const [, host, pid] = TEMPORARY.exec(name) ?? [];
  return { host, pid: Number(pid) };
}

/** Removes what killed processes of this host left behind. */
async function removeStaleTemporaries(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    const { host, pid } = preparedBy(name);
    if (host === hostname() && !isRunning(pid)) {
      await rm(path.join(cache, name), { recursive: true, force: true });
    }
  }
}

/** Moves a finished directory to its place; where a sound one is already there, that one stays. */
async function install(temporary: string, cache: string, meta: DataMeta): Promise<DataMeta> {
  const target = path.join(cache, meta.hash);
  for (;;) {
    try {
      await rename(temporary, target);
      return meta;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
      const existing = await readDataMeta(target, true);
      if (existing !== null) return existing;
      // Damaged: out of the way by a rename, so that nobody sees a directory half removed.
      const aside = `${temporary}0`;
      await rename(target, aside);
      await rm(aside, { recursive: true, force: true });
    }
  }
}

async function build(spec: DataSpec, source: Source, options: PrepareOptions): Promise<DataMeta> {
  const { cacheDirectory: cache, onProgress, signal, checkOpened } = options;
  await removeStaleTemporaries(cache);
  const empty = "files" in spec ? undefined : source.files.find(({ size }) => size === 0);
  if (empty !== undefined) throw badData(`${empty.path}: the file is empty`);
  const total_bytes = source.bytes;
  const stamps = new Map(source.files.map((file) => [file.path, file.stamp]));
  const onRead = onProgress && ((read_bytes: number) => onProgress({ read_bytes, total_bytes }));
  const temporary = path.join(
    cache,
    `.preparing-${hostname()}-${process.pid}-${randomBytes(6).toString("hex")}`,
  );
  await mkdir(temporary);
  try {
    const files = source.files.map((file) => file.path);
    const encoded = await encodeSource(spec, { files, bytes: source.bytes }, temporary, {
      signal,
      onRead,
      stamps,
      checkOpened,
    });
    const dtype = dtypeOf(encoded.vocab_size);
    const hash = await hashTokens(temporary, encoded);
    const meta: DataMeta = { version: 1, hash, source: describe(spec), dtype, ...encoded };
    await writeFile(path.join(temporary, DATA_FILES.meta), `${JSON.stringify(meta, null, 2)}\n`);
    signal?.throwIfAborted();
    return await install(temporary, cache, meta);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/**
 * @returns the description of the data set, which lies in <cacheDirectory>/<hash>/
 * @throws MusweepError (usage) for a bad file or setting, (unavailable) for a missing file or an unwritable cache
 * @throws the signal's reason when aborted; nothing is left behind
 */
export async function prepareData(source: DataSpec, options: PrepareOptions): Promise<DataMeta> {
  const { cacheDirectory: cache, baseDirectory = process.cwd(), signal, checkOpened } = options;
  const spec = resolvePaths(source, baseDirectory);
  try {
    await mkdir(cache, { recursive: true });
    const identity = await identifySource(spec, path.join(cache, "sources"), { signal, checkOpened });
    const entry = path.join(cache, "index", `${indexKey(spec, identity.hash)}.json`);
    const indexed = await readJson(entry, indexSchema);
    const known = indexed && (await readDataMeta(path.join(cache, indexed.hash), options.verify ?? false));
    if (known) {
      if (identity.gone) options.onGone?.(identity.gone.message);
      return known;
    }
    if (identity.gone) throw identity.gone;
    if (options.preparedOnly) throw badData(`${placeOf(spec)} has not been prepared`);
    const meta = await build(spec, identity, options);
    await writeAtomically(entry, `${JSON.stringify({ hash: meta.hash })}\n`);
    return meta;
  } catch (error) {
    throw cacheError(cache, error);
  }
}
