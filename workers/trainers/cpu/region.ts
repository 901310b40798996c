/**
 * A run's numbers in one piece of memory outside of the garbage collector's: large enough for huge pages, of a size that is known
 * before it starts, and given back the moment the run ends.
 */

import { constants } from "node:buffer";
import koffi from "koffi";
import { MusweepError } from "../../../schema/wire/errors.ts";
import { native } from "../common/native.ts";

const mapMemory = native.func("void* map_memory(int64_t)");
const unmapMemory = native.func("void unmap_memory(void*, int64_t)");

const LINE_BYTES = 64;
/** Between pieces, or those of 2^n numbers would all begin at the same place of a cache. An odd number of lines. */
const GAP_LINES = 17;

/** Bytes by name, in the order in which they lie in memory. */
export type Pieces = ReadonlyMap<string, number>;

/** Where each piece begins, and where the last one ends. */
function placesOf(pieces: Pieces): { places: Map<string, number>; bytes: number } {
  let bytes = 0;
  const places = new Map<string, number>();
  for (const [name, size] of pieces) {
    places.set(name, bytes);
    bytes += LINE_BYTES * (Math.ceil(size / LINE_BYTES) + GAP_LINES);
  }
  return { places, bytes };
}

export const regionBytes = (pieces: Pieces): number => placesOf(pieces).bytes;

export class Region {
  readonly #pieces: Pieces;
  readonly #places: Map<string, number>;
  readonly #bytes: number;
  readonly #start: bigint;
  /** Of pieces, each made once: Node's collector takes the bytes of every view for memory of its own. */
  readonly #views = new Map<string, ArrayBuffer>();

  /** Zeros. @throws MusweepError "memory" when the system has no such piece of memory */
  constructor(pieces: Pieces) {
    this.#pieces = pieces;
    const { places, bytes } = placesOf(pieces);
    this.#places = places;
    this.#bytes = bytes;
    const start = mapMemory(bytes) as bigint | null;
    if (start === null)
      throw new MusweepError(
        "memory",
        `The system has no ${Math.ceil(bytes / 2 ** 20)} MiB of memory left for this run.`,
        {
          kind: "unavailable",
          remedy: "Set a smaller micro_batch_size, or train it on a machine with more memory.",
        },
      );
    this.#start = start;
  }

  has = (name: string): boolean => this.#places.has(name);
  address = (name: string): bigint => this.#start + BigInt(this.#place(name));
  /** The numbers of a piece. @throws MusweepError "unsupported" when it is larger than an array of this Node may be */
  floats = (name: string): Float32Array => new Float32Array(this.#view(name));
  doubles = (name: string): Float64Array => new Float64Array(this.#view(name));
  integers = (name: string): Int32Array => new Int32Array(this.#view(name));
  words = (name: string): Uint32Array => new Uint32Array(this.#view(name));
  longs = (name: string): BigInt64Array => new BigInt64Array(this.#view(name));

  /** `count` numbers of a piece, which may be larger than an array, from byte `start` of it. To be kept by whoever needs them again. */
  part(name: string, start: number, count: number): Float32Array {
    return new Float32Array(viewOf(name, this.address(name) + BigInt(start), 4 * count));
  }

  #view(name: string): ArrayBuffer {
    const known = this.#views.get(name);
    if (known !== undefined) return known;
    const made = viewOf(name, this.address(name), this.#pieces.get(name)!);
    this.#views.set(name, made);
    return made;
  }

  #place(name: string): number {
    const place = this.#places.get(name);
    if (place === undefined) throw new Error(`the run's memory has no ${name}`);
    return place;
  }

  /** Nothing that came from it may be used any more. */
  release(): void {
    unmapMemory(this.#start, this.#bytes);
  }
}

/** One that is too long would end the process. */
function viewOf(name: string, address: bigint, bytes: number): ArrayBuffer {
  if (bytes > constants.MAX_LENGTH)
    throw new MusweepError(
      "unsupported",
      `The run's ${name} takes ${bytes} bytes; an array of Node.js ${process.versions.node} has at most ${constants.MAX_LENGTH}.`,
      { kind: "unavailable", remedy: "Use Node.js 22 or later, or a smaller micro_batch_size or model." },
    );
  return koffi.view(address, bytes);
}
