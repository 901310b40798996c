/** Texts in many files: which, in which order, as which documents; only the first tokens; and threads that change nothing. */
import { mkdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { encodeInOrder, openEncoder } from "../../../orchestrator/data/encode-pieces.ts";
import { prepareData } from "../../../orchestrator/data/prepare.ts";
import { numberedLines, readSplit, scratch } from "./helpers.ts";

const settings = { field: "text", tokenizer: "bytes", validation_fraction: 0.3 } as const;

async function write(directory: string, files: Record<string, string | Buffer>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(directory, name)), { recursive: true });
    await writeFile(path.join(directory, name), content);
  }
}

it("each file is a document, in the order of the paths' bytes; of .jsonl each line", async () => {
  const place = await scratch();
  await write(place, {
    // Z stands before a, and é after z, in bytes.
    "texts/Z.txt": "first\n",
    "texts/a/b.txt.gz": gzipSync("second\n"),
    "texts/a/empty.txt": "",
    "texts/c.jsonl": '{"text": "third"}\n{"text": "fourth"}\n',
    "texts/é.txt": "fifth",
    "texts/.hidden.txt": "no",
    "texts/notes.md": "no",
    "one.jsonl": ["first\n", "second\n", "third", "fourth", "fifth"]
      .map((text) => JSON.stringify({ text }))
      .join("\n"),
  });
  await symlink(place, path.join(place, "texts", "loop"));
  const options = { cacheDirectory: path.join(place, "cache"), baseDirectory: place };
  const expected = await prepareData({ file: "one.jsonl", ...settings }, options);
  for (const files of [
    "texts",
    "texts/**/*.{txt,txt.gz,jsonl}",
    ["texts/[a-zé]*", "texts/Z.txt", "texts/a/*.txt*"],
  ]) {
    const meta = await prepareData({ files, ...settings }, options);
    // The same tokens are the same data set. notes.md is no text of a folder; the pattern that matches it takes it.
    if (typeof files === "string") expect(meta).toEqual(expected);
    else expect(meta.text_bytes).toBe(expected.text_bytes! + "no".length);
  }
  await write(place, { "texts/a/b.txt.gz": gzipSync("changed\n") });
  expect((await prepareData({ files: "texts", ...settings }, options)).hash).not.toBe(expected.hash);
  await expect(prepareData({ files: "nowhere/*", ...settings }, options)).rejects.toMatchObject({
    code: "data-missing",
    message: expect.stringMatching(/^no file matches .*nowhere/),
  });
});

it("a folder's .json.gz is lines too, and a table that a pattern matches is refused", async () => {
  const place = await scratch();
  const lines = ["a", "b", "c", "d", "e"]
    .map((text) => `${JSON.stringify({ text: text.repeat(20) })}\n`)
    .join("");
  await write(place, {
    "texts/a.json.gz": gzipSync(lines),
    "texts/settings.json": "{}",
    "lines/a.jsonl": lines,
    "tables/a.txt": "a text",
    "tables/b.parquet": "PAR1",
  });
  const options = { cacheDirectory: path.join(place, "cache"), baseDirectory: place };
  const { hash } = await prepareData({ files: "lines", ...settings }, options);
  expect((await prepareData({ files: "texts", ...settings }, options)).hash).toBe(hash);
  await expect(prepareData({ files: "tables/*", ...settings }, options)).rejects.toThrow(
    /b\.parquet: a table, not a text/,
  );
});

it("limit_tokens takes the beginning of the source, to the token", async () => {
  const place = await scratch();
  await write(place, Object.fromEntries([1, 2, 3, 4].map((i) => [`${i}.txt`, `${i}`.repeat(99)])));
  const options = { cacheDirectory: path.join(place, "cache"), baseDirectory: place };
  const spec = { files: "*.txt", ...settings, validation_fraction: 0.1 };
  // Documents of 99 bytes and a separator: the second is held out, and the third cut.
  const meta = await prepareData({ ...spec, limit_tokens: 250 }, options);
  expect([meta.train_tokens, meta.validation_tokens, meta.text_bytes]).toEqual([150, 100, null]);
  const all = await readSplit(options.cacheDirectory, await prepareData(spec, options), "train");
  expect(await readSplit(options.cacheDirectory, meta, "train")).toEqual(all.slice(0, 150));
  const enough = await prepareData({ ...spec, limit_tokens: 400 }, options);
  expect(enough).toEqual(await prepareData(spec, options));
  // A text without documents, and a token file: the first tokens, of which the tail is held out.
  const text = await prepareData({ file: "1.txt", ...settings, limit_tokens: 50 }, options);
  expect([text.train_tokens, text.validation_tokens]).toEqual([35, 15]);
  await write(place, { "a.bin": Buffer.from(Uint16Array.from({ length: 90 }, (_, i) => i).buffer) });
  const tokens = { tokens: "a.bin", dtype: "uint16", vocab_size: 100, validation_fraction: 0.3 } as const;
  const ids = await prepareData({ ...tokens, limit_tokens: 50 }, options);
  expect([ids.train_tokens, ids.validation_tokens]).toEqual([35, 15]);
});

it("threads give the tokens that one gives, in order, and say what is wrong", async () => {
  const texts = Array.from({ length: 40 }, (_, i) => numberedLines(20_000 + 1000 * i));
  async function* items() {
    for (const piece of texts) yield { piece };
  }
  const tokens: Uint16Array[][] = [];
  for (const bytes of [0, Number.MAX_SAFE_INTEGER]) {
    const encoder = await openEncoder("gpt2", bytes);
    const found: Uint16Array[] = [];
    for await (const { item, tokens: ids } of encodeInOrder(items(), encoder)) {
      expect(item.piece).toBe(texts[found.length]);
      found.push(ids);
    }
    tokens.push(found);
    await encoder.close();
  }
  expect(tokens[0]).toHaveLength(40);
  expect(tokens[1]).toEqual(tokens[0]);
  const encoder = await openEncoder("gpt2", Number.MAX_SAFE_INTEGER);
  await expect(encoder.encode([Buffer.from([0xff])])).rejects.toThrow(/not valid UTF-8/);
  await encoder.close();
});
