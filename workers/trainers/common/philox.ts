/**
 * Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011). A number is a pure function of (seed, stream name, index), so every engine can draw the very same initial
 * weights, masks and batches, in any order. docs/trainer-protocol.md holds the recipe in full. Long runs of them are drawn by
 * native/random.c: a model's weights are most of what starting a run takes.
 */
import { native } from "./native.ts";

const randomWords = native.func("void random_words(void*, int64_t, uint32_t, uint32_t, uint32_t)");
const normalNumbers = native.func(
  "void normal_numbers(void*, int64_t, uint32_t, uint32_t, uint32_t, double)",
);

const countBelow = native.func("int64_t count_below(double, int64_t, uint32_t, uint32_t, uint32_t)");

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

/** High 32 bits of the 64-bit product of two unsigned 32-bit numbers, as a signed integer. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16);
  const cross = Math.imul(aLow, bHigh) + (middle & 0xffff);
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (cross >>> 16)) | 0;
}

/**
 * One Philox4x32-10 block: four 32-bit words from a 128-bit counter and a 64-bit key.
 * @param out at least four elements; the words are written to its first four
 */
export function philox4x32(
  out: Uint32Array,
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
): void {
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0);
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + WEYL_0) | 0;
    k1 = (k1 + WEYL_1) | 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

const FNV_OFFSET = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;

/** FNV-1a, 64 bits, of the UTF-8 bytes of a name. */
export function fnv1a64(name: string): bigint {
  let hash = FNV_OFFSET;
  for (const byte of new TextEncoder().encode(name))
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * FNV_PRIME);
  return hash;
}

/**
 * An endless sequence of 32-bit words, addressed by position. Word w of the stream is word w mod 4 of the block with
 *   counter = [⌊w/4⌋ mod 2³², ⌊w/4⌋ div 2³², high half of FNV-1a-64(name), 0]
 *   key     = [seed, low half of FNV-1a-64(name)].
 */
export class RandomStream {
  readonly #seed: number;
  readonly #key: number;
  readonly #tag: number;

  constructor(seed: number, name: string) {
    const hash = fnv1a64(name);
    this.#seed = seed;
    this.#key = Number(hash & 0xffffffffn);
    this.#tag = Number(hash >> 32n);
  }

  /** Words 4·block … 4·block + 3. */
  block(out: Uint32Array, block: number): void {
    const high = Math.floor(block / 0x100000000);
    philox4x32(out, block, high, this.#tag, 0, this.#seed, this.#key);
  }

  /** Fills `out` with the first words, and returns it. */
  fillWords(out: Uint32Array): Uint32Array {
    randomWords(out, out.length, this.#tag, this.#seed, this.#key);
    return out;
  }

  /** How many of the first `count` words are below share·2³². */
  countBelow(share: number, count: number): number {
    return Number(countBelow(share * 0x100000000, count, this.#tag, this.#seed, this.#key));
  }

  /**
   * Fills `out` with normal numbers of mean 0: Box–Muller in float64 on word pairs (a, b) = (2j, 2j+1), rounded to
   * float32 at the end. u = (a + ½)/2³², v = (b + ½)/2³², r = √(−2 ln u); element 2j is σ·r·cos 2πv, element 2j+1 is
   * σ·r·sin 2πv.
   */
  fillNormal(out: Float32Array, standardDeviation: number): void {
    normalNumbers(out, out.length, this.#tag, this.#seed, this.#key, standardDeviation);
  }

  /** Integer in [0, bound), from words 4·index and 4·index + 1: ⌊u·bound⌋ with the 53-bit u = (⌊a/2⁵⌋·2²⁶ + ⌊b/2⁶⌋)/2⁵³. */
  integerBelow(bound: number, index: number): number {
    const four = new Uint32Array(4);
    this.block(four, index);
    const u = ((four[0]! >>> 5) * 0x4000000 + (four[1]! >>> 6)) / 2 ** 53;
    return Math.floor(u * bound);
  }
}
