/**
 * Text to token ids. `bytes`: the ids are the UTF-8 bytes themselves, vocabulary 256. `gpt2`: the byte-pair encoding of
 * GPT-2, vocabulary 50,257, ids equal to tiktoken's. Special tokens spelled out in the text are encoded as plain text.
 */
import { isUtf8 } from "node:buffer";
import { badData } from "./errors.ts";
import type { Bytes } from "./read-source.ts";
import type { Tokenizer } from "./spec.ts";

export interface TextEncoding {
  readonly vocabSize: number;
  /** The token that follows every document: byte 0, or GPT-2's <|endoftext|>. */
  readonly separator: number;
  /** Whether a split may fall right after this token, because it ends a line. */
  endsLine(token: number): boolean;
  /** One whole document. */
  encode(text: Bytes, place: string): Uint16Array;
  /** One long text, as the ids that encode would give for the whole, chunk by chunk. */
  encodeStream(chunks: AsyncIterable<Bytes>, place: string): AsyncGenerator<Uint16Array>;
}

const NEWLINE = 10;

const bytes: TextEncoding = {
  vocabSize: 256,
  separator: 0,
  endsLine: (token) => token === NEWLINE,
  encode: (text) => new Uint16Array(text),
  async *encodeStream(chunks) {
    for await (const chunk of chunks) yield new Uint16Array(chunk);
  },
};

/** GPT-2's ids of "\n" and "\n\n". */
const GPT2_NEWLINE = 198;
const GPT2_TWO_NEWLINES = 628;
/** Encode pieces of at least this length, so that the look for a cut is rare. */
const PIECE_LENGTH = 1 << 18;
/** A longer stretch without any whitespace is no text, and the encoder would take for ever. */
const MAX_UNBROKEN_LENGTH = 1 << 24;

/**
 * The last place where the text can be cut without changing its ids: before whitespace that follows something else.
 * GPT-2's pattern has no look-behind and none of its alternatives runs across such a place. 0 where there is none.
 */
function lastSafeCut(text: string): number {
  for (let i = text.length - 1; i > 0; i -= 1) {
    if (/\s/.test(text.charAt(i)) && /\S/.test(text.charAt(i - 1))) return i;
  }
  return 0;
}

const invalidUtf8 = (place: string) =>
  badData(
    `${place}: not valid UTF-8, which the gpt2 tokenizer needs`,
    "Convert the file to UTF-8 (iconv), or use the bytes tokenizer, which takes any bytes.",
  );

async function gpt2(): Promise<TextEncoding> {
  // Imported on use: the table of merges takes a quarter of a second to load.
  const encoding = await import("gpt-tokenizer/encoding/r50k_base");
  const ordinary = { disallowedSpecial: new Set<string>() };
  const encode = (text: string): Uint16Array => Uint16Array.from(encoding.encode(text, ordinary));
  return {
    vocabSize: 50_257,
    separator: 50_256,
    endsLine: (token) => token === GPT2_NEWLINE || token === GPT2_TWO_NEWLINES,
    encode(text, place) {
      if (!isUtf8(text)) throw invalidUtf8(place);
      return encode(Buffer.from(text.buffer, text.byteOffset, text.length).toString("utf8"));
    },
    async *encodeStream(chunks, place) {
      const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
      const decode = (chunk?: Bytes): string => {
        try {
          return chunk === undefined ? decoder.decode() : decoder.decode(chunk, { stream: true });
        } catch {
          throw invalidUtf8(place);
        }
      };
      let text = "";
      for await (const chunk of chunks) {
        text += decode(chunk);
        if (text.length < PIECE_LENGTH) continue;
        const cut = lastSafeCut(text);
        if (cut > 0) yield encode(text.slice(0, cut));
        text = text.slice(cut);
        if (text.length > MAX_UNBROKEN_LENGTH) {
          throw badData(
            `${place}: ${MAX_UNBROKEN_LENGTH >> 20} Mi characters without a space or newline`,
            "This does not look like text; use the bytes tokenizer for other data.",
          );
        }
      }
      text += decode();
      if (text !== "") yield encode(text);
    },
  };
}

export const loadTokenizer = async (name: Tokenizer): Promise<TextEncoding> =>
  name === "bytes" ? bytes : await gpt2();
