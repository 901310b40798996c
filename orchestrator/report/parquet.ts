/** A table as Apache Parquet: numbers are doubles, everything else is text, and what a row has not is null. */
import { parquetWriteBuffer } from "hyparquet-writer";
import type { ResultRow } from "../database/results-table.ts";

/** @param rows all with the same names in the same order */
export function parquet(rows: readonly ResultRow[]): Buffer {
  const names = Object.keys(rows[0] ?? {});
  const columnData = names.map((name) => {
    const values = rows.map((row) => row[name] ?? null);
    const isText = values.some((value) => typeof value === "string");
    return isText
      ? {
          name,
          type: "STRING" as const,
          nullable: true,
          data: values.map((value) => (value === null ? null : String(value))),
        }
      : { name, type: "DOUBLE" as const, nullable: true, data: values };
  });
  return Buffer.from(parquetWriteBuffer({ columnData }));
}
