/**
 * Plain text tables for a terminal: columns as wide as their widest value, numbers to the right. Where the terminal is narrower,
 * texts are wrapped; what goes to a file or another program is not.
 */

import { inOneLine } from "../../schema/wire/printable.ts";

export interface Column<Row> {
  title: string;
  value: (row: Row) => string;
  align?: "left" | "right";
}

/** A column of text is not made narrower than this. */
const NARROWEST = 16;
/** Of a text that stands in lines of its own, below its row. */
const INDENT = 4;

const terminalWidth = (): number =>
  process.stdout.isTTY ? process.stdout.columns : Number.POSITIVE_INFINITY;

/** One line per row under a heading, as long as they fit; two spaces between columns, or one. */
export function textTable<Row>(columns: Column<Row>[], rows: Row[], width = terminalWidth()): string {
  const texts = rows.map((row) => columns.map((column) => inOneLine(column.value(row))));
  const titles = columns.map((column) => inOneLine(column.title));
  const natural = titles.map((title, i) =>
    texts.reduce((most, t) => Math.max(most, t[i]!.length), title.length),
  );
  const isText = (i: number): boolean => columns[i]!.align !== "right";
  const sum = (widths: number[], gap: number): number =>
    widths.reduce((a, b) => a + b, 0) + gap * (widths.length - 1);
  const shrink = (widths: number[], gap: number): number[] => {
    const fitted = [...widths];
    for (let over = sum(fitted, gap) - width; over > 0; over--) {
      const [widest] = fitted
        .map((_, i) => i)
        .filter((i) => isText(i) && fitted[i]! > NARROWEST)
        .sort((a, b) => fitted[b]! - fitted[a]!);
      if (widest === undefined) return fitted;
      fitted[widest]!--;
    }
    return fitted;
  };
  const gap = sum(natural, 2) <= width ? 2 : 1;
  const narrow = shrink(natural, gap);
  const last = columns.length - 1;
  if (sum(narrow, gap) <= width || last < 1 || !isText(last))
    return [titles, ...texts].flatMap((line) => wrapped(line, narrow, gap, isText)).join("\n");
  const before = shrink(natural.slice(0, -1), gap);
  const below = (text: string): string[] =>
    text === "" ? [] : wrap(text, Math.max(NARROWEST, width - INDENT)).map((t) => " ".repeat(INDENT) + t);
  return [
    ...wrapped(titles.slice(0, -1), before, gap, isText),
    ...texts.flatMap((line) => [...wrapped(line.slice(0, -1), before, gap, isText), ...below(line[last]!)]),
  ].join("\n");
}

/** The lines that a row takes. */
function wrapped(
  values: string[],
  widths: number[],
  gap: number,
  isText: (column: number) => boolean,
): string[] {
  const cells = values.map((value, i) => (isText(i) ? wrap(value, widths[i]!) : [value]));
  const height = Math.max(...cells.map((lines) => lines.length));
  return Array.from({ length: height }, (_, line) =>
    cells
      .map((lines, i) => {
        const text = lines[line] ?? "";
        return isText(i) ? text.padEnd(widths[i]!) : text.padStart(widths[i]!);
      })
      .join(" ".repeat(gap))
      .trimEnd(),
  );
}

/** At spaces; a word that is longer than the line is cut. */
function wrap(text: string, width: number): string[] {
  if (text.length <= width) return [text];
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (longer.length <= width) {
      line = longer;
      continue;
    }
    if (line !== "") lines.push(line);
    line = word;
    for (; line.length > width; line = line.slice(width)) lines.push(line.slice(0, width));
  }
  return [...lines, line];
}
