/** What the data tests share: scratch directories and reading token files back. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { DATA_FILES, type DataMeta } from "../../../schema/wire/data.ts";

export async function scratch(): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), "musweep-data-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export async function readSplit(
  cache: string,
  meta: DataMeta,
  split: "train" | "validation",
): Promise<number[]> {
  const bytes = await readFile(path.join(cache, meta.hash, DATA_FILES[split]));
  const size = meta.dtype === "uint16" ? 2 : 4;
  return Array.from({ length: bytes.length / size }, (_, i) =>
    size === 2 ? bytes.readUInt16LE(i * 2) : bytes.readUInt32LE(i * 4),
  );
}

/** Text of about this many bytes, every line different. */
export function numberedLines(bytes: number): string {
  let text = "";
  for (let i = 0; text.length < bytes; i += 1)
    text += `Line ${i}: ${(i * 2654435761) % 4294967296} whales.\n`;
  return text;
}

/** numberedLines(300_000) packed by the zstd program: two blocks and more. */
export const ZSTD_FIXTURE = fileURLToPath(new URL("./fixtures/numbered-lines.txt.zst", import.meta.url));
