/** Colour, where the terminal has it: Node knows of NO_COLOR, FORCE_COLOR and TERM=dumb. Text goes through `printable` before. */
import type { WriteStream } from "node:tty";

const CODES = { bold: 1, red: 31, green: 32, yellow: 33 } as const;

const hasColour = (stream: NodeJS.WriteStream): boolean =>
  stream.isTTY === true && (stream as WriteStream).hasColors();

export const coloured = (
  text: string,
  colour: keyof typeof CODES,
  stream: NodeJS.WriteStream = process.stdout,
): string => (hasColour(stream) ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text);

/** What an answer says in a word, as it begins a sentence after a curve's title. */
const VERDICTS = [
  [/(?<=: )transfers\b/g, "green"],
  [/(?<=: )(?:does not transfer|costs)\b/g, "red"],
  [/(?<=: )inconclusive\b/g, "yellow"],
  [/\b\d+ FAILED\b/g, "red"],
  [/^Next:$/gm, "bold"],
] as const;

/** An answer with its verdicts in colour. */
export function colouredAnswer(text: string, stream: NodeJS.WriteStream = process.stdout): string {
  if (!hasColour(stream)) return text;
  return VERDICTS.reduce(
    (all, [words, colour]) => all.replace(words, (word) => coloured(word, colour, stream)),
    text,
  );
}
