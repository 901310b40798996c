/**
 * Text as a terminal may show it. Names, keys, messages and paths come from files, trainers and other hosts, and a terminal obeys
 * control characters: they could clear the screen, rename the window, or make a line read as another one.
 */

/** Control characters, those that turn the direction of writing, line and paragraph separators, halves of characters. */
const COMMANDS = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}\p{Cs}]/gu;

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** Lines and tabs stay; everything else that a terminal would obey is written as JSON writes it. */
export const printable = (text: string): string =>
  text.replace(COMMANDS, (character) =>
    character === "\n" || character === "\t" ? character : escaped(character),
  );

/** The same for what has to stay in one line: a name, a cell of a table. */
export const inOneLine = (text: string): string => text.replace(COMMANDS, escaped);

/** For logs: whoever writes a line of text writes it through this. */
export const printableTo = (stream: { write(text: string): unknown }): { write(line: string): void } => ({
  write: (line) => void stream.write(printable(line)),
});
