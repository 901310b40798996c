/**
 * Reads and writes safetensors files of float32 tensors: 8 bytes header length, a JSON header, raw little-endian data
 * (github.com/huggingface/safetensors). Files are written beside their destination and renamed, so a reader sees a whole file
 * or none; a SHA-256 over everything but itself tells a damaged file from a good one.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { canonicalJson } from "../../schema/plan.ts";

export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

const entrySchema = z.object({
  dtype: z.literal("F32"),
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

/** Over names, shapes and offsets, the metadata without the checksum itself, and the data. */
function checksumOf(
  entries: Record<string, unknown>,
  metadata: Record<string, string>,
  tensors: Iterable<Float32Array>,
): string {
  const hash = createHash("sha256").update(canonicalJson({ entries, metadata }));
  for (const data of tensors) hash.update(bytesOf(data));
  return hash.digest("hex");
}

function writeAll(handle: number, bytes: Uint8Array): void {
  let done = 0;
  while (done < bytes.length) done += writeSync(handle, bytes, done, bytes.length - done);
}

function readAll(handle: number, bytes: Uint8Array, position: number): void {
  let done = 0;
  while (done < bytes.length) {
    const n = readSync(handle, bytes, done, bytes.length - done, position + done);
    if (n === 0) throw new Error(`the file ends at byte ${position + done}`);
    done += n;
  }
}

/**
 * Writes the tensors and metadata to `path`, whole or not at all, and durably.
 * @returns the file's size in bytes
 */
export function writeSafetensors(
  path: string,
  tensors: readonly NamedTensor[],
  metadata: Record<string, string>,
): number {
  let offset = 0;
  const entries = Object.fromEntries(
    tensors.map(({ name, shape, data }) => {
      const start = offset;
      offset += data.byteLength;
      return [name, { dtype: "F32", shape, data_offsets: [start, offset] }];
    }),
  );
  const sum = checksumOf(
    entries,
    metadata,
    tensors.map((t) => t.data),
  );
  const json = JSON.stringify({ [METADATA]: { ...metadata, [CHECKSUM]: sum }, ...entries });
  // Data starts at a multiple of 8, so that it can be mapped.
  const header = Buffer.from(json.padEnd(json.length + ((8 - (Buffer.byteLength(json) % 8)) % 8)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));

  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  const handle = openSync(temporary, "w");
  try {
    writeAll(handle, length);
    writeAll(handle, header);
    for (const { data } of tensors) writeAll(handle, bytesOf(data));
    fsyncSync(handle);
  } catch (error) {
    closeSync(handle);
    rmSync(temporary, { force: true });
    throw error;
  }
  closeSync(handle);
  renameSync(temporary, path);
  syncDirectory(dirname(path));
  return length.length + header.length + offset;
}

/** Makes a rename in this directory durable. */
function syncDirectory(directory: string): void {
  const handle = openSync(directory, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/**
 * Reads tensors into the given arrays and returns the metadata.
 * @param wanted exactly the tensors of the file, each with the shape it must have
 * @throws Error that says what is wrong with the file; the arrays may then hold anything
 */
export function readSafetensors(path: string, wanted: readonly NamedTensor[]): Record<string, string> {
  const handle = openSync(path, "r");
  try {
    const length = Buffer.alloc(8);
    readAll(handle, length, 0);
    const headerLength = Number(length.readBigUInt64LE());
    if (headerLength > Math.min(MAX_HEADER_BYTES, statSync(path).size))
      throw new Error("its header length is wrong");
    const header = Buffer.alloc(headerLength);
    readAll(handle, header, 8);
    const { [METADATA]: rawMetadata, ...rawEntries } = z
      .record(z.string(), z.unknown())
      .parse(JSON.parse(header.toString()));
    const { [CHECKSUM]: expected, ...metadata } = metadataSchema.parse(rawMetadata);
    const entries = z.record(z.string(), entrySchema).parse(rawEntries);
    if (Object.keys(entries).length !== wanted.length) throw new Error("it holds other tensors");
    const byOffset: [offset: number, data: Float32Array][] = [];
    for (const { name, shape, data } of wanted) {
      const entry = entries[name];
      if (entry === undefined) throw new Error(`it has no tensor ${name}`);
      const [start, end] = entry.data_offsets;
      if (canonicalJson(entry.shape) !== canonicalJson(shape) || end - start !== data.byteLength)
        throw new Error(`its tensor ${name} has another shape`);
      readAll(handle, bytesOf(data), 8 + headerLength + start);
      byOffset.push([start, data]);
    }
    const inFileOrder = byOffset.sort((a, b) => a[0] - b[0]).map(([, data]) => data);
    if (checksumOf(entries, metadata, inFileOrder) !== expected)
      throw new Error("its checksum does not match");
    return metadata;
  } finally {
    closeSync(handle);
  }
}
