/** Lines of what comes in chunks, one at a time: nothing is read ahead of whoever takes them, and no line may fill the memory. */

const NEWLINE = 10;

export interface Line {
  /** Without its newline; \r\n is left to the reader. */
  line: Buffer;
  /** From 1. */
  number: number;
  /** False: the last one, which no newline ends. */
  isEnded: boolean;
}

/** @param tooLong what is thrown for a line of more than `most` bytes */
export async function* splitLines(
  chunks: AsyncIterable<Uint8Array>,
  most: number,
  tooLong: (number: number) => Error,
): AsyncGenerator<Line> {
  let parts: Uint8Array[] = [];
  let length = 0;
  let number = 1;
  const add = (part: Uint8Array): void => {
    length += part.length;
    if (length > most) throw tooLong(number);
    parts.push(part);
  };
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      add(chunk.subarray(start, end));
      yield { line: Buffer.concat(parts), number, isEnded: true };
      number += 1;
      parts = [];
      length = 0;
      start = end + 1;
    }
    add(chunk.subarray(start));
  }
  if (length > 0) yield { line: Buffer.concat(parts), number, isEnded: false };
}
