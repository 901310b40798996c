import { readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { batchTokens, DataSource } from "../../../../workers/trainers/common/data.ts";
import { RandomStream } from "../../../../workers/trainers/common/philox.ts";
import { makePlan, renameData, temporaryDirectory, writeData } from "../support.ts";

function prepare(options: Parameters<typeof makePlan>[0] = {}) {
  const directory = temporaryDirectory();
  return { directory, plan: makePlan({ ...options, hash: writeData(directory) }) };
}

test("targets are the inputs shifted by one, at the offsets the recipe gives", () => {
  const { directory, plan } = prepare();
  const { inputs, targets } = batchTokens(plan, directory, 5);
  const t = plan.shape.sequence_length;
  const source = new DataSource(plan, directory);
  const stream = new RandomStream(plan.seed, "data");
  for (let i = 0; i < plan.batch_size; i++) {
    expect([...targets.subarray(i * t, (i + 1) * t - 1)]).toEqual([
      ...inputs.subarray(i * t + 1, (i + 1) * t),
    ]);
    expect(source.trainingOffset(5, i)).toBe(stream.integerBelow(3600 - t, 4 * plan.batch_size + i));
  }
  source.close();
});

test("a batch depends on seed and step, not on the learning rate or how it is passed", () => {
  const { directory, plan } = prepare();
  const other = {
    ...plan,
    groups: plan.groups.map((g) => ({ ...g, learning_rate: 1 })),
    micro_batch_size: 1,
  };
  expect(batchTokens(other, directory, 3)).toEqual(batchTokens(plan, directory, 3));
  expect(batchTokens(plan, directory, 4)).not.toEqual(batchTokens(plan, directory, 3));
  expect(batchTokens({ ...plan, seed: 8 }, directory, 3)).not.toEqual(batchTokens(plan, directory, 3));
});

test("32-bit token files read the same as 16-bit ones", () => {
  const directory = temporaryDirectory();
  const hash = writeData(directory, 11, 4000, "uint16");
  const short = batchTokens(makePlan({ hash }), directory, 1);
  writeData(directory, 11, 4000, "uint32");
  const wideDirectory = temporaryDirectory();
  const wideHash = writeData(wideDirectory, 11, 4000, "uint32");
  expect(batchTokens(makePlan({ hash: wideHash }), wideDirectory, 1)).toEqual(short);
});

test("validation sequences run evenly from the first to the last token, the same for every seed", () => {
  const { directory, plan } = prepare();
  const offsets = (seed: number): number[] => {
    const source = new DataSource({ ...plan, seed }, directory);
    const all = Array.from({ length: plan.evaluation.sequences }, (_, i) => source.validationOffset(i));
    source.close();
    return all;
  };
  // 400 tokens, sequences of 9: starts 0 … 391, six of them.
  expect(offsets(1)).toEqual([0, 78, 156, 234, 312, 391]);
  expect(offsets(2)).toEqual(offsets(1));
});

test.each([
  ["data-missing", "meta.json cannot be read", (folder: string) => rmSync(folder, { recursive: true })],
  ["data-missing", "train.bin cannot be read", (folder: string) => rmSync(join(folder, "train.bin"))],
  ["data-mismatch", "is not JSON", (folder: string) => writeFileSync(join(folder, "meta.json"), "{")],
  [
    "data-mismatch",
    "does not describe a data set",
    (folder: string) => writeFileSync(join(folder, "meta.json"), "{}"),
  ],
  [
    "data-mismatch",
    "validation.bin holds 100 tokens",
    (folder: string) => truncateSync(join(folder, "validation.bin"), 200),
  ],
])("%s: %s", (code, message, damage) => {
  const { directory, plan } = prepare();
  damage(join(directory, plan.data.hash));
  expect(() => new DataSource(plan, directory)).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(message) }),
  );
});

test("data of another vocabulary or too short for one sequence is refused", () => {
  const { directory, plan } = prepare();
  const mismatch = (message: string) =>
    expect.objectContaining({ code: "data-mismatch", message: expect.stringContaining(message) });
  const wider = { ...plan, data: { ...plan.data, vocab_size: 12 } };
  expect(() => new DataSource(wider, directory)).toThrow(mismatch("vocabulary of 11; the plan wants 12"));
  const longer = { ...plan, shape: { ...plan.shape, sequence_length: 400 } };
  expect(() => new DataSource(longer, directory)).toThrow(
    expect.objectContaining({
      code: "data-mismatch",
      message: "The validation split has 400 tokens; a sequence needs 401.",
      remedy: "Train on a longer text, with a shorter sequence_length, or with another validation_fraction.",
    }),
  );
});

test("a token outside the vocabulary is refused, not trained on", () => {
  const { directory, plan } = prepare();
  const path = join(directory, plan.data.hash, "train.bin");
  writeFileSync(path, Buffer.from(new Uint16Array(3600).fill(11).buffer));
  const hash = renameData(directory, plan.data.hash);
  const named = { ...plan, data: { ...plan.data, hash } };
  expect(() => batchTokens(named, directory, 1)).toThrow("holds token 11; the vocabulary ends at 10");
});

test.each(["train.bin", "validation.bin"])(
  "one flipped bit of %s is found, also after the process has read it sound",
  (name) => {
    const { directory, plan } = prepare();
    batchTokens(plan, directory, 1);
    const path = join(directory, plan.data.hash, name);
    const bytes = readFileSync(path);
    bytes[200]! ^= 1;
    writeFileSync(path, bytes);
    expect(() => batchTokens(plan, directory, 1)).toThrow(
      expect.objectContaining({
        code: "data-mismatch",
        message: expect.stringContaining("is damaged: its bytes are those of"),
      }),
    );
    bytes[200]! ^= 1;
    writeFileSync(path, bytes);
    batchTokens(plan, directory, 1);
  },
);
