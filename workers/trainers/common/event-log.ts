/**
 * Events that a run has to emit again when it is resumed, as lines of JSON in memory of which the collector has nothing to look at: there
 * can be a million of them, and each checkpoint writes them all.
 */
import { type TrainerEvent, trainerEventSchema } from "../../../schema/wire/protocol.ts";

const PIECE_BYTES = 2 ** 16;
const NEWLINE = 10;

export class EventLog {
  /** Whole lines, one piece behind the other; behind them there is room in the last one. */
  readonly #pieces: Buffer[];
  /** Of the last piece, how much is filled. */
  #filled = 0;

  /** @param bytes lines, each with its end; they are not looked at */
  constructor(bytes: Buffer = Buffer.alloc(0)) {
    this.#pieces = [bytes];
    this.#filled = bytes.length;
  }

  add(event: TrainerEvent): void {
    const line = Buffer.from(`${JSON.stringify(event)}\n`);
    if (this.#filled + line.length > this.#pieces.at(-1)!.length) {
      this.#pieces.push(this.#pieces.pop()!.subarray(0, this.#filled));
      this.#pieces.push(Buffer.allocUnsafeSlow(Math.max(PIECE_BYTES, line.length)));
      this.#filled = 0;
    }
    this.#filled += line.copy(this.#pieces.at(-1)!, this.#filled);
  }

  /** What the constructor takes, in pieces. */
  bytes(): Buffer[] {
    return [...this.#pieces.slice(0, -1), this.#pieces.at(-1)!.subarray(0, this.#filled)];
  }

  /** @throws Error when a line is no event */
  check(): void {
    for (const _event of this);
  }

  *[Symbol.iterator](): Generator<TrainerEvent> {
    for (const piece of this.bytes())
      for (let start = 0; start < piece.length; ) {
        const end = piece.indexOf(NEWLINE, start);
        if (end < 0) throw new Error("its events end in the middle of a line");
        yield trainerEventSchema.parse(JSON.parse(piece.toString("utf8", start, end)));
        start = end + 1;
      }
  }
}
