/** A table as Parquet, read back by another library. */
import { parquetReadObjects } from "hyparquet";
import { expect, it } from "vitest";
import { parquet } from "../../../orchestrator/report/parquet.ts";

it("numbers come back as the very same doubles, texts as they were, and what is not there as null", async () => {
  const rows = [
    { sweep: "a", loss: 0.1 + 0.2, seed: 1, "metrics.accuracy": null, error: null },
    { sweep: 'ü, "b"\n', loss: null, seed: 2 ** 40, "metrics.accuracy": 0.93, error: null },
  ];
  const { buffer, byteOffset, byteLength } = parquet(rows);
  const file = buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
  expect(await parquetReadObjects({ file })).toEqual(rows);
});
