/**
 * Reads and writes safetensors files of float32 tensors, and of bytes: 8 bytes header length, a JSON header, raw little-endian data
 * (github.com/huggingface/safetensors). Files are written beside their destination and renamed, so a reader sees a whole file
 * or none; a SHA-256 over everything but itself tells a damaged file from a good one.
 */
import { createHash, randomUUID } from "node:crypto";
import {
  closeSync,
  fstatSync,
  fsync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  write,
} from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import { canonicalJson } from "../../../schema/wire/plan.ts";
import { openRegularSync } from "../../../schema/wire/regular-file.ts";

export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
  /** Where `data` is memory that other tensors use as well: fills it, and takes what was read out of it. */
  readonly beforeWriting?: () => void;
  readonly afterReading?: () => void;
}

/** Bytes under a name, behind all tensors; there may be many more of them than a header can hold. */
export interface NamedBytes {
  readonly name: string;
  readonly pieces: readonly Uint8Array[];
}

const entrySchema = z.object({
  dtype: z.enum(["F32", "U8"]),
  shape: z.array(z.int().nonnegative()),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
});
const metadataSchema = z.record(z.string(), z.string());

/** Longest header that is read; the reference implementation's own limit. */
const MAX_HEADER_BYTES = 100_000_000;
const CHECKSUM = "sha256";
const METADATA = "__metadata__";

const bytesOf = (data: Float32Array): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** Over names, shapes and offsets, the metadata without the checksum itself, and then the data. */
const checksum = (entries: Record<string, unknown>, metadata: Record<string, string>) =>
  createHash("sha256").update(canonicalJson({ entries, metadata }));

/** What is hashed while it is written, or once it is read: neither takes 2 GiB at once. */
const PIECE_BYTES = 2 ** 22;

/** By another thread, as is what reaches the disk; the rest of the file's handling takes no time to speak of. */
const writeAside = promisify(write);
const syncAside = promisify(fsync);

async function writeAll(handle: number, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await writeAside(handle, bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

function readAll(handle: number, bytes: Uint8Array, position: number): void {
  let done = 0;
  while (done < bytes.length) {
    const n = readSync(handle, bytes, done, bytes.length - done, position + done);
    if (n === 0) throw new Error(`the file ends at byte ${position + done}`);
    done += n;
  }
}

/** A file that is written, but perhaps not to disk, and not yet under its name. */
export interface StagedFile {
  readonly bytes: number;
  /** Makes it durable and gives it its name; until then a reader sees what was there before. Waits for the disk, needs no core. */
  commit(): Promise<void>;
}

/** Writes the tensors and metadata to `path`, whole or not at all. The arrays may change once this has resolved, before `commit`. */
export async function stageSafetensors(
  path: string,
  tensors: readonly NamedTensor[],
  metadata: Record<string, string>,
  bytes: readonly NamedBytes[] = [],
): Promise<StagedFile> {
  let offset = 0;
  const entryOf = (dtype: "F32" | "U8", shape: readonly number[], size: number) => {
    offset += size;
    return { dtype, shape, data_offsets: [offset - size, offset] };
  };
  const entries = Object.fromEntries([
    ...tensors.map(({ name, shape, data }) => [name, entryOf("F32", shape, data.byteLength)]),
    ...bytes.map(({ name, pieces }) => {
      const size = pieces.reduce((sum, { length }) => sum + length, 0);
      return [name, entryOf("U8", [size], size)];
    }),
  ]);
  const header = (sum: string): Buffer =>
    headerOf({ [METADATA]: { ...metadata, [CHECKSUM]: sum }, ...entries });
  const hash = checksum(entries, metadata);
  // A checksum is as long as another.
  const dataStart = header(hash.copy().digest("hex")).length;

  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${randomUUID().slice(0, 8)}.tmp`;
  const handle = openSync(temporary, "w");
  try {
    let position = dataStart;
    for (const piece of piecesOf(tensors, bytes)) {
      const written = writeAll(handle, piece, position);
      hash.update(piece);
      await written;
      position += piece.length;
    }
    await writeAll(handle, header(hash.digest("hex")), 0);
  } catch (error) {
    closeSync(handle);
    rmSync(temporary, { force: true });
    throw error;
  }
  const commit = async (): Promise<void> => {
    try {
      await syncAside(handle).finally(() => closeSync(handle));
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    await syncDirectory(dirname(path));
  };
  return { bytes: dataStart + offset, commit };
}

/** Length and JSON, padded so that data starts at a multiple of 8 and can be mapped. */
function headerOf(contents: Record<string, unknown>): Buffer {
  const json = JSON.stringify(contents);
  const padded = Buffer.from(json.padEnd(json.length + ((8 - (Buffer.byteLength(json) % 8)) % 8)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded]);
}

function* piecesOf(tensors: readonly NamedTensor[], bytes: readonly NamedBytes[]): Generator<Uint8Array> {
  for (const { data, beforeWriting } of tensors) {
    beforeWriting?.();
    for (let start = 0; start < data.byteLength; start += PIECE_BYTES)
      yield bytesOf(data).subarray(start, start + PIECE_BYTES);
  }
  for (const { pieces } of bytes) yield* pieces;
}

/**
 * Writes the tensors and metadata to `path`, whole or not at all, and durably.
 * @returns the file's size in bytes
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly NamedTensor[],
  metadata: Record<string, string>,
): Promise<number> {
  const file = await stageSafetensors(path, tensors, metadata);
  await file.commit();
  return file.bytes;
}

/** Makes a rename in this directory durable. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = openSync(directory, "r");
  try {
    await syncAside(handle);
  } finally {
    closeSync(handle);
  }
}

/**
 * Reads tensors into the given arrays and returns the metadata.
 * @param wanted exactly the tensors of the file, each with the shape it must have
 * @param bytes gets what the file holds beside tensors
 * @throws Error that says what is wrong with the file; the arrays may then hold anything
 */
export function readSafetensors(
  path: string,
  wanted: readonly NamedTensor[],
  bytes = new Map<string, Buffer>(),
): Record<string, string> {
  const handle = openRegularSync(path);
  try {
    const { size } = fstatSync(handle);
    const length = Buffer.alloc(8);
    readAll(handle, length, 0);
    const headerLength = Number(length.readBigUInt64LE());
    if (headerLength > Math.min(MAX_HEADER_BYTES, size)) throw new Error("its header length is wrong");
    const header = Buffer.alloc(headerLength);
    readAll(handle, header, 8);
    const { [METADATA]: rawMetadata, ...rawEntries } = z
      .record(z.string(), z.unknown())
      .parse(JSON.parse(header.toString()));
    const { [CHECKSUM]: expected, ...metadata } = metadataSchema.parse(rawMetadata);
    const entries = z.record(z.string(), entrySchema).parse(rawEntries);
    const found: { start: number; room: Uint8Array; afterReading?: () => void }[] = [];
    for (const [name, { dtype, shape, data_offsets }] of Object.entries(entries)) {
      if (dtype !== "U8") continue;
      const [start, end] = data_offsets;
      if (end - start !== shape[0] || end > size) throw new Error(`its bytes ${name} have another length`);
      const room = Buffer.alloc(end - start);
      bytes.set(name, room);
      found.push({ start, room });
    }
    if (Object.keys(entries).length - found.length !== wanted.length)
      throw new Error("it holds other tensors");
    for (const { name, shape, data, afterReading } of wanted) {
      const entry = entries[name];
      if (entry === undefined) throw new Error(`it has no tensor ${name}`);
      const [start, end] = entry.data_offsets;
      if (
        entry.dtype !== "F32" ||
        canonicalJson(entry.shape) !== canonicalJson(shape) ||
        end - start !== data.byteLength
      )
        throw new Error(`its tensor ${name} has another shape`);
      found.push({ start, room: bytesOf(data), ...(afterReading && { afterReading }) });
    }
    const hash = checksum(entries, metadata);
    for (const { start, room, afterReading } of found.sort((a, b) => a.start - b.start)) {
      for (let at = 0; at < room.length; at += PIECE_BYTES) {
        const piece = room.subarray(at, at + PIECE_BYTES);
        readAll(handle, piece, 8 + headerLength + start + at);
        hash.update(piece);
      }
      afterReading?.();
    }
    if (hash.digest("hex") !== expected) throw new Error("its checksum does not match");
    return metadata;
  } finally {
    closeSync(handle);
  }
}
