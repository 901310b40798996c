/**
 * A file with a table of results, told by its first bytes and not by its name: text as it is or compressed (gzip, zstd), or
 * Apache Parquet.
 */
import { gunzipSync } from "node:zlib";
import { decompress } from "fzstd";
import { readError } from "../data/errors.ts";
import { decompressZstd } from "../data/zstd.ts";
import { MAX_TABLE_BYTES, mistake, readTable, type Table, tableOf } from "./read-table.ts";

/** Of a Parquet file, whose rows may take no bytes at all. */
const MAX_CELLS = 20_000_000;

/** @throws MusweepError (usage) with the line of the first mistake */
export async function readTableFile(bytes: Buffer, file: string): Promise<Table> {
  const plain = await unpacked(bytes, file);
  return startsWith(plain, "50415231") ? readParquet(plain, file) : readTable(plain.toString("utf8"), file);
}

const startsWith = (bytes: Buffer, hex: string): boolean => bytes.toString("hex", 0, hex.length / 2) === hex;

const tooLarge = (file: string): Error =>
  mistake(file, 1, `larger than ${MAX_TABLE_BYTES / 2 ** 20} MiB; expected one line a finished run`);

async function unpacked(bytes: Buffer, file: string): Promise<Buffer> {
  try {
    if (startsWith(bytes, "1f8b")) return gunzipSync(bytes, { maxOutputLength: MAX_TABLE_BYTES });
    if (startsWith(bytes, "28b52ffd")) return await unpackedZstd(bytes, file);
    return bytes;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(file);
    throw readError(file, error);
  }
}

async function unpackedZstd(bytes: Buffer, file: string): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of decompressZstd(once(bytes), file)) {
    length += part.length;
    if (length > MAX_TABLE_BYTES) throw tooLarge(file);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

async function readParquet(bytes: Buffer, file: string): Promise<Table> {
  const { parquetMetadata, parquetReadObjects } = await import("hyparquet");
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
  try {
    const metadata = parquetMetadata(buffer);
    const columns = metadata.row_groups.flatMap((group) => group.columns);
    const size = columns.reduce(
      (sum, { meta_data }) => sum + Number(meta_data?.total_uncompressed_size ?? 0),
      0,
    );
    const cells = Number(metadata.num_rows) * metadata.schema.length;
    if (size > MAX_TABLE_BYTES || cells > MAX_CELLS) throw tooLarge(file);
    const rows = await parquetReadObjects({
      file: buffer,
      metadata,
      compressors: {
        GZIP: (input, length) => gunzipSync(input, { maxOutputLength: Math.max(1, length) }),
        ZSTD: (input, length) => decompress(input, new Uint8Array(length)),
      },
    });
    return tableOf(rows.map(plainRow), file);
  } catch (error) {
    if (error instanceof Error && error.name === "MusweepError") throw error;
    throw mistake(file, 1, `not valid Parquet: ${(error as Error).message}`);
  }
}

/** Whole numbers come as bigint, times as Date. */
const plainRow = (row: Record<string, unknown>): Record<string, unknown> =>
  JSON.parse(
    JSON.stringify(row, (_key, value: unknown) => {
      if (typeof value === "bigint") return Number(value);
      return typeof value === "number" && !Number.isFinite(value) ? null : value;
    }),
  ) as Record<string, unknown>;
