import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  type NamedTensor,
  readSafetensors,
  stageSafetensors,
  writeSafetensors,
} from "../../../../workers/trainers/common/safetensors.ts";
import { temporaryDirectory } from "../support.ts";

const tensors = (): NamedTensor[] => [
  { name: "a", shape: [2, 3], data: Float32Array.from([1, -2, 3.5, 0, 1e-40, -0]) },
  { name: "blocks.0.b", shape: [1], data: Float32Array.from([7]) },
];
const empty = (): NamedTensor[] => tensors().map((t) => ({ ...t, data: new Float32Array(t.data.length) }));

test("what is written is read back, bit for bit, with its metadata", async () => {
  const path = join(temporaryDirectory(), "deep", "x.safetensors");
  const bytes = await writeSafetensors(path, tensors(), { step: "3", note: "größer" });
  expect(readFileSync(path).length).toBe(bytes);
  const read = empty();
  expect(readSafetensors(path, read)).toEqual({ step: "3", note: "größer" });
  expect(read).toEqual(tensors());
  expect(readdirSync(join(path, ".."))).toEqual(["x.safetensors"]);
});

test("the file has the published layout", async () => {
  const path = join(temporaryDirectory(), "x.safetensors");
  await writeSafetensors(path, tensors(), {});
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE());
  expect(length % 8).toBe(0);
  const header = JSON.parse(file.subarray(8, 8 + length).toString());
  expect(header.a).toEqual({ dtype: "F32", shape: [2, 3], data_offsets: [0, 24] });
  expect(header["blocks.0.b"]).toEqual({ dtype: "F32", shape: [1], data_offsets: [24, 28] });
  expect(file.readFloatLE(8 + length + 8)).toBe(3.5);
  expect(file.length).toBe(8 + length + 28);
});

test("a tensor of several pieces is read back, bit for bit", async () => {
  const path = join(temporaryDirectory(), "x.safetensors");
  const data = Float32Array.from({ length: 2_500_001 }, (_, i) => Math.sin(i));
  await writeSafetensors(path, [{ name: "a", shape: [data.length], data }], {});
  const read = new Float32Array(data.length);
  readSafetensors(path, [{ name: "a", shape: [data.length], data: read }]);
  expect(Buffer.from(read.buffer).equals(Buffer.from(data.buffer))).toBe(true);
});

test("a staged file takes its place when it is committed, with the values from when it was staged", async () => {
  const path = join(temporaryDirectory(), "x.safetensors");
  await writeSafetensors(path, tensors(), { step: "1" });
  const changing = tensors();
  const { commit } = await stageSafetensors(path, changing, { step: "2" });
  changing[0]!.data.fill(9);
  expect(readSafetensors(path, empty())).toEqual({ step: "1" });
  await commit();
  const read = empty();
  expect(readSafetensors(path, read)).toEqual({ step: "2" });
  expect(read).toEqual(tensors());
});

test("a commit that fails says so and leaves nothing behind", async () => {
  const directory = temporaryDirectory();
  const path = join(directory, "x.safetensors");
  const { commit } = await stageSafetensors(path, tensors(), {});
  mkdirSync(path);
  await expect(commit()).rejects.toThrow("EISDIR");
  expect(readdirSync(directory)).toEqual(["x.safetensors"]);
});

test("a flipped bit anywhere, and a cut at any length, is noticed", async () => {
  const path = join(temporaryDirectory(), "x.safetensors");
  await writeSafetensors(path, tensors(), { step: "3" });
  const good = readFileSync(path);
  for (let i = 0; i < good.length; i++) {
    const bad = Buffer.from(good);
    bad[i]! ^= 4;
    writeFileSync(path, bad);

    expect(() => readSafetensors(path, empty()), `byte ${i}`).toThrow();
  }
  writeFileSync(path, good);
  for (let length = good.length - 1; length >= 0; length -= 7) {
    truncateSync(path, length);
    expect(() => readSafetensors(path, empty())).toThrow();
  }
});

test("a file of other tensors is refused by name", async () => {
  const path = join(temporaryDirectory(), "x.safetensors");
  await writeSafetensors(path, tensors(), {});
  const [a, b] = empty() as [NamedTensor, NamedTensor];
  expect(() => readSafetensors(path, [a])).toThrow("other tensors");
  expect(() => readSafetensors(path, [a, { ...b, name: "c" }])).toThrow("no tensor c");
  expect(() => readSafetensors(path, [{ ...a, shape: [3, 2] }, b])).toThrow("tensor a has another shape");
});
