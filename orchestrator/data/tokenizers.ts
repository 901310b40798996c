/**
 * Text to token ids. `bytes`: the ids are the UTF-8 bytes themselves, vocabulary 256. `gpt2`: the byte-pair encoding of
 * GPT-2, vocabulary 50,257, ids equal to tiktoken's. Special tokens spelled out in the text are encoded as plain text.
 */
import { isUtf8 } from "node:buffer";
import { badData } from "./errors.ts";
import { mergerOf } from "./merge-bytes.ts";
import type { Bytes } from "./read-source.ts";
import type { Tokenizer } from "./spec.ts";
import { unfinishedLength, wellFormedUntil } from "./utf8.ts";

/** Bytes, or text that has been decoded. */
export type Piece = Bytes | string;

export interface TextEncoding {
  readonly vocabSize: number;
  /** The token that follows every document: byte 0, or GPT-2's <|endoftext|>. */
  readonly separator: number;
  /** Whether threads pay. */
  readonly isSlow: boolean;
  /** Whether a split may fall right after this token, because it ends a line. */
  endsLine(token: number): boolean;
  /** A text, however it is cut into chunks, in pieces whose ids side by side are the ids of the whole. */
  pieces(chunks: AsyncIterable<Bytes>, place: string): AsyncIterable<Piece>;
  encode(piece: Piece): Uint16Array;
}

const NEWLINE = 10;

const bytes: TextEncoding = {
  vocabSize: 256,
  separator: 0,
  isSlow: false,
  endsLine: (token) => token === NEWLINE,
  pieces: (chunks) => chunks,
  encode: (piece) => new Uint16Array(typeof piece === "string" ? Buffer.from(piece) : piece),
};

/** GPT-2's ids of "\n" and "\n\n". */
const GPT2_NEWLINE = 198;
const GPT2_TWO_NEWLINES = 628;
/** Pieces have at least this length, so that the look for a cut is rare. */
const PIECE_LENGTH = 1 << 18;
/** A longer stretch without any whitespace is no text, and all of it is held. */
const MAX_UNBROKEN_LENGTH = 1 << 24;

/**
 * The last place where the text can be cut without changing its ids: before whitespace that follows something else.
 * GPT-2's pattern has no look-behind and none of its alternatives runs across such a place. 0 where there is none.
 * @param searched so much of the beginning has none
 */
function lastSafeCut(text: string, searched: number): number {
  for (let i = text.length - 1; i >= Math.max(1, searched); i -= 1) {
    if (/\s/.test(text.charAt(i)) && /\S/.test(text.charAt(i - 1))) return i;
  }
  return 0;
}

/** @param before bytes of the text that came before these */
function decode(bytes: Bytes, place: string, before = 0): string {
  if (isUtf8(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
  throw badData(
    `${place}: not valid UTF-8, which the gpt2 tokenizer needs, from byte ${before + wellFormedUntil(bytes) + 1}`,
    "Convert the file to UTF-8 (iconv), or use the bytes tokenizer, which takes any bytes.",
  );
}

/** The text of UTF-8 that comes in chunks, wherever they are cut. */
async function* decodeStream(chunks: AsyncIterable<Bytes>, place: string): AsyncGenerator<string> {
  let rest: Bytes = new Uint8Array(0);
  let before = 0;
  for await (const chunk of chunks) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const end = bytes.length - unfinishedLength(bytes);
    yield decode(bytes.subarray(0, end), place, before);
    before += end;
    rest = bytes.subarray(end);
  }
  if (rest.length > 0) yield decode(rest, place, before);
}

/** How GPT-2 splits text into words before it merges bytes within each (openai/gpt-2, src/encoder.py). */
const WORDS = /'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/uy;
/** A character of three bytes is at most three ids, one of four bytes is two units of a string. */
const MOST_IDS_PER_UNIT = 3;
/** Longer words are merged here: no token is so long, and the library's time grows with the square. */
const LONGEST_FOR_LIBRARY = 200;
/** Words that are remembered, and how long the longest is: of code and prose together a few hundred thousand differ. */
const MOST_WORDS = 1 << 18;
const LONGEST_WORD = 64;

/** Most words come again and again: what was found for one holds. The library's own memory costs more than it saves on code. */
function remembered(find: (word: string) => number[]): (word: string) => number[] {
  const known = new Map<string, number[]>();
  return (word) => {
    const seen = known.get(word);
    if (seen !== undefined) return seen;
    const ids = find(word);
    if (known.size >= MOST_WORDS) known.clear();
    if (word.length <= LONGEST_WORD) known.set(word, ids);
    return ids;
  };
}

/** Used again and again: what is returned is a copy. */
let scratch = new Uint16Array(0);

function encodeWords(text: string, idsOf: (word: string) => number[]): Uint16Array {
  const most = MOST_IDS_PER_UNIT * text.length;
  if (scratch.length < most) scratch = new Uint16Array(most);
  const ids = scratch;
  let count = 0;
  WORDS.lastIndex = 0;
  for (let from = 0; from < text.length; from = WORDS.lastIndex) {
    WORDS.test(text);
    const word = idsOf(text.slice(from, WORDS.lastIndex));
    for (let i = 0; i < word.length; i++) ids[count++] = word[i]!;
  }
  return ids.slice(0, count);
}

async function gpt2(): Promise<TextEncoding> {
  // Imported on use: the table of merges takes a quarter of a second to load.
  const [encoding, { default: ranks }] = await Promise.all([
    import("gpt-tokenizer/encoding/r50k_base"),
    import("gpt-tokenizer/bpeRanks/r50k_base"),
  ]);
  const ordinary = { disallowedSpecial: new Set<string>() };
  let mergeLong: ReturnType<typeof mergerOf> | undefined;
  const idsOf = remembered((word) => {
    if (word.length <= LONGEST_FOR_LIBRARY) return encoding.encode(word, ordinary);
    mergeLong ??= mergerOf(ranks);
    return mergeLong(word);
  });
  return {
    vocabSize: 50_257,
    separator: 50_256,
    isSlow: true,
    endsLine: (token) => token === GPT2_NEWLINE || token === GPT2_TWO_NEWLINES,
    encode: (piece) => encodeWords(typeof piece === "string" ? piece : decode(piece, "a piece"), idsOf),
    async *pieces(chunks, place) {
      let text = "";
      let searched = 0;
      for await (const more of decodeStream(chunks, place)) {
        text += more;
        if (text.length - searched < PIECE_LENGTH) continue;
        const cut = lastSafeCut(text, searched);
        if (cut > 0) yield text.slice(0, cut);
        text = text.slice(cut);
        searched = text.length;
        if (text.length > MAX_UNBROKEN_LENGTH) {
          throw badData(
            `${place}: ${MAX_UNBROKEN_LENGTH >> 20} Mi characters without a space or newline`,
            "This does not look like text; use the bytes tokenizer for other data.",
          );
        }
      }
      if (text !== "") yield text;
    },
  };
}

export const loadTokenizer = async (name: Tokenizer): Promise<TextEncoding> =>
  name === "bytes" ? bytes : await gpt2();
