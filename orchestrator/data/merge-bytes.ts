/**
 * Byte-pair encoding of one long word in O(n log n). gpt-tokenizer looks at the whole word for every merge, which is fast for words
 * as people write them, and takes the better part of an hour for a megabyte of one letter.
 */

/** Ids, which are also the ranks of merges: of every token the text, or the bytes where these are no UTF-8. */
export type Ranks = readonly (string | readonly number[])[];

/** Above every rank, of parts that do not merge. */
const NONE = 2 ** 31 - 1;
/** A merge that is due is one number, so that the smallest is of the lowest rank, and among equals the leftmost. */
const POSITIONS = 2 ** 32;

/** @param ranks of GPT-2: every single byte is in it */
export function mergerOf(ranks: Ranks): (word: string) => number[] {
  // Bytes as characters up to U+00FF: a string is hashed faster than anything else.
  const known = new Map<string, number>();
  ranks.forEach((token, rank) => {
    const bytes = typeof token === "string" ? Buffer.from(token) : Buffer.from([...token]);
    known.set(bytes.toString("latin1"), rank);
  });
  return (word) => mergeBytes(Buffer.from(word).toString("latin1"), known);
}

/** Parts are known by the byte at which they start. Whichever two side by side have the lowest rank become one, until none have any. */
function mergeBytes(bytes: string, known: ReadonlyMap<string, number>): number[] {
  const count = bytes.length;
  const next = Int32Array.from({ length: count }, (_, i) => i + 1);
  const previous = Int32Array.from({ length: count }, (_, i) => i - 1);
  /** Of a part together with the next one. */
  const rankAt = new Int32Array(count).fill(NONE);
  const due = new Heap();
  const look = (at: number): void => {
    const middle = next[at]!;
    rankAt[at] = middle === count ? NONE : (known.get(bytes.slice(at, next[middle])) ?? NONE);
    if (rankAt[at] !== NONE) due.push(rankAt[at]! * POSITIONS + at);
  };
  for (let at = 0; at < count; at++) look(at);
  for (let least = due.pop(); least !== undefined; least = due.pop()) {
    const at = least % POSITIONS;
    // One of the two has become part of something else since.
    if (rankAt[at] !== (least - at) / POSITIONS) continue;
    const merged = next[at]!;
    rankAt[merged] = NONE;
    next[at] = next[merged]!;
    if (next[at]! < count) previous[next[at]!] = at;
    look(at);
    if (at > 0) look(previous[at]!);
  }
  const ids: number[] = [];
  for (let at = 0; at < count; at = next[at]!) ids.push(known.get(bytes.slice(at, next[at]))!);
  return ids;
}

/** Numbers, of which the smallest comes first: a binary heap. */
class Heap {
  readonly #values: number[] = [];

  push(value: number): void {
    const values = this.#values;
    let at = values.length;
    values.push(value);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (values[parent]! <= value) break;
      values[at] = values[parent]!;
      at = parent;
    }
    values[at] = value;
  }

  pop(): number | undefined {
    const values = this.#values;
    const [least, last] = [values[0], values.pop()];
    if (values.length === 0 || last === undefined) return least;
    let at = 0;
    for (let child = 1; child < values.length; child = 2 * at + 1) {
      if (child + 1 < values.length && values[child + 1]! < values[child]!) child += 1;
      if (values[child]! >= last) break;
      values[at] = values[child]!;
      at = child;
    }
    values[at] = last;
    return least;
  }
}
