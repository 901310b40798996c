/** Well-formed UTF-8 (The Unicode Standard, table 3-7), and text that keeps the bytes of what is none. */

/** The position of the first byte, from `from` on, that is no part of a well-formed character; the length where there is none. */
export function wellFormedUntil(bytes: Uint8Array, from = 0): number {
  let at = from;
  while (at < bytes.length) {
    const length = characterLength(bytes, at);
    if (length === 0) return at;
    at += length;
  }
  return at;
}

/** Of the well-formed character at a position; 0 where there is none. */
function characterLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at]!;
  if (lead < 0x80) return 1;
  const length =
    lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  // Overlong forms, surrogates, and what lies beyond U+10FFFF differ from characters in the second byte.
  const second = bytes[at + 1]!;
  const least = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const most = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return 0;
  for (let i = 2; i < length; i++) if ((bytes[at + i]! & 0xc0) !== 0x80) return 0;
  return length;
}

/** How many bytes at the end begin a character that needs more of them. */
export function unfinishedLength(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needed > back ? back : 0;
  }
  return 0;
}

/** Stands for the byte b of a text that is no UTF-8: this plus b, at the end of the last plane, for private use. */
const STAND_IN = 0x10ff00;
const STAND_INS = /[\u{10ff80}-\u{10ffff}]/u;
/** The stand-ins as JSON's escapes write them. */
const ESCAPED_STAND_INS = /\\udbff/i;

/** @returns text in which every byte that is no UTF-8 has a stand-in; null where the text uses the stand-ins itself */
export function decodeKeepingBytes(bytes: Buffer): string | null {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const end = wellFormedUntil(bytes, at);
    const part = bytes.toString("utf8", at, end);
    if (STAND_INS.test(part) || ESCAPED_STAND_INS.test(part)) return null;
    text += part;
    if (end < bytes.length) text += String.fromCodePoint(STAND_IN + bytes[end]!);
    at = end + 1;
  }
  return text;
}

/** The bytes of a text from decodeKeepingBytes, or of a part of it. */
export function encodeKeptBytes(text: string): Buffer {
  const parts = text.split(/([\u{10ff80}-\u{10ffff}])/u);
  return Buffer.concat(
    parts.map((part, i) =>
      i % 2 === 0 ? Buffer.from(part, "utf8") : Buffer.of(part.codePointAt(0)! - STAND_IN),
    ),
  );
}
