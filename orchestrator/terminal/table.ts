/**
 * Plain text tables for a terminal: columns as wide as their widest value, numbers to the right. Where the terminal is narrower,
 * texts are wrapped; what goes to a file or another program is not.
 */

import { inOneLine } from "../../schema/wire/printable.ts";

export interface Column<Row> {
  title: string;
  value: (row: Row) => string;
  align?: "left" | "right";
  /** Left out of a table that is too wide, where it is 0 or empty in every row. */
  ifAny?: true;
}

/** A column of text is not made narrower than this. */
const NARROWEST = 16;
/** Of a text that stands in lines of its own, below its row. */
const INDENT = 4;

const terminalWidth = (): number =>
  process.stdout.isTTY ? process.stdout.columns : Number.POSITIVE_INFINITY;

/**
 * One line per row under a heading, as long as they fit; two spaces between columns, or one. In a narrower terminal texts and
 * headings are wrapped, then a last text goes below its row, then columns go of which nothing is said; and where none of that is
 * enough, each row is a list of names and values.
 */
export function textTable<Row>(columns: Column<Row>[], rows: Row[], width = terminalWidth()): string {
  const said = columns.filter(({ ifAny, value }) => !ifAny || rows.some((row) => !/^0?$/.test(value(row))));
  return layOut(columns, rows, width) ?? layOut(said, rows, width) ?? listRows(columns, rows, width);
}

/** @returns null where it does not fit */
function layOut<Row>(columns: Column<Row>[], rows: Row[], width: number): string | null {
  const texts = rows.map((row) => columns.map((column) => inOneLine(column.value(row))));
  const titles = columns.map((column) => inOneLine(column.title));
  const isText = (i: number): boolean => columns[i]!.align !== "right";
  const widthsWith = (headings: number[]): number[] =>
    headings.map((heading, i) => texts.reduce((most, t) => Math.max(most, t[i]!.length), heading));
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
  const wide = widthsWith(titles.map((title) => title.length));
  const wordWide = widthsWith(
    titles.map((title) => Math.max(...title.split(" ").map((word) => word.length))),
  );
  const last = columns.length - 1;
  const below = (text: string): string[] =>
    text === "" ? [] : wrap(text, Math.max(NARROWEST, width - INDENT)).map((t) => " ".repeat(INDENT) + t);
  for (const natural of [wide, wordWide]) {
    const gap = sum(natural, 2) <= width ? 2 : 1;
    const narrow = shrink(natural, gap);
    if (sum(narrow, gap) <= width)
      return [titles, ...texts].flatMap((line) => wrapped(line, narrow, gap, isText)).join("\n");
    const before = shrink(natural.slice(0, -1), gap);
    if (last < 1 || !isText(last) || sum(before, gap) > width) continue;
    return [
      ...wrapped(titles.slice(0, -1), before, gap, isText),
      ...texts.flatMap((line) => [...wrapped(line.slice(0, -1), before, gap, isText), ...below(line[last]!)]),
    ].join("\n");
  }
  return null;
}

/** As psql's \x: a line for each value, and an empty one between two rows. */
function listRows<Row>(columns: Column<Row>[], rows: Row[], width: number): string {
  const titles = columns.map(({ title }) => inOneLine(title));
  if (rows.length === 0) return wrap(titles.join(" "), width).join("\n");
  const longest = Math.min(Math.max(...titles.map(({ length }) => length)), Math.floor(width / 2));
  const pair = (title: string, value: string): string[] => {
    const names = wrap(title, longest);
    const values = wrap(value, width - longest - 2);
    return Array.from({ length: Math.max(names.length, values.length) }, (_, i) =>
      `${(names[i] ?? "").padEnd(longest)}  ${values[i] ?? ""}`.trimEnd(),
    );
  };
  return rows
    .map((row) => columns.flatMap(({ value }, i) => pair(titles[i]!, inOneLine(value(row)))).join("\n"))
    .join("\n\n");
}

/** The lines that a row takes. */
function wrapped(
  values: string[],
  widths: number[],
  gap: number,
  isText: (column: number) => boolean,
): string[] {
  const cells = values.map((value, i) => wrap(value, widths[i]!));
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
