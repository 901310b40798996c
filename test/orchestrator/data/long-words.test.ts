import fc from "fast-check";
import { encode } from "gpt-tokenizer/encoding/r50k_base";
import { expect, it } from "vitest";
import { loadTokenizer } from "../../../orchestrator/data/tokenizers.ts";

const { encode: idsOf, pieces } = await loadTokenizer("gpt2");

const signs = (...units: string[]): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...units), { minLength: 201, maxLength: 2000 }).map((all) => all.join(""));
const repeated = fc
  .tuple(fc.string({ unit: "grapheme", minLength: 1, maxLength: 5 }), fc.integer({ min: 201, max: 500 }))
  .map(([part, count]) => part.repeat(count));
const words = fc.oneof(
  signs(..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"),
  signs(..."etaoinshr"),
  signs(..."ACGT"),
  signs("a"),
  signs(..."0123456789"),
  signs(..."-=_*#~"),
  signs("-"),
  signs(" "),
  signs(" ", "\n", "\t", "\u00a0", "\u3000"),
  signs(..."的一是在不了有和人这中大为上个国"),
  signs(..."ÃÂâ€™\u0080\u00ff"),
  signs("🐋", "👩‍🚀", "é", "e\u0301", "\u200d"),
  // Of what is no character at all, and of what stands for it.
  signs("\ud83d", "\udc0b", "\ufffd", "\0", "\u0007"),
  repeated.filter((text) => !text.includes("\ufeff")),
);

it("the ids of long words are the library's", () => {
  fc.assert(
    fc.property(words, (word) => {
      expect([...idsOf(word)]).toEqual(encode(word, { disallowedSpecial: new Set() }));
    }),
    { numRuns: 200, seed: 20_261_126 },
  );
});

it.each(["a", "ACGTTGCA", " ", "-", "的", "\u00a0"])(
  "a word of a megabyte of %j is encoded",
  async (part) => {
    const count = 1_000_000 / part.length;
    const ids = idsOf(part.repeat(count));
    const { decode } = await import("gpt-tokenizer/encoding/r50k_base");
    expect(decode(ids) === part.repeat(count)).toBe(true);
  },
);

it("a text without whitespace is refused, however small the chunks are in which it comes", async () => {
  async function* chunks() {
    for (let i = 0; i < 2 ** 18; i++) yield Buffer.alloc(100, "x");
  }
  const all = async () => {
    for await (const _ of pieces(chunks(), "a text"));
  };
  await expect(all()).rejects.toThrow(/16 Mi characters without a space/);
});
