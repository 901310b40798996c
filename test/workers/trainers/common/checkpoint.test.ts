/** What a checkpoint says beside its tensors: whose it is, and what is to be said again. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startedFields } from "../../../../schema/wire/outcomes.ts";
import type { TrainerEvent } from "../../../../schema/wire/protocol.ts";
import {
  type Engine,
  loadCheckpoint,
  stageCheckpoint,
} from "../../../../workers/trainers/common/checkpoint.ts";
import { EventLog } from "../../../../workers/trainers/common/event-log.ts";
import { type NamedTensor, writeSafetensors } from "../../../../workers/trainers/common/safetensors.ts";
import { temporaryDirectory } from "../support.ts";

const RUN = "r0123456789abcdef0123";
const OWN: Engine = { name: "musweep-cpu", version: "3, AVX-512" };
const LOSS = { initial: 2.5, lastFinite: 2, stepsAbove: 0 };
const events = (count: number): TrainerEvent[] =>
  Array.from({ length: count }, (_, i) => ({
    type: "evaluation",
    run: RUN,
    step: i + 1,
    validation_loss: 1 / (i + 1),
  }));
const tensors = (): NamedTensor[] => [{ name: "a", shape: [2], data: Float32Array.from([1, 2]) }];

async function write(directory: string, engine: Engine, count = 3): Promise<string> {
  const log = new EventLog();
  for (const event of events(count)) log.add(event);
  const progress = { step: 7, seconds: 1.5, loss: LOSS, events: log };
  const { path, commit } = await stageCheckpoint(directory, RUN, engine, progress, tensors());
  await commit();
  return path;
}

const load = (directory: string) => {
  const into: NamedTensor[] = [{ name: "a", shape: [2], data: new Float32Array(2) }];
  const { progress, notes } = loadCheckpoint(directory, RUN, OWN, into);
  return { ...progress, events: [...progress!.events], notes, data: Array.from(into[0]!.data) };
};

test("the engine's own checkpoint is read as it was written, without a note", async () => {
  const directory = temporaryDirectory();
  await write(directory, OWN);
  expect(load(directory)).toEqual({
    step: 7,
    seconds: 1.5,
    loss: LOSS,
    events: events(3),
    notes: [],
    data: [1, 2],
  });
});

test.each<[string, Engine]>([
  ["another version", { name: "musweep-cpu", version: "2, AVX-512" }],
  ["another processor's kernels", { name: "musweep-cpu", version: "3, AVX2" }],
  ["another engine", { name: "musweep-torch", version: "3, AVX-512" }],
])("that of %s is read with a note", async (_name, engine) => {
  const directory = temporaryDirectory();
  await write(directory, engine);
  const { step, notes } = load(directory);
  expect(step).toBe(7);
  expect(notes).toEqual([
    `Checkpoint step-000000007.safetensors is of engine ${engine.name} ${engine.version}, not musweep-cpu 3, AVX-512: from there on numbers may differ by rounding.`,
  ]);
});

test("one of the format before, which had no version, is read with a note", async () => {
  const directory = temporaryDirectory();
  await writeSafetensors(join(directory, "step-000000007.safetensors"), tensors(), {
    format: "musweep-checkpoint-2",
    run: RUN,
    engine: OWN.name,
    step: "7",
    seconds: "1.5",
    loss: JSON.stringify(LOSS),
    events: JSON.stringify(events(3)),
  });
  const { notes, ...found } = load(directory);
  expect(found).toEqual({ step: 7, seconds: 1.5, loss: LOSS, events: events(3), data: [1, 2] });
  expect(notes).toEqual([
    expect.stringContaining("of engine musweep-cpu of an unknown version, not musweep-cpu 3"),
  ]);
});

test("a file of another program's tensors is passed over, with a note that the protocol takes", () => {
  const directory = temporaryDirectory();
  const entries = Array.from({ length: 1000 }, (_, i) => [
    `layers.${i}`,
    { dtype: "BF16", shape: [1], data_offsets: [2 * i, 2 * i + 2] },
  ]);
  const header = Buffer.from(JSON.stringify({ __metadata__: {}, ...Object.fromEntries(entries) }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(
    join(directory, "step-000000007.safetensors"),
    Buffer.concat([length, header, Buffer.alloc(2000)]),
  );
  const { progress, notes } = loadCheckpoint(directory, RUN, OWN, tensors());
  expect(progress).toBe(null);
  expect(notes).toEqual([expect.stringMatching(/^Checkpoint step-000000007.* was passed over: .*F32/s)]);
  expect(startedFields.notes.safeParse(notes).success).toBe(true);
});

test("however many events there are, the header stays small", async () => {
  const directory = temporaryDirectory();
  const file = readFileSync(await write(directory, OWN, 20_000));
  expect(Number(file.readBigUInt64LE())).toBeLessThan(1000);
  expect(file.length).toBeGreaterThan(1_000_000);
  expect(load(directory).events).toEqual(events(20_000));
});
