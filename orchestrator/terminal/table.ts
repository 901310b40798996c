/** Plain text tables for a terminal: columns as wide as their widest value, numbers to the right. */

export interface Column<Row> {
  title: string;
  value: (row: Row) => string;
  align?: "left" | "right";
}

/** One line per row under a heading; two spaces between columns. */
export function textTable<Row>(columns: Column<Row>[], rows: Row[]): string {
  const texts = rows.map((row) => columns.map((column) => column.value(row)));
  const widths = columns.map((column, i) => Math.max(column.title.length, ...texts.map((t) => t[i]!.length)));
  const line = (values: string[]): string =>
    values
      .map((value, i) =>
        columns[i]!.align === "right" ? value.padStart(widths[i]!) : value.padEnd(widths[i]!),
      )
      .join("  ")
      .trimEnd();
  return [line(columns.map((c) => c.title)), ...texts.map(line)].join("\n");
}
