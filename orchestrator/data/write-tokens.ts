/**
 * Writing token files: a buffered writer of little-endian ids, and the cut of one file into training and validation.
 */
import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { endianness } from "node:os";

export type Dtype = "uint16" | "uint32";
export type Tokens = Uint16Array | Uint32Array;

export const bytesPerToken = (dtype: Dtype): number => (dtype === "uint16" ? 2 : 4);
export const dtypeOf = (vocabSize: number): Dtype => (vocabSize <= 1 << 16 ? "uint16" : "uint32");

const BUFFER_BYTES = 1 << 20;

export class TokenWriter {
  readonly #file: FileHandle;
  readonly #dtype: Dtype;
  #parts: Buffer[] = [];
  #pending = 0;
  #count = 0;

  private constructor(file: FileHandle, dtype: Dtype) {
    this.#file = file;
    this.#dtype = dtype;
  }

  static async create(path: string, dtype: Dtype): Promise<TokenWriter> {
    return new TokenWriter(await open(path, "w"), dtype);
  }

  get count(): number {
    return this.#count;
  }

  async write(tokens: Tokens): Promise<void> {
    const ids = this.#dtype === "uint16" ? new Uint16Array(tokens) : new Uint32Array(tokens);
    const bytes = Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength);
    if (endianness() === "BE") this.#dtype === "uint16" ? bytes.swap16() : bytes.swap32();
    this.#parts.push(bytes);
    this.#pending += bytes.length;
    this.#count += ids.length;
    if (this.#pending >= BUFFER_BYTES) await this.#flush();
  }

  async #flush(): Promise<void> {
    if (this.#pending === 0) return;
    await this.#file.writeFile(Buffer.concat(this.#parts));
    this.#parts = [];
    this.#pending = 0;
  }

  /** Writes what is left, reaches the disk, closes. */
  async close(): Promise<void> {
    try {
      await this.#flush();
      await this.#file.sync();
    } finally {
      await this.#file.close();
    }
  }
}

const idAt = (buffer: Buffer, offset: number, dtype: Dtype): number =>
  dtype === "uint16" ? buffer.readUInt16LE(offset) : buffer.readUInt32LE(offset);

/**
 * Moves the tail of a token file into another: everything from the first line end at or after token `at`, or from `at`
 * itself where no line ends within the next mebibyte.
 * @returns tokens in the head and in the tail
 */
export async function splitTail(
  head: string,
  tail: string,
  dtype: Dtype,
  at: number,
  endsLine: (token: number) => boolean,
): Promise<[number, number]> {
  const size = bytesPerToken(dtype);
  const source = await open(head, "r+");
  const target = await open(tail, "w");
  try {
    const total = (await source.stat()).size / size;
    const buffer = Buffer.alloc(BUFFER_BYTES);
    const near = await source.read(buffer, 0, buffer.length, at * size);
    let cut = at;
    for (let i = 0; i < near.bytesRead; i += size) {
      if (endsLine(idAt(buffer, i, dtype))) {
        cut = Math.min(at + i / size + 1, total);
        break;
      }
    }
    // A line end that is the last token of all leaves no tail: cut where asked.
    if (cut >= total) cut = at;
    for (let position = cut * size; ; ) {
      const { bytesRead } = await source.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) break;
      await target.writeFile(buffer.subarray(0, bytesRead));
      position += bytesRead;
    }
    await source.truncate(cut * size);
    await Promise.all([source.sync(), target.sync()]);
    return [cut, total - cut];
  } finally {
    await Promise.all([source.close(), target.close()]);
  }
}

/** SHA-256 over a label and the bytes of files, each preceded by its length; the first 32 hex digits. */
export async function hashFiles(label: string, paths: readonly string[]): Promise<string> {
  const handles: FileHandle[] = [];
  try {
    for (const path of paths) handles.push(await open(path, "r"));
    return await hashOpened(label, handles);
  } finally {
    await Promise.all(handles.map((handle) => handle.close()));
  }
}

/** The same, of files that are open, from their beginnings. */
export async function hashOpened(label: string, files: readonly FileHandle[]): Promise<string> {
  const hash = createHash("sha256").update(label);
  const buffer = Buffer.alloc(BUFFER_BYTES);
  for (const file of files) {
    const { size } = await file.stat();
    hash.update(`\n${size}\n`);
    for (let position = 0; position < size; ) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, size - position), position);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
      position += bytesRead;
    }
  }
  return hash.digest("hex").slice(0, 32);
}
