/** Preparing data sets from real files: what lands on disk, splits, formats and the cache. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, readdir, readFile, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { encode } from "gpt-tokenizer/encoding/r50k_base";
import { describe, expect, it } from "vitest";
import { type PrepareProgress, prepareData } from "../../../orchestrator/data/prepare.ts";
import { corpusFiles } from "../../../orchestrator/data/read-source.ts";
import type { DataSpec } from "../../../orchestrator/data/spec.ts";
import { numberedLines, readSplit, scratch, ZSTD_FIXTURE } from "./helpers.ts";

const text = (file: string, tokenizer: "bytes" | "gpt2" = "bytes", validation_fraction = 0.1): DataSpec => ({
  file,
  field: "text",
  tokenizer,
  validation_fraction,
});

describe("a plain text", () => {
  it("comes back byte for byte, invalid UTF-8 included: training text, then validation text", async () => {
    const cache = await scratch();
    const bytes = Buffer.concat([Buffer.from(numberedLines(5000)), Buffer.from([0xff, 0, 0xfe, 10, 65])]);
    const file = path.join(cache, "a.txt");
    await writeFile(file, bytes);
    const meta = await prepareData(text(file), { cacheDirectory: cache });
    const train = await readSplit(cache, meta, "train");
    const validation = await readSplit(cache, meta, "validation");
    expect(Buffer.from([...train, ...validation]).equals(bytes)).toBe(true);
    expect(meta).toMatchObject({
      tokenizer: "bytes",
      vocab_size: 256,
      dtype: "uint16",
      text_bytes: bytes.length,
      train_tokens: train.length,
      validation_tokens: validation.length,
    });
  });

  it("is cut at the end of a line, at the fraction asked for", async () => {
    const cache = await scratch();
    const file = path.join(cache, "a.txt");
    await writeFile(file, numberedLines(10_000));
    const meta = await prepareData(text(file, "bytes", 0.25), { cacheDirectory: cache });
    const train = await readSplit(cache, meta, "train");
    expect(train.at(-1)).toBe(10);
    expect(Math.abs(train.length / 10_000 - 0.75)).toBeLessThan(0.01);
  });

  it("without a line end is cut at the fraction itself", async () => {
    const cache = await scratch();
    const file = path.join(cache, "a.txt");
    await writeFile(file, "x".repeat(1000));
    const meta = await prepareData(text(file), { cacheDirectory: cache });
    expect([meta.train_tokens, meta.validation_tokens]).toEqual([900, 100]);
  });

  it("becomes the ids that GPT-2's tokenizer gives the whole text, however it is cut on the way", async () => {
    const cache = await scratch();
    const files = await corpusFiles("state-of-the-union");
    const addresses = await Promise.all(files.slice(0, 60).map((name) => readFile(name, "utf8")));
    // Runs of spaces and newlines, accents and emoji on both sides of every place where a piece may end.
    const whole = addresses.join("\n\n   \n\té — “’s” 🐋\r\n\r\n");
    const file = path.join(cache, "a.txt");
    await writeFile(file, whole);
    const meta = await prepareData(text(file, "gpt2"), { cacheDirectory: cache });
    const ids = [...(await readSplit(cache, meta, "train")), ...(await readSplit(cache, meta, "validation"))];
    expect(whole.length).toBeGreaterThan(3 * (1 << 18));
    expect(ids).toEqual(encode(whole));
  });

  it.each([
    // Ids as published with GPT-2's own encoder and tiktoken's gpt2 encoding.
    ["Hello world", [15496, 995]],
    ["Hello, world!", [15496, 11, 995, 0]],
    ["The quick brown fox jumps over the lazy dog", [464, 2068, 7586, 21831, 18045, 625, 262, 16931, 3290]],
    ["<|endoftext|>", [27, 91, 437, 1659, 5239, 91, 29]],
  ])("encodes %j with GPT-2's published ids", async (sentence, ids) => {
    const cache = await scratch();
    const file = path.join(cache, "a.jsonl");
    await writeFile(file, `${JSON.stringify({ text: sentence })}\n`.repeat(4));
    const meta = await prepareData(
      { file, field: "text", tokenizer: "gpt2", validation_fraction: 0.5 },
      { cacheDirectory: cache },
    );
    const document = [...ids, 50256];
    expect(meta).toMatchObject({ vocab_size: 50257, text_bytes: 4 * sentence.length });
    expect(await readSplit(cache, meta, "train")).toEqual([...document, ...document]);
    expect(await readSplit(cache, meta, "validation")).toEqual([...document, ...document]);
  });
});

describe("documents", () => {
  it("are held out whole and spread over the corpus, and none is on both sides", async () => {
    const cache = await scratch();
    const meta = await prepareData(
      { corpus: "state-of-the-union", tokenizer: "bytes", validation_fraction: 0.05 },
      { cacheDirectory: cache },
    );
    const documentsOf = async (split: "train" | "validation") =>
      Buffer.from(await readSplit(cache, meta, split))
        .toString("latin1")
        .split("\0")
        .slice(0, -1);
    const train = await documentsOf("train");
    const validation = await documentsOf("validation");
    const files = await corpusFiles("state-of-the-union");
    const sources = await Promise.all(files.map((name) => readFile(name, "latin1")));
    expect([...train, ...validation].sort()).toEqual([...sources].sort());
    const heldOut = new Set(validation);
    expect(train.some((document) => heldOut.has(document))).toBe(false);
    const positions = validation.map((document) => sources.indexOf(document));
    const thirds = [0, 1, 2].map((t) => positions.filter((p) => Math.floor((p * 3) / sources.length) === t));
    expect(thirds.map((third) => third.length > 0)).toEqual([true, true, true]);
    expect(meta.text_bytes).toBe(10_761_413);
    expect(
      Math.abs(meta.validation_tokens / (meta.train_tokens + meta.validation_tokens) - 0.05),
    ).toBeLessThan(0.005);
  });

  it("of Moby Dick are its chapters, in order", async () => {
    const cache = await scratch();
    const meta = await prepareData(
      { corpus: "moby-dick", tokenizer: "bytes", validation_fraction: 0.05 },
      { cacheDirectory: cache },
    );
    const train = Buffer.from(await readSplit(cache, meta, "train"))
      .toString("latin1")
      .split("\0")
      .slice(0, -1);
    const files = await corpusFiles("moby-dick");
    const chapters = await Promise.all(files.map((name) => readFile(name, "latin1")));
    expect(train).toEqual(chapters.filter((chapter) => train.includes(chapter)));
    expect(chapters).toHaveLength(139);
    expect(train[2]).toContain("Call me Ishmael");
  });

  it.each(["a.jsonl", "a.ndjson", "a.json.gz"])(
    "come from the field of %s; blank lines and a missing last newline do no harm",
    async (name) => {
      const cache = await scratch();
      const file = path.join(cache, name);
      const lines = ["one", "two", "three", "four"].map((word) =>
        JSON.stringify({ id: 1, body: `${word} é` }),
      );
      const text = lines.join("\r\n\n");
      await writeFile(file, name.endsWith(".gz") ? gzipSync(text) : text);
      const meta = await prepareData(
        { file, field: "body", tokenizer: "bytes", validation_fraction: 0.3 },
        { cacheDirectory: cache },
      );
      expect(Buffer.from(await readSplit(cache, meta, "train")).toString("utf8")).toBe(
        "one é\0three é\0four é\0",
      );
      expect(Buffer.from(await readSplit(cache, meta, "validation")).toString("utf8")).toBe("two é\0");
    },
  );
});

describe("token files", () => {
  const write16 = (file: string, ids: number[]) => writeFile(file, Buffer.from(Uint16Array.from(ids).buffer));
  const ids = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

  it("in nanoGPT's format keep their ids; the tail is held out", async () => {
    const cache = await scratch();
    const file = path.join(cache, "a.bin");
    await write16(file, ids(0, 1000));
    const meta = await prepareData(
      { tokens: file, dtype: "uint16", vocab_size: 1000, validation_fraction: 0.1 },
      { cacheDirectory: cache },
    );
    expect(await readSplit(cache, meta, "train")).toEqual(ids(0, 900));
    expect(await readSplit(cache, meta, "validation")).toEqual(ids(900, 100));
    expect(meta).toMatchObject({ tokenizer: "tokens", vocab_size: 1000, dtype: "uint16", text_bytes: null });
  });

  it("may name their own validation file", async () => {
    const cache = await scratch();
    const [train, validation] = [path.join(cache, "train.bin"), path.join(cache, "val.bin")];
    await write16(train, ids(0, 50));
    await write16(validation, ids(50, 10));
    const meta = await prepareData(
      {
        tokens: train,
        validation_tokens: validation,
        vocab_size: 60,
        dtype: "uint16",
        validation_fraction: 0.1,
      },
      { cacheDirectory: cache },
    );
    expect(await readSplit(cache, meta, "train")).toEqual(ids(0, 50));
    expect(await readSplit(cache, meta, "validation")).toEqual(ids(50, 10));
  });

  it("may be uint32, for vocabularies above 65,536", async () => {
    const cache = await scratch();
    const file = path.join(cache, "a.bin");
    await writeFile(file, Buffer.from(Uint32Array.from(ids(100_000, 20)).buffer));
    const meta = await prepareData(
      {
        tokens: file,
        vocab_size: 128_256,
        dtype: "uint32",
        validation_fraction: 0.5,
      },
      { cacheDirectory: cache },
    );
    expect(meta.dtype).toBe("uint32");
    expect(await readSplit(cache, meta, "validation")).toEqual(ids(100_010, 10));
  });
});

describe("compressed files", () => {
  it("give the same data set as the plain file", async () => {
    const cache = await scratch();
    const content = numberedLines(300_000);
    await writeFile(path.join(cache, "a.txt"), content);
    await writeFile(path.join(cache, "a.txt.gz"), gzipSync(content));
    await copyFile(ZSTD_FIXTURE, path.join(cache, "a.txt.zst"));
    const hashes = new Set<string>();
    for (const name of ["a.txt", "a.txt.gz", "a.txt.zst"]) {
      // A cache for each, so that every one is really unpacked.
      const own = path.join(cache, `cache-${name}`);
      hashes.add((await prepareData(text(path.join(cache, name)), { cacheDirectory: own })).hash);
    }
    expect(hashes.size).toBe(1);
  });

  it("made of several parts one after another are read to the end", async () => {
    const cache = await scratch();
    const zstd = await readFile(ZSTD_FIXTURE);
    await writeFile(path.join(cache, "a.txt.zst"), Buffer.concat([zstd, zstd]));
    const gzip = gzipSync(numberedLines(300_000));
    await writeFile(path.join(cache, "a.txt.gz"), Buffer.concat([gzip, gzip]));
    for (const name of ["a.txt.gz", "a.txt.zst"]) {
      const meta = await prepareData(text(path.join(cache, name)), { cacheDirectory: cache });
      expect(meta.text_bytes).toBe(2 * numberedLines(300_000).length);
    }
  });
});

describe("the cache", () => {
  const count = async (spec: DataSpec, cacheDirectory: string) => {
    const seen: PrepareProgress[] = [];
    const meta = await prepareData(spec, { cacheDirectory, onProgress: (progress) => seen.push(progress) });
    return { meta, seen };
  };

  it("tokenizes once; progress ends at the size of the file", async () => {
    const cache = await scratch();
    const file = path.join(cache, "a.txt");
    await writeFile(file, numberedLines(3_000_000));
    const first = await count(text(file), cache);
    const { size } = await stat(file);
    expect(first.seen.at(-1)).toEqual({ read_bytes: size, total_bytes: size });
    const second = await count(text(file), cache);
    expect(second.seen).toEqual([]);
    expect(second.meta).toEqual(first.meta);
  });

  it("reads a relative path from the directory it is told", async () => {
    const cache = await scratch();
    await writeFile(path.join(cache, "a.txt"), numberedLines(2000));
    const relative = await prepareData(text("./a.txt"), { cacheDirectory: cache, baseDirectory: cache });
    expect(relative).toEqual(await prepareData(text(path.join(cache, "a.txt")), { cacheDirectory: cache }));
  });

  it("gives a copied source the same data set, and a changed one another, even when its size and time are the same", async () => {
    const cache = await scratch();
    const [a, b] = [path.join(cache, "a.txt"), path.join(cache, "sub.txt")];
    const content = numberedLines(2000);
    await writeFile(a, content);
    await writeFile(b, content);
    const first = await prepareData(text(a), { cacheDirectory: cache });
    expect((await prepareData(text(b), { cacheDirectory: cache })).hash).toBe(first.hash);
    const { mtime } = await stat(a);
    await writeFile(a, content.replace("Line 3", "Lion 3"));
    await utimes(a, mtime, mtime);
    expect((await prepareData(text(a), { cacheDirectory: cache })).hash).not.toBe(first.hash);
  });

  it("tells tokenizers and fractions apart", async () => {
    const cache = await scratch();
    const file = path.join(cache, "a.txt");
    await writeFile(file, numberedLines(2000));
    const specs = [text(file), text(file, "gpt2"), text(file, "bytes", 0.3)];
    const hashes = await Promise.all(
      specs.map(async (spec) => (await prepareData(spec, { cacheDirectory: cache })).hash),
    );
    expect(new Set(hashes).size).toBe(3);
  });

  it("is found when its text is gone, which is said; without either, the text is missed", async () => {
    const cache = await scratch();
    const file = path.join(cache, "a.txt");
    await writeFile(file, numberedLines(2000));
    const meta = await prepareData(text(file), { cacheDirectory: cache });
    await rm(file);
    const said: string[] = [];
    const onGone = (message: string) => void said.push(message);
    expect(await prepareData(text(file), { cacheDirectory: cache, onGone })).toEqual(meta);
    expect(said).toEqual([`Data file not found: ${file}`]);
    // Nothing was ever prepared with these settings, and nothing is left of what was prepared with the others.
    await expect(prepareData(text(file, "gpt2"), { cacheDirectory: cache })).rejects.toMatchObject({
      code: "data-missing",
    });
    await rm(path.join(cache, meta.hash), { recursive: true });
    await expect(prepareData(text(file), { cacheDirectory: cache })).rejects.toMatchObject({
      code: "data-missing",
    });
    // Another text in its place is another data set.
    await writeFile(file, numberedLines(3000));
    expect((await prepareData(text(file), { cacheDirectory: cache })).hash).not.toBe(meta.hash);
  });

  it("is built anew where one bit of it has flipped, when it is to be verified", async () => {
    const cache = await scratch();
    const file = path.join(cache, "a.txt");
    await writeFile(file, numberedLines(2000));
    const meta = await prepareData(text(file), { cacheDirectory: cache });
    for (const split of ["train.bin", "validation.bin"]) {
      const place = path.join(cache, meta.hash, split);
      const sound = await readFile(place);
      const damaged = Buffer.from(sound);
      damaged[100]! ^= 1;
      await writeFile(place, damaged);
      expect(await prepareData(text(file), { cacheDirectory: cache, verify: true })).toEqual(meta);
      expect(await readFile(place)).toEqual(sound);
    }
  });

  it("builds a damaged data set anew", async () => {
    const cache = await scratch();
    const file = path.join(cache, "a.txt");
    await writeFile(file, numberedLines(2000));
    const meta = await prepareData(text(file), { cacheDirectory: cache });
    const before = await readSplit(cache, meta, "train");
    await truncate(path.join(cache, meta.hash, "train.bin"), 10);
    expect(await prepareData(text(file), { cacheDirectory: cache })).toEqual(meta);
    expect(await readSplit(cache, meta, "train")).toEqual(before);
    await rm(path.join(cache, meta.hash, "meta.json"));
    expect(await prepareData(text(file), { cacheDirectory: cache })).toEqual(meta);
  });

  it("serves many who prepare the same source at once", async () => {
    const cache = await scratch();
    const file = path.join(cache, "a.txt");
    await writeFile(file, numberedLines(500_000));
    const directory = path.join(cache, "cache");
    const all = await Promise.all(
      Array.from({ length: 6 }, () => prepareData(text(file), { cacheDirectory: directory })),
    );
    expect(new Set(all.map((meta) => meta.hash)).size).toBe(1);
    expect((await readdir(directory)).sort()).toEqual([all[0]!.hash, "index", "sources"].sort());
  });

  it("shows nothing half-written after an abort", async () => {
    const cache = await scratch();
    const file = path.join(cache, "a.txt");
    await writeFile(file, numberedLines(4_000_000));
    const directory = path.join(cache, "cache");
    const controller = new AbortController();
    const prepared = prepareData(text(file), {
      cacheDirectory: directory,
      signal: controller.signal,
      onProgress: ({ read_bytes }) => read_bytes > 1_500_000 && controller.abort(new Error("stop")),
    });
    await expect(prepared).rejects.toThrow("stop");
    // The source's hash alone is remembered.
    expect(await readdir(directory)).toEqual(["sources"]);
  });

  it("clears away what a killed process left, and then prepares the same data set", async () => {
    const cache = await scratch();
    const file = path.join(cache, "a.txt");
    await writeFile(file, numberedLines(40_000_000));
    const directory = path.join(cache, "cache");
    const child = fork(
      fileURLToPath(new URL("./fixtures/prepare-data.ts", import.meta.url)),
      [file, directory],
      {
        execArgv: ["--import", "tsx"],
      },
    );
    await once(child, "message");
    child.kill("SIGKILL");
    await once(child, "exit");
    // The source's hash is remembered too.
    const left = async () => (await readdir(directory)).filter((name) => name !== "sources");
    expect(await left()).toEqual([expect.stringMatching(/^\.preparing-/)]);
    const meta = await prepareData(text(file), { cacheDirectory: directory });
    expect((await left()).sort()).toEqual([meta.hash, "index"].sort());
  });

  it("that cannot be written says so, and what to do", async () => {
    const cache = await scratch();
    const file = path.join(cache, "a.txt");
    await writeFile(file, numberedLines(2000));
    await expect(prepareData(text(file), { cacheDirectory: path.join(file, "cache") })).rejects.toMatchObject(
      {
        name: "MusweepError",
        kind: "unavailable",
        message: expect.stringContaining("cannot be written"),
        remedy: expect.stringContaining("--dir"),
      },
    );
  });

  it("leaves alone what a process on another host may be preparing", async () => {
    const cache = await scratch();
    await mkdir(path.join(cache, ".preparing-elsewhere-1-abc"));
    const file = path.join(cache, "a.txt");
    await writeFile(file, numberedLines(2000));
    await prepareData(text(file), { cacheDirectory: cache });
    expect(await readdir(cache)).toContain(".preparing-elsewhere-1-abc");
  });
});
