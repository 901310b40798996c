/** A progress line on standard error: redrawn in place on a terminal, a line every 15 seconds elsewhere. */
import { inOneLine } from "../../schema/wire/printable.ts";
import { coloured } from "./colour.ts";
import { duration } from "./format.ts";

const REDRAW_MS = 200;
const LINE_MS = 15_000;
const BAR = 24;
const NARROW_BAR = 10;

export interface ProgressLine {
  /** @param fraction 0 to 1; text: what is going on, short */
  update(fraction: number, text: string): void;
  /** Leaves the last state standing, or wipes it on a terminal. */
  end(): void;
}

/** @param quietMs nothing is said so long: what is done sooner needs no line */
export function progressLine(stream: NodeJS.WriteStream = process.stderr, quietMs = 0): ProgressLine {
  const begun = Date.now();
  let last = 0;
  let drawn = false;
  return {
    update(fraction, text) {
      const now = Date.now();
      if (now - begun < quietMs) return;
      if (now - last < (stream.isTTY ? REDRAW_MS : LINE_MS)) return;
      last = now;
      const percent = `${Math.floor(fraction * 100)}%`.padStart(4);
      if (!stream.isTTY) {
        stream.write(`${percent}  ${inOneLine(text)}\n`);
        return;
      }
      const columns = stream.columns ?? 80;
      const bar = columns < 100 ? NARROW_BAR : BAR;
      const full = Math.round(fraction * bar);
      const rest = `${"░".repeat(bar - full)}${percent}  ${inOneLine(text)}`;
      stream.write(
        `\r\u001b[K${coloured("█".repeat(full), "green", stream)}${rest.slice(0, Math.max(20, columns - 1 - full))}`,
      );
      drawn = true;
    },
    end() {
      if (drawn) stream.write("\r\u001b[K");
      drawn = false;
    },
  };
}

/** Time left from work done since a start, in any unit of work; the work done before it says nothing about speed. */
export function timeLeft(done: number, doneAtStart: number, total: number, elapsedSeconds: number): string {
  const rate = (done - doneAtStart) / elapsedSeconds;
  return rate > 0 ? duration((total - done) / rate) : "?";
}
