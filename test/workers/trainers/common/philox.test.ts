import { expect, test } from "vitest";
import { fnv1a64, philox4x32, RandomStream } from "../../../../workers/trainers/common/philox.ts";

// The known-answer vectors of Random123's kat_vectors file for philox4x32 with 10 rounds: counter, key, result.
const KNOWN_ANSWERS = [
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
] as const;

test.each(KNOWN_ANSWERS)(
  "Philox4x32-10 gives the published answer for counter %j, key %j",
  (counter, key, answer) => {
    const out = new Uint32Array(4);
    const [[c0, c1, c2, c3], [k0, k1]] = [counter, key];
    philox4x32(out, c0, c1, c2, c3, k0, k1);
    expect([...out]).toEqual(answer);
  },
);

test("FNV-1a gives the published hashes", () => {
  expect(fnv1a64("")).toBe(0xcbf29ce484222325n);
  expect(fnv1a64("a")).toBe(0xaf63dc4c8601ec8cn);
  expect(fnv1a64("foobar")).toBe(0x85944171f73967e8n);
});

test("a stream is Philox at the documented counter and key", () => {
  const hash = fnv1a64("init/embedding");
  const expected = new Uint32Array(4);
  // Word 9 is word 1 of block 2.
  philox4x32(expected, 2, 0, Number(hash >> 32n), 0, 42, Number(hash & 0xffffffffn));
  expect(new RandomStream(42, "init/embedding").fillWords(new Uint32Array(10))[9]).toBe(expected[1]);
});

test.each([1, 4, 63, 64, 65, 1000])("the first %i words are those of its blocks", (count) => {
  const stream = new RandomStream(4_000_000_000, "mask/blocks.1.ffn_up");
  const four = new Uint32Array(4);
  const expected = Array.from({ length: count }, (_, i) => {
    stream.block(four, Math.floor(i / 4));
    return four[i % 4];
  });
  expect([...stream.fillWords(new Uint32Array(count))]).toEqual(expected);
});

test("normal numbers follow from the words by Box–Muller", () => {
  const words = new RandomStream(3, "x").fillWords(new Uint32Array(136));
  const out = new Float32Array(135);
  new RandomStream(3, "x").fillNormal(out, 0.5);
  for (let i = 0; i < 135; i++) {
    const u = (words[i - (i % 2)]! + 0.5) * 2 ** -32;
    const v = (words[i - (i % 2) + 1]! + 0.5) * 2 ** -32;
    const radius = Math.sqrt(-2 * Math.log(u));
    const expected = 0.5 * radius * (i % 2 === 0 ? Math.cos(2 * Math.PI * v) : Math.sin(2 * Math.PI * v));
    expect(out[i]).toBeCloseTo(expected, 7);
  }
});

test("a million draws have the moments of a normal distribution", () => {
  const n = 1_000_000;
  const out = new Float32Array(n);
  new RandomStream(1, "moments").fillNormal(out, 2);
  const moment = (k: number): number => out.reduce((sum, x) => sum + (x / 2) ** k, 0) / n;
  // Five standard errors: √(E x^2k − (E x^k)²)/√n for k = 1 … 4 is 1, √2, √15, √96 thousandths.
  expect(Math.abs(moment(1))).toBeLessThan(5e-3);
  expect(Math.abs(moment(2) - 1)).toBeLessThan(5e-3 * Math.SQRT2);
  expect(Math.abs(moment(3))).toBeLessThan(5e-3 * Math.sqrt(15));
  expect(Math.abs(moment(4) - 3)).toBeLessThan(5e-3 * Math.sqrt(96));
});

test("integers below a bound cover it evenly and never reach it", () => {
  const stream = new RandomStream(5, "data");
  const counts = new Array<number>(7).fill(0);
  for (let i = 0; i < 7000; i++) counts[stream.integerBelow(7, i)]!++;
  // χ² with 6 degrees of freedom exceeds 22.5 once in a thousand draws.
  expect(counts.reduce((sum, c) => sum + (c - 1000) ** 2 / 1000, 0)).toBeLessThan(22.5);
});

test("another seed or another name is another stream", () => {
  const first = (seed: number, name: string) =>
    [...new RandomStream(seed, name).fillWords(new Uint32Array(4))].join();
  expect(new Set([first(1, "a"), first(2, "a"), first(1, "b"), first(2, "b")]).size).toBe(4);
});
