/** The same table however it is packed: told by its first bytes, whatever the file is called. */
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { parquetWriteBuffer } from "hyparquet-writer";
import { expect, it } from "vitest";
import { MAX_TABLE_BYTES } from "../../../orchestrator/import/read-table.ts";
import { readTableFile } from "../../../orchestrator/import/read-table-file.ts";
import { parquet } from "../../../orchestrator/report/parquet.ts";
import { ZSTD_FIXTURE } from "../data/helpers.ts";

const ROWS = [
  { lr: 0.001, val_loss: 3.25, note: "a,b" },
  { lr: 0.002, val_loss: 3.125, note: null },
];
const LINES = ROWS.map((row) => `${JSON.stringify(row)}\n`).join("");
const CSV = 'lr,val_loss,note\n0.001,3.25,"a,b"\n0.002,3.125,\n';

const cells = async (bytes: Uint8Array | string, file: string): Promise<unknown[]> =>
  (await readTableFile(Buffer.from(bytes as Uint8Array), file)).rows.map((row) => row.cells);

it.each<[string, Uint8Array | string]>([
  ["lines.jsonl", LINES],
  ["lines.jsonl.gz", gzipSync(LINES)],
  ["lines.csv", gzipSync(LINES)],
  ["list.json", JSON.stringify(ROWS)],
  ["indented.json", `\n${JSON.stringify(ROWS, null, 2)}\n`],
  ["list.json.gz", gzipSync(JSON.stringify(ROWS))],
  ["table.parquet", parquet(ROWS)],
  ["standard input", parquet(ROWS)],
])("%s", async (file, bytes) => {
  expect(await cells(bytes, file)).toEqual(ROWS);
});

it("CSV in gzip", async () => {
  const text = { lr: "0.002", val_loss: "3.125", note: "" };
  expect((await cells(gzipSync(CSV), "runs.csv.gz"))[1]).toEqual(text);
});

it("zstd", async () => {
  const { rows } = await readTableFile(readFileSync(ZSTD_FIXTURE), "runs.csv.zst");
  expect(rows.length).toBeGreaterThan(100);
});

it("whole numbers of Parquet are numbers, and nan is none", async () => {
  const columnData = [
    { name: "seed", type: "INT64" as const, data: [1n, 2n ** 40n] },
    { name: "val_loss", type: "DOUBLE" as const, data: [3.5, Number.NaN] },
  ];
  expect(await cells(new Uint8Array(parquetWriteBuffer({ columnData })), "r.parquet")).toEqual([
    { seed: 1, val_loss: 3.5 },
    { seed: 2 ** 40, val_loss: null },
  ]);
});

it.each<[string, Uint8Array | string, RegExp]>([
  ["cut.csv.gz", gzipSync(CSV).subarray(0, 30), /cut\.csv\.gz cannot be decompressed/],
  ["cut.parquet", parquet(ROWS).subarray(0, 60), /cut\.parquet:1: not valid Parquet: /],
  ["bomb.csv.gz", gzipSync(Buffer.alloc(MAX_TABLE_BYTES + 1)), /bomb\.csv\.gz:1: larger than 256 MiB/],
  ["numbers.json", "[1, 2]", /numbers\.json:1: expected a JSON object/],
  ["half.json", '[{"lr": 1}', /half\.json:1: not valid JSON/],
  ["empty.json", "[]", /empty\.json:1: there are no rows/],
])("%s is refused", async (file, bytes, message) => {
  await expect(cells(bytes, file)).rejects.toThrow(message);
});
