/**
 * Zstandard (RFC 8878) by fzstd on every Node: zlib has none before 22.15, and what it has there and in 24 ends silently after the
 * first of several frames, and some versions of it at a file that is cut short.
 *
 * fzstd is given one block at a time, because a block of four bytes may stand for 128 KiB and it hands all of a chunk's on at once;
 * and a frame only after its window is known, because it allocates a whole window for every frame and moves it for every block: a
 * file of a megabyte may hold 100,000 of either.
 */
import { Decompress } from "fzstd";
import { badData } from "./errors.ts";

/** What the zstd program itself accepts unless told otherwise: 2^27. */
const MAX_WINDOW_BYTES = 128 * 2 ** 20;
/** fzstd moves the whole window for every block: with a window above the first, blocks that hold less than the second take for ever. */
const CHEAP_WINDOW_BYTES = 8 * 2 ** 20;
const LEAST_BLOCK_BYTES = 16 * 1024;
const BLOCKS_BEFORE_JUDGING = 100;
/** What all frames of a file may allocate, and beyond that for each byte of their content. */
const WINDOWS_BEFORE_JUDGING_BYTES = 4 * MAX_WINDOW_BYTES;
const WINDOW_PER_CONTENT_BYTE = 64;
/** A frame of so few blocks has no use for a larger window than its content: what writes a line at a time makes many. */
const FEW_BLOCKS = 8;
const MAX_BLOCK_EXPONENT = 17;
const MAGIC = 0xfd2fb528;
/** Of frames that hold no data; the last half byte is free. */
const SKIPPABLE_MAGIC = 0x184d2a50;
const RLE_BLOCK = 1;

const damaged = (why: string): Error => Object.assign(new Error(why), { code: "ZSTD_DATA" });

/** Bytes of a stream, as many at a time as are asked for. */
class Bytes {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** Fewer at the end of the stream. */
  async upTo(count: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let missing = count;
    while (missing > 0) {
      if (this.#rest.length === 0) {
        const next = await this.#chunks.next();
        if (next.done) break;
        this.#rest = next.value;
      }
      const part = this.#rest.subarray(0, missing);
      this.#rest = this.#rest.subarray(part.length);
      missing -= part.length;
      parts.push(part);
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  async exactly(count: number): Promise<Uint8Array> {
    const bytes = await this.upTo(count);
    if (bytes.length < count) throw damaged("it ends in the middle of a frame");
    return bytes;
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}

/** What the frames of a file so far have cost, and for how much content. */
interface Cost {
  /** Of windows that are not cheap to move. */
  blocks: number;
  length: number;
  windowBytes: number;
  /** Of all frames for which windows were allocated. */
  contentBytes: number;
}

const littleEndian = (bytes: Uint8Array): number => bytes.reduceRight((value, byte) => value * 256 + byte, 0);

/** @param file for messages */
export async function* decompressZstd(
  chunks: AsyncIterable<Uint8Array>,
  file: string,
): AsyncGenerator<Uint8Array> {
  const bytes = new Bytes(chunks);
  const cost: Cost = { blocks: 0, length: 0, windowBytes: 0, contentBytes: 0 };
  try {
    while (true) {
      const start = await bytes.upTo(4);
      if (start.length === 0) return;
      const magic = littleEndian(start);
      if (start.length === 4 && magic - (magic % 16) === SKIPPABLE_MAGIC) await skip(bytes);
      else if (magic === MAGIC) yield* decompressFrame(start, bytes, file, cost);
      else throw damaged("it is not in the zstd format");
    }
  } finally {
    await bytes.close();
  }
}

async function skip(bytes: Bytes): Promise<void> {
  for (let left = littleEndian(await bytes.exactly(4)); left > 0; left -= 65_536)
    await bytes.exactly(Math.min(left, 65_536));
}

async function* decompressFrame(
  magic: Uint8Array,
  bytes: Bytes,
  file: string,
  cost: Cost,
): AsyncGenerator<Uint8Array> {
  const { header, window, hasChecksum } = await readHeader(bytes);
  const refused = (expected: string) =>
    badData(
      `${file}: was compressed with a window of ${Math.ceil(window / 2 ** 20)} MiB; expected ${expected}`,
      `Compress it anew: zstd -d --long=31 --stdout ${JSON.stringify(file)} | zstd -o smaller-window.zst`,
    );
  if (window > MAX_WINDOW_BYTES) throw refused(`at most ${MAX_WINDOW_BYTES / 2 ** 20} MiB`);
  const first = await readFirstBlocks(bytes);
  const small = first.at(-1)!.isLast ? smallHeader(header, first.length, window) : null;
  if (small === null) {
    cost.windowBytes += window;
    if (cost.windowBytes > WINDOWS_BEFORE_JUDGING_BYTES + WINDOW_PER_CONTENT_BYTE * cost.contentBytes)
      throw refused("smaller ones where frames are as small as in this file");
  }
  let made: Uint8Array[] = [];
  const decoder = new Decompress((chunk) => made.push(chunk));
  const push = (part: Uint8Array, isLast = false): void => {
    try {
      decoder.push(part, isLast);
    } catch (error) {
      throw damaged(error instanceof Error ? error.message : String(error));
    }
  };
  push(Buffer.concat([magic, small ?? header]));
  const isCheap = small !== null || window <= CHEAP_WINDOW_BYTES;
  for await (const { content } of restOfBlocks(first, bytes)) {
    if (!isCheap && cost.blocks++ > BLOCKS_BEFORE_JUDGING && cost.length < cost.blocks * LEAST_BLOCK_BYTES)
      throw refused(`at most ${CHEAP_WINDOW_BYTES / 2 ** 20} MiB where blocks are as small as in this file`);
    push(content);
    const length = made.reduce((sum, part) => sum + part.length, 0);
    if (!isCheap) cost.length += length;
    if (small === null) cost.contentBytes += length;
    yield* made;
    made = [];
  }
  // fzstd keeps back what is shorter than a header and a block can be.
  if (hasChecksum) push(await bytes.exactly(4));
  push(new Uint8Array(0), true);
  yield* made;
}

interface Block {
  /** With its own header. */
  content: Uint8Array;
  isLast: boolean;
}

async function readBlock(bytes: Bytes): Promise<Block> {
  const start = await bytes.exactly(3);
  const [descriptor, type] = [littleEndian(start), (start[0]! >> 1) & 3];
  const content = await bytes.exactly(type === RLE_BLOCK ? 1 : descriptor >>> 3);
  return { content: Buffer.concat([start, content]), isLast: (start[0]! & 1) === 1 };
}

async function readFirstBlocks(bytes: Bytes): Promise<Block[]> {
  const blocks = [await readBlock(bytes)];
  while (blocks.length < FEW_BLOCKS && !blocks.at(-1)!.isLast) blocks.push(await readBlock(bytes));
  return blocks;
}

async function* restOfBlocks(first: Block[], bytes: Bytes): AsyncGenerator<Block> {
  yield* first;
  for (let { isLast } = first.at(-1)!; !isLast; ) {
    const block = await readBlock(bytes);
    isLast = block.isLast;
    yield block;
  }
}

/** The header of a frame of so many blocks with a window that holds their content; null where it has no larger one. */
function smallHeader(header: Uint8Array, blocks: number, window: number): Uint8Array | null {
  const exponent = MAX_BLOCK_EXPONENT + Math.ceil(Math.log2(blocks));
  // Of the flags, the checksum's and the reserved one, which fzstd refuses.
  return window > 2 ** exponent ? Uint8Array.of(header[0]! & 0x0c, (exponent - 10) << 3) : null;
}

/** A frame's header after its magic number (RFC 8878, 3.1.1.1). */
async function readHeader(
  bytes: Bytes,
): Promise<{ header: Uint8Array; window: number; hasChecksum: boolean }> {
  const descriptor = await bytes.exactly(1);
  const flags = descriptor[0]!;
  const isSingleSegment = (flags & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][flags & 3]!;
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][flags >> 6]!;
  const rest = await bytes.exactly((isSingleSegment ? 0 : 1) + dictionaryBytes + sizeBytes);
  const size = littleEndian(rest.subarray(rest.length - sizeBytes)) + (sizeBytes === 2 ? 256 : 0);
  const exponent = 2 ** (10 + (rest[0]! >> 3));
  return {
    header: Buffer.concat([descriptor, rest]),
    window: isSingleSegment ? size : exponent + (exponent / 8) * (rest[0]! & 7),
    hasChecksum: (flags & 4) !== 0,
  };
}
