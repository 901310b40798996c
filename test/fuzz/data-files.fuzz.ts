/** Data files of any content: each becomes a data set, or a clear error that leaves none behind. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, expect, it } from "vitest";
import { prepareData } from "../../orchestrator/data/prepare.ts";
import type { DataSpec } from "../../orchestrator/data/spec.ts";
import { dataMetaSchema } from "../../schema/wire/data.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { changed, oddText, oddValue } from "./arbitraries.ts";
import { FUZZ } from "./runs.ts";

const directory = mkdtempSync(join(tmpdir(), "musweep-fuzz-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.string({ unit: "grapheme", maxLength: 200 }).map((text) => Buffer.from(text)),
  fc
    .array(fc.constantFrom("one\n", "two words\n", "é\n", "\n"), { maxLength: 40 })
    .map((lines) => Buffer.from(lines.join(""))),
);
const jsonLines = fc
  .array(
    fc.oneof({ arbitrary: oddText.map((text) => ({ text })), weight: 5 }, { arbitrary: oddValue, weight: 1 }),
    { maxLength: 12 },
  )
  .map((values) => Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join("")));
/** Some bytes exchanged. */
const torn = (sound: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> =>
  fc
    .tuple(sound, fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 4 }), fc.nat(400))
    .map(([own, changes, cut]) => {
      const copy = Uint8Array.from(own);
      for (const [at, value] of changes) if (copy.length > 0) copy[at % copy.length] = value;
      return cut < 40 ? copy.subarray(0, cut) : copy;
    });
/** zstd by hand (RFC 8878): raw and repeating blocks, an optional checksum, then anything. */
const zstd = fc
  .tuple(
    fc.array(fc.tuple(fc.boolean(), fc.nat(60)), { minLength: 1, maxLength: 6 }),
    fc.constantFrom(0, 0x38, 0x60, 0xf8),
    fc.boolean(),
  )
  .map(([blocks, window, hasChecksum]) => {
    const parts = blocks.map(([repeats, length], i) => {
      const start = Buffer.alloc(3);
      start.writeUIntLE((i === blocks.length - 1 ? 1 : 0) | (repeats ? 2 : 0) | (length << 3), 0, 3);
      return Buffer.concat([start, Buffer.alloc(repeats ? 1 : length, "word\n")]);
    });
    return Buffer.concat([
      Buffer.from([0x28, 0xb5, 0x2f, 0xfd, hasChecksum ? 4 : 0, window]),
      ...parts,
      Buffer.alloc(hasChecksum ? 4 : 0),
    ]);
  });
const packed = (content: fc.Arbitrary<Uint8Array>) =>
  fc.oneof(
    content.map((own) => ({ content: own, ending: "" })),
    torn(content.map((own) => gzipSync(own))).map((own) => ({ content: own, ending: ".gz" })),
    torn(zstd).map((own) => ({ content: own, ending: ".zst" })),
  );
const fraction = fc.constantFrom(0.05, 0.3, 0.5);
const tokenizer = fc.constantFrom("bytes" as const, "gpt2" as const);

const source = fc.oneof(
  fc.record({ file: packed(torn(bytes)), kind: fc.constant("txt" as const), tokenizer, fraction }),
  fc.record({
    file: packed(fc.oneof(jsonLines, torn(jsonLines))),
    kind: fc.constant("jsonl" as const),
    tokenizer,
    fraction,
  }),
  fc.record({
    file: fc.uint8Array({ maxLength: 400 }).map((content) => ({ content, ending: "" })),
    kind: fc.constant("bin" as const),
    tokenizer,
    fraction,
    vocab_size: fc.constantFrom(2, 256, 65_536),
    dtype: fc.constantFrom("uint16" as const, "uint32" as const),
    header_bytes: fc.constantFrom(0, 1, 4, 1024),
  }),
);

it(
  "any data file",
  async () => {
    let prepared = 0;
    await fc.assert(
      fc.asyncProperty(source, async (own) => {
        const cache = mkdtempSync(join(directory, "cache-"));
        const at = join(cache, `a.${own.kind}${own.file.ending}`);
        writeFileSync(at, own.file.content);
        const spec: DataSpec =
          own.kind === "bin"
            ? {
                tokens: at,
                vocab_size: own.vocab_size,
                dtype: own.dtype,
                header_bytes: own.header_bytes,
                validation_fraction: own.fraction,
              }
            : { file: at, field: "text", tokenizer: own.tokenizer, validation_fraction: own.fraction };
        const state = join(cache, "state");
        try {
          const meta = dataMetaSchema.parse(await prepareData(spec, { cacheDirectory: state }));
          expect(Math.min(meta.train_tokens, meta.validation_tokens)).toBeGreaterThanOrEqual(2);
          prepared++;
        } catch (error) {
          if (!(error instanceof MusweepError)) throw error;
          expect(error).toMatchObject({ kind: "usage" });
          expect(error.message).toContain(at);
          expect(error.message.length).toBeLessThan(2000);
          expect(readdirSync(state).filter((name) => name !== "sources")).toEqual([]);
        } finally {
          rmSync(cache, { recursive: true, force: true });
        }
      }),
      FUZZ,
    );
    expect(prepared).toBeGreaterThan(10);
  },
  FUZZ.timeout,
);

it(
  "any data section",
  async () => {
    const { dataSchema } = await import("../../schema/sweep/sweep.ts");
    const sections = fc.constantFrom<unknown>(
      { corpus: "moby-dick" },
      { file: "a.txt", field: "text", tokenizer: "gpt2", max_expansion: 3 },
      { tokens: "a.bin", vocab_size: 300, dtype: "uint16", header_bytes: 4, validation_tokens: "b.bin" },
    );
    const state = join(directory, "state");
    await fc.assert(
      fc.asyncProperty(changed(sections), async (value) => {
        const parsed = dataSchema.safeParse(value);
        // Preparing the shipped book is tried elsewhere.
        if (!parsed.success || "corpus" in parsed.data) return;
        const error: unknown = await prepareData(parsed.data, {
          cacheDirectory: state,
          baseDirectory: directory,
        }).catch((thrown: unknown) => thrown);
        if (!(error instanceof MusweepError)) throw error;
        expect(["usage", "unavailable"]).toContain(error.kind);
      }),
      FUZZ,
    );
  },
  FUZZ.timeout,
);
