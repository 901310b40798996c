/** Sources that would hang, fill the memory or the disk, or become wrong tokens in silence: each is refused, with what to do. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { appendFile, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it, onTestFinished } from "vitest";
import { type PrepareOptions, prepareData } from "../../../orchestrator/data/prepare.ts";
import type { DataSpec } from "../../../orchestrator/data/spec.ts";
import { MusweepError } from "../../../schema/wire/errors.ts";
import { readSplit, scratch, ZSTD_FIXTURE } from "./helpers.ts";

const text = (file: string, more: Partial<Extract<DataSpec, { file: string }>> = {}): DataSpec => ({
  file,
  field: "text",
  tokenizer: "bytes",
  validation_fraction: 0.1,
  ...more,
});
const tokens = (file: string, more: Partial<Extract<DataSpec, { tokens: string }>> = {}): DataSpec => ({
  tokens: file,
  vocab_size: 50_257,
  dtype: "uint16",
  validation_fraction: 0.1,
  ...more,
});

async function failure(spec: DataSpec, options: Partial<PrepareOptions> = {}): Promise<MusweepError> {
  const cache = await scratch();
  const error: unknown = await prepareData(spec, { cacheDirectory: cache, ...options }).catch(
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof MusweepError)) throw error;
  const left = (await readdir(cache)).filter((name) => name !== "sources");
  expect(left).toEqual([]);
  return error;
}

async function fileOf(name: string, content: string | Uint8Array): Promise<string> {
  const at = path.join(await scratch(), name);
  await writeFile(at, content);
  return at;
}

/** zstd (RFC 8878) by hand: one frame of blocks that repeat a byte, four bytes for up to 128 KiB of text. */
function zstdOfRepeats(blocks: number, length: number, windowDescriptor = 0x38): Buffer {
  const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, windowDescriptor]);
  const block = (i: number): Buffer => {
    const descriptor = Buffer.alloc(4);
    descriptor.writeUIntLE((i === blocks - 1 ? 1 : 0) | (1 << 1) | (length << 3), 0, 3);
    descriptor[3] = "a".charCodeAt(0);
    return descriptor;
  };
  return Buffer.concat([header, ...Array.from({ length: blocks }, (_, i) => block(i))]);
}

describe("what is no regular file is refused by name, at once", () => {
  it.each<[what: string, make: (at: string) => Promise<unknown> | unknown, says: string]>([
    ["a pipe", (at) => execFileSync("mkfifo", [at]), "a pipe"],
    ["a device without end", (at) => symlink("/dev/zero", at), "a device"],
    ["a directory", (at) => mkdir(at), "a directory"],
    ["a link that leads to itself", (at) => symlink(at, at), "a link that leads back to itself"],
    ["what the kernel makes up", (at) => symlink("/proc/self/maps", at), "made up by the kernel"],
    [
      "a socket",
      async (at) => {
        const server = createServer().listen(at);
        onTestFinished(() => void server.close());
        await once(server, "listening");
      },
      "a socket",
    ],
  ])("%s", async (_, make, says) => {
    for (const [name, specOf] of [
      ["a.txt", text],
      ["a.jsonl", text],
      ["a.bin", tokens],
    ] as const) {
      const at = path.join(await scratch(), name);
      await make(at);
      const error = await failure(specOf(at));
      expect(error).toMatchObject({ kind: "usage", exitCode: 2 });
      expect(error.message).toContain(at);
      expect(error.message).toContain(says);
    }
  });

  it.each([
    ["a null character", "a\0b.txt", "null character"],
    ["a name that is too long", `${"x".repeat(5000)}.txt`, "too long"],
    ["a path through a file", "/etc/hostname/a.txt", "is a file, not a directory"],
  ])("%s in its path", async (_, name, says) => {
    const error = await failure(text(path.resolve(await scratch(), name)));
    expect(error).toMatchObject({ kind: "usage" });
    expect(error.message).toContain(says);
  });
});

describe("a compressed file that expands beyond measure", () => {
  /** 64 KB of blocks for 2 GiB of text. */
  const bomb = zstdOfRepeats(16_384, 131_072);

  it("is given up, and the disk is left alone", async () => {
    expect(bomb.length).toBeLessThan(70_000);
    const at = await fileOf("bomb.txt.zst", bomb);
    const error = await failure(text(at));
    expect(error.message).toBe(`${at}: becomes more than 200 times as long when it is decompressed`);
    expect(error.remedy).toContain("--max-expansion");
    const packed = await fileOf(
      "bomb.jsonl.gz",
      gzipSync(Buffer.alloc(100 << 20, `${JSON.stringify({ text: "a".repeat(10_000) })}\n`)),
    );
    expect((await failure(text(packed))).message).toContain("200 times as long");
  });

  it("is read where that is allowed, and any small file is", async () => {
    const cache = await scratch();
    const large = await fileOf("large.txt.zst", zstdOfRepeats(600, 131_072));
    expect((await failure(text(large))).message).toContain("200 times");
    const meta = await prepareData(text(large, { max_expansion: 1e6 }), { cacheDirectory: cache });
    expect(meta.text_bytes).toBe(600 * 131_072);
    const small = await fileOf("small.txt.zst", zstdOfRepeats(300, 131_072));
    expect((await prepareData(text(small), { cacheDirectory: cache })).text_bytes).toBe(300 * 131_072);
  });

  it("is given up as well where it is many small ones, each of which would do", async () => {
    const directory = await scratch();
    const names = Array.from({ length: 3 }, (_, i) => path.join(directory, `${i}.txt.zst`));
    // 2 kB for 30 MiB.
    for (const name of names) await writeFile(name, zstdOfRepeats(240, 131_072));
    const spec = { files: path.join(directory, "*.zst"), field: "text", validation_fraction: 0.1 };
    const error = await failure({ ...spec, tokenizer: "bytes" });
    expect(error.message).toBe(
      `${names[2]}: with it, 3 files become more than 200 times as long when they are decompressed`,
    );
  });

  it("several frames, and frames without data, are read as one text; a window that is too large says what to do", async () => {
    const cache = await scratch();
    const skippable = Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    const frames = Buffer.concat([zstdOfRepeats(2, 1000), skippable, zstdOfRepeats(1, 500), skippable]);
    const meta = await prepareData(text(await fileOf("a.txt.zst", frames)), { cacheDirectory: cache });
    expect(meta.text_bytes).toBe(2500);
    // 2^(10 + 21): what zstd --long=31 writes.
    const at = await fileOf(
      "b.txt.zst",
      Buffer.concat([zstdOfRepeats(1, 500), zstdOfRepeats(1, 500, 21 << 3)]),
    );
    const error = await failure(text(at));
    expect(error.message).toBe(`${at}: was compressed with a window of 2048 MiB; expected at most 128 MiB`);
    expect(error.remedy).toContain("zstd -d --long=31");
    // 2^(10 + 17), moved once for every byte.
    const slow = await fileOf("c.txt.zst", zstdOfRepeats(20_000, 1, 17 << 3));
    expect((await failure(text(slow))).message).toContain(
      "a window of 128 MiB; expected at most 8 MiB where blocks are",
    );
  });

  it.each([
    ["without content", 128, zstdOfRepeats(20, 0, 17 << 3)],
    ["of a byte a block", 128, zstdOfRepeats(101, 1, 17 << 3)],
    ["of a byte a block, with windows that are cheap to move", 8, zstdOfRepeats(20, 1, 13 << 3)],
  ])("very many frames %s are refused, each with a large window of its own", async (_, window, frame) => {
    const at = await fileOf("a.txt.zst", Buffer.concat(Array.from({ length: 20_000 }, () => frame)));
    expect((await failure(text(at))).message).toMatch(
      new RegExp(
        `: was compressed with a window of ${window} MiB; expected .* are as small as in this file$`,
      ),
    );
  });

  it("many frames with large windows are read where they hold something, and short ones at once", async () => {
    const cache = await scratch();
    const long = Array.from({ length: 3 }, () => zstdOfRepeats(17, 131_072, 17 << 3));
    const short = Array.from({ length: 20_000 }, () => zstdOfRepeats(1, 1, 17 << 3));
    const at = await fileOf("a.txt.zst", Buffer.concat([...long, ...short, ...long]));
    const meta = await prepareData(text(at, { max_expansion: 1e6 }), { cacheDirectory: cache });
    expect(meta.text_bytes).toBe(6 * 17 * 131_072 + 20_000);
  });

  it("a short frame whose window is larger than its content is read as any", async () => {
    const cache = await scratch();
    const packed = await readFile(ZSTD_FIXTURE);
    // The same blocks, behind a header that says 128 MiB in the place of 8.
    const blocks = packed.subarray(6);
    const content = Buffer.concat([packed.subarray(0, 4), Buffer.of(packed[4]! & 4, 17 << 3), blocks]);
    const meta = async (file: string) => prepareData(text(file), { cacheDirectory: cache });
    expect(await meta(await fileOf("a.txt.zst", content))).toEqual(await meta(ZSTD_FIXTURE));
  });
});

describe("a pattern that would be tried in endlessly many ways", () => {
  const patternSpec = (files: string): DataSpec => ({
    files,
    field: "text",
    tokenizer: "bytes",
    validation_fraction: 0.1,
  });
  const inPlace = async (pattern: string) => {
    const place = await scratch();
    const name = "a".repeat(250);
    await mkdir(path.join(place, "a".repeat(200)));
    for (const file of [name, `${"a".repeat(200)}/${name}`, "(a+)+b", "+(a)x"])
      await writeFile(path.join(place, file), "some words\n".repeat(50));
    await writeFile(path.join(place, "other.txt"), "other words");
    return [patternSpec(pattern), { baseDirectory: place }] as const;
  };

  it.each([
    ["stars in one part", "*a*a*a*a*a*a*b", 'too many "*"'],
    ["stars in several parts", "*a*a*a*a/*a*a*a*b", 'too many "*"'],
    ["stars behind any folders", "**/a/**/a/**/*a*a*b", 'too many "*"'],
    [
      "stars in braces that have slashes in them",
      "{*a,x/}{*a,x/}{*a,x/}{*a,x/}{*a,x/}{*a,x/}b",
      'too many "*"',
    ],
    ["braces", `${"{a,a}".repeat(40)}b`, "its braces may stand for more than 1,000 patterns"],
    ["braces with a bracket in them", `${"{[}a],[}a]}".repeat(40)}b`, "its braces may stand for"],
  ])("%s: is refused by name", async (_, pattern, says) => {
    const error = await failure(...(await inPlace(pattern)));
    expect(error).toMatchObject({ kind: "usage" });
    expect(error.message).toContain(pattern);
    expect(error.message).toContain(says);
  });

  it.each(["+(*)y", "+(a|a)b", "(a+)+c", "[a]+[a]+[a]+[a]+[a]+[a]+b", "@(+(a)|+(a))b"])(
    "%s stands for that name, and for no repeats",
    async (pattern) => {
      expect((await failure(...(await inPlace(pattern)))).message).toMatch(/^no file matches/);
    },
  );

  it.each(["(a+)+b", "+(a)x", "{(a+)+,*/*.}[b]", "[+](a)x"])("%s is found so", async (pattern) => {
    const [spec, { baseDirectory }] = await inPlace(pattern);
    const both = { ...spec, files: [pattern, "other.txt"] };
    const meta = await prepareData(both, { cacheDirectory: await scratch(), baseDirectory });
    expect(meta.text_bytes).toBe(550 + "other words".length);
  });
});

describe("a .jsonl file", () => {
  it("with one endless line is refused at the line, before the line is held", async () => {
    const line = Buffer.concat([
      Buffer.from('{"text":"a"}\n{"text":"'),
      Buffer.alloc(40 << 20, "x"),
      Buffer.from('"}\n'),
    ]);
    const at = await fileOf("a.jsonl", line);
    const error = await failure(text(at));
    expect(error.message).toBe(`${at}:2: the line is longer than 32 MiB`);
    expect(error.remedy).toContain("Split the document");
  });

  /** "é" in Latin-1, which is no UTF-8, beside "é" in UTF-8, as an escape, and an emoji as an escape. */
  const latin = (field: string) =>
    Buffer.concat([
      Buffer.from(`{"${field}":"caf`),
      Buffer.of(0xe9),
      Buffer.from(' é \\u00e9 \\ud83d\\udc0b "}\n'.replace('"}', `","n":1}`)),
    ]);
  const document = Buffer.concat([Buffer.from("caf"), Buffer.of(0xe9), Buffer.from(" é é 🐋 ")]);

  it("that is not UTF-8 is refused under gpt2, at the line and the byte", async () => {
    const at = await fileOf("a.jsonl", Buffer.concat([Buffer.from('{"text":"fine"}\n'), latin("text")]));
    const error = await failure(text(at, { tokenizer: "gpt2" }));
    expect(error.message).toBe(`${at}:2: not valid UTF-8, from byte 13 of the line`);
  });

  it("that is not UTF-8 keeps its bytes under bytes", async () => {
    const cache = await scratch();
    const at = await fileOf("a.jsonl", Buffer.concat([latin("text"), latin("text"), latin("text")]));
    const meta = await prepareData(text(at, { validation_fraction: 0.4 }), { cacheDirectory: cache });
    const [train, validation] = [
      await readSplit(cache, meta, "train"),
      await readSplit(cache, meta, "validation"),
    ];
    const each = [...document, 0];
    expect(train).toEqual([...each, ...each]);
    expect(validation).toEqual(each);
  });

  it.each([
    ["half a character", '{"text":"a\\ud83d"}', "half of a character"],
    [
      "bytes and what stands in for them",
      Buffer.from('{"text":"\xe9 \\udbff\\udfe9"}', "latin1"),
      "private use",
    ],
  ])("with %s is refused at the line", async (_, line, says) => {
    const at = await fileOf("a.jsonl", line);
    const error = await failure(text(at));
    expect(error.message).toContain(`${at}:1: `);
    expect(error.message).toContain(says);
  });

  it("whose objects have long names, or very many, shows some of them", async () => {
    const names = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`${i}${"n".repeat(1000)}`, 1]));
    const { message } = await failure(text(await fileOf("a.jsonl", JSON.stringify(names))));
    expect(message).toMatch(/no field "text"; the object has: 0n+…, 1n+…, .* and 40 more$/);
    expect(message.length).toBeLessThan(1000);
    const inherited = await failure(text(await fileOf("b.jsonl", "{}"), { field: "toString" }));
    expect(inherited.message).toContain("the object has: no fields");
  });
});

describe("a file that changes while it is read", () => {
  it.each(["a.txt", "a.jsonl", "a.bin"])("%s is noticed", async (name) => {
    const isTokens = name.endsWith(".bin");
    const content = isTokens
      ? Buffer.alloc(8 << 20, 7)
      : `${JSON.stringify({ text: "some text ".repeat(100) })}\n`.repeat(8000);
    const at = await fileOf(name, content);
    let appended: Promise<void> | undefined;
    const onProgress = (): void => {
      appended ??= appendFile(at, isTokens ? Buffer.alloc(1024, 7) : '{"text":"more"}\n');
    };
    const error = await failure(isTokens ? tokens(at) : text(at), { onProgress });
    await appended;
    expect(error.message).toBe(`${at}: the file changed while it was read`);
    expect(error.remedy).toContain("Wait");
  });
});

/** A header of 128 bytes, as numpy.save writes it. */
function npyOf(content: Buffer, descr: string): Buffer {
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (2000,), }`.padEnd(117);
  const start = Buffer.from("\x93NUMPY\x01\x00\x76\x00", "latin1");
  return Buffer.concat([start, Buffer.from(`${text}\n`), content]);
}

describe("a token file that is not what the settings say", () => {
  const ids = Array.from({ length: 2000 }, (_, i) => (i * 7919) % 50_257);
  const as64 = Buffer.from(BigInt64Array.from(ids.map(BigInt)).buffer);
  const as32 = Buffer.from(Uint32Array.from(ids).buffer);
  const as16 = Buffer.from(Uint16Array.from(ids).buffer);

  it.each<[what: string, content: Buffer, dtype: "uint16" | "uint32", says: string, remedy: string]>([
    [
      "64 bits as 16",
      as64,
      "uint16",
      "three of four ids is 0, so these are ids of 64 bits, read as uint16",
      "astype",
    ],
    [
      "32 bits as 16",
      as32,
      "uint16",
      "every second id is 0, so these are ids of 32 bits, read as uint16",
      "--dtype uint32",
    ],
    [
      "64 bits as 32",
      as64,
      "uint32",
      "every second id is 0, so these are ids of 64 bits, read as uint32",
      "astype",
    ],
    [
      "a file of numpy.save under another name",
      npyOf(as16, "<u2"),
      "uint16",
      "is a file of numpy.save, which begins with a header of 128 bytes",
      "header_bytes: 128 (--header-bytes 128)",
    ],
    [
      "64 bits after a header of an odd length",
      Buffer.concat([Buffer.from("a header of 46 bytes, which nobody knows of..."), as64]),
      "uint16",
      "three of four ids is 0, so these are ids of 64 bits, read as uint16",
      "astype",
    ],
  ])("%s", async (_, content, dtype, says, remedy) => {
    const at = await fileOf("a.bin", content);
    const error = await failure(tokens(at, { dtype }));
    expect(error.message).toBe(`${at}: ${says}`);
    expect(error.remedy).toContain(remedy);
  });

  it("llm.c's header is named, and passed over where that is said", async () => {
    const header = Buffer.alloc(1024);
    // Magic, version, count: https://github.com/karpathy/llm.c, dev/data/data_common.py.
    for (const [i, value] of [20_240_520, 1, ids.length].entries()) header.writeInt32LE(value, 4 * i);
    const at = await fileOf("a.bin", Buffer.concat([header, as16]));
    const error = await failure(tokens(at));
    expect(error.message).toContain("the header of llm.c's token files");
    expect(error.remedy).toContain("--header-bytes 1024");
    const cache = await scratch();
    const meta = await prepareData(tokens(at, { header_bytes: 1024 }), { cacheDirectory: cache });
    expect([
      ...(await readSplit(cache, meta, "train")),
      ...(await readSplit(cache, meta, "validation")),
    ]).toEqual(ids);
    const odd = await failure(tokens(await fileOf("b.bin", Buffer.alloc(101, 7)), { header_bytes: 4 }));
    expect(odd.message).toContain("ends in the middle of a token");
  });

  it("ids that happen to be small are none of these", async () => {
    const cache = await scratch();
    const small = Uint16Array.from({ length: 4000 }, (_, i) => (i % 5 === 0 ? 0 : i % 3));
    const at = await fileOf("a.bin", Buffer.from(small.buffer));
    expect((await prepareData(tokens(at), { cacheDirectory: cache })).train_tokens).toBe(3600);
  });
});

it("a long text is encoded as its pieces are, and a text that is no UTF-8 is refused at the byte", async () => {
  const good = "It is a truth universally acknowledged.\n".repeat(30_000);
  const at = await fileOf(
    "a.txt",
    Buffer.concat([Buffer.from(good), Buffer.of(0xe2, 0x82), Buffer.from("x\n")]),
  );
  const error = await failure(text(at, { tokenizer: "gpt2" }));
  expect(error.message).toBe(
    `${at}: not valid UTF-8, which the gpt2 tokenizer needs, from byte ${good.length + 1}`,
  );
  const cut = await fileOf("b.txt", Buffer.concat([Buffer.from(good), Buffer.of(0xe2, 0x82)]));
  expect((await failure(text(cut, { tokenizer: "gpt2" }))).message).toContain(`from byte ${good.length + 1}`);
});
