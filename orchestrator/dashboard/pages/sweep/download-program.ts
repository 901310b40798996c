/**
 * Makes one file of a sweep. The order comes on standard input; to standard output go, a JSON value a line, what the file is, its
 * content in pieces, and null.
 */

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { openDatabase } from "../../../database/open.ts";
import { readFigureData } from "../../../report/figures/data.ts";
import { type DownloadHead, downloadOrderSchema } from "./download-aside.ts";
import { readDownload } from "./files.ts";

const PIECE_BYTES = 3 << 16;

/** Waits while the reader is behind: nothing piles up here. */
async function write(line: DownloadHead | string): Promise<void> {
  if (!process.stdout.write(`${JSON.stringify(line)}\n`)) await once(process.stdout, "drain");
}

const { database, sweep, file } = downloadOrderSchema.parse(JSON.parse(readFileSync(0, "utf8")));
const db = openDatabase(database, { readonly: true });
const data = readFigureData(db, sweep);
// Writers need not wait for what is only drawn.
db.close();
const download = await readDownload(file, data);
await write(download && { type: download.type });
if (download !== null) {
  const { content } = download;
  const bytes = typeof content === "string" ? Buffer.from(content) : Buffer.from(content.buffer);
  for (let at = 0; at < bytes.length; at += PIECE_BYTES)
    await write(bytes.toString("base64", at, Math.min(bytes.length, at + PIECE_BYTES)));
  await write(null);
}
