/** Every mistake in a data source is a MusweepError that names the place and what to do. */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { prepareData } from "../../../orchestrator/data/prepare.ts";
import type { DataSpec } from "../../../orchestrator/data/spec.ts";
import { MusweepError } from "../../../schema/wire/errors.ts";
import { numberedLines, scratch, ZSTD_FIXTURE } from "./helpers.ts";

/** What preparing `spec` throws; the cache must be left without a data set. */
async function failure(spec: DataSpec, directory: string): Promise<MusweepError> {
  const cache = path.join(directory, "cache");
  const error: unknown = await prepareData(spec, { cacheDirectory: cache }).catch(
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof MusweepError)) throw error;
  expect((await readdir(cache).catch(() => [])).filter((name) => name !== "sources")).toEqual([]);
  return error;
}

const common = { field: "text", tokenizer: "bytes", validation_fraction: 0.1 } as const;

async function file(name: string, content: string | Uint8Array): Promise<[string, string]> {
  const directory = await scratch();
  const at = path.join(directory, name);
  await writeFile(at, content);
  return [at, directory];
}

const jsonl = async (content: string): Promise<[MusweepError, string]> => {
  const [at, directory] = await file("a.jsonl", content);
  return [await failure({ file: at, ...common }, directory), at];
};

it("a missing file", async () => {
  const directory = await scratch();
  const at = path.join(directory, "absent.txt");
  const error = await failure({ file: at, ...common }, directory);
  expect(error).toMatchObject({ code: "data-missing", kind: "unavailable" });
  expect(error.message).toContain(at);
});

it("a directory where a file was expected", async () => {
  const directory = await scratch();
  await mkdir(path.join(directory, "d.txt"));
  const error = await failure({ file: path.join(directory, "d.txt"), ...common }, directory);
  expect(error.message).toContain("is a directory");
});

it.each(["a.txt", "a.txt.gz", "a.txt.zst"])("an empty file (%s)", async (name) => {
  const [at, directory] = await file(name, "");
  expect((await failure({ file: at, ...common }, directory)).message).toBe(`${at}: the file is empty`);
});

it("a .jsonl file with nothing but blank lines", async () => {
  const [error] = await jsonl("\n\n  \n");
  expect(error.message).toContain("there is no text");
});

it("a line that is not JSON, with its number", async () => {
  const [error, at] = await jsonl('{"text":"a"}\n\n{"text": "b"\n{"text":"c"}\n');
  expect(error.message).toContain(`${at}:3: not a JSON object`);
});

it.each(['["a"]', '"a"', "null", "7"])("a line that is no object: %s", async (line) => {
  const [error, at] = await jsonl(`{"text":"a"}\n${line}\n`);
  expect(error.message).toContain(`${at}:2: a JSON object was expected`);
});

it("a line without the field, with the fields that are there", async () => {
  const [error, at] = await jsonl('{"text":"a"}\n{"body":"b","id":1}\n');
  expect(error.message).toBe(`${at}:2: no field "text"; the object has: body, id`);
});

it("a field that holds no string", async () => {
  const [error, at] = await jsonl('{"text":["a"]}\n');
  expect(error.message).toBe(`${at}:1: field "text" is not a string`);
});

it("a single document, which cannot be held out whole", async () => {
  const [error] = await jsonl('{"text":"only one"}\n');
  expect(error.message).toContain("1 document cannot be split");
  expect(error.remedy).toContain(".txt");
});

it("a text too short for a validation split", async () => {
  const [at, directory] = await file("a.txt", "short");
  const error = await failure({ file: at, ...common }, directory);
  expect(error.message).toContain("too short: the validation split would hold 1 token");
});

it("a token outside the vocabulary, with its place", async () => {
  const [at, directory] = await file("a.bin", Buffer.from(Uint16Array.of(1, 2, 300, 4).buffer));
  const spec: DataSpec = {
    tokens: at,
    dtype: "uint16",
    vocab_size: 300,
    validation_fraction: 0.5,
  };
  const error = await failure(spec, directory);
  expect(error.message).toBe(`${at}: token 2 is 300, outside the vocabulary of 300`);
});

it("a token file that ends in the middle of a token", async () => {
  const [at, directory] = await file("a.bin", Uint8Array.of(1, 0, 2, 0, 3));
  const spec: DataSpec = {
    tokens: at,
    dtype: "uint16",
    vocab_size: 9,
    validation_fraction: 0.5,
  };
  expect((await failure(spec, directory)).message).toContain("ends in the middle of a token");
});

it("a type of token that cannot hold the vocabulary", async () => {
  const [at, directory] = await file("a.bin", Buffer.from(Uint16Array.of(1, 2, 3, 4).buffer));
  const spec: DataSpec = { tokens: at, dtype: "uint16", vocab_size: 128_256, validation_fraction: 0.5 };
  const error = await failure(spec, directory);
  expect(error.message).toContain("uint16 ids cannot reach a vocab_size of 128256");
});

it("text that is not UTF-8, for the GPT-2 tokenizer", async () => {
  const [at, directory] = await file(
    "a.txt",
    Buffer.concat([Buffer.from("fine\n"), Uint8Array.of(0xe9, 10, 65)]),
  );
  const error = await failure({ file: at, ...common, tokenizer: "gpt2" }, directory);
  expect(error.message).toContain("not valid UTF-8");
  expect(error.remedy).toContain("bytes tokenizer");
});

it.each(["gz", "zst"])("a compressed file that is cut short (%s)", async (extension) => {
  const directory = await scratch();
  const packed = extension === "gz" ? gzipSync(numberedLines(300_000)) : await readFile(ZSTD_FIXTURE);
  const at = path.join(directory, `cut.txt.${extension}`);
  await writeFile(at, packed.subarray(0, Math.floor(packed.length / 2)));
  const error = await failure({ file: at, ...common }, directory);
  expect(error.message).toContain(`${at} cannot be decompressed`);
});

it.each(["gz", "zst"])("a plain file under a compressed name (%s)", async (extension) => {
  const [at, directory] = await file(`a.txt.${extension}`, numberedLines(1000));
  const error = await failure({ file: at, ...common }, directory);
  expect(error.message).toContain(`${at} cannot be decompressed`);
});
