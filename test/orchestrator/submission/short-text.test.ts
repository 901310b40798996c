/** A text that is too short for the sequences of a sweep is refused at the place that wants them, before anything is queued. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { stateDirectory } from "../../../orchestrator/machine/state-directory.ts";
import { loadSweep, readSweepFile } from "../../../orchestrator/submission/load-sweep.ts";
import { refuseShortFile } from "../../../orchestrator/submission/short-text.ts";
import { gridText } from "../../support/database.ts";
import { scratch } from "../../support/scratch.ts";
import { openApp } from "../dashboard/start-app.ts";
import { sweepText } from "../sweep/small-sweep.ts";

/** 100 lines of 22 bytes: 5% of 2200 is 110, and the end of the line moves the cut from byte 2090 to byte 2112. */
const TEXT = "Some words of a text.\n".repeat(100);

function sweepOf(sections: Parameters<typeof sweepText>[0]) {
  const { directory } = scratch();
  writeFileSync(join(directory, "text.txt"), TEXT);
  writeFileSync(join(directory, "text.txt.gz"), gzipSync(TEXT));
  writeFileSync(join(directory, "text.jsonl"), `${JSON.stringify({ text: TEXT })}\n`.repeat(2));
  writeFileSync(join(directory, "ids.bin"), Buffer.alloc(2 * 2000));
  writeFileSync(join(directory, "few.bin"), Buffer.alloc(2 * 30));
  const path = join(directory, "sweep.yaml");
  writeFileSync(path, sweepText(sections));
  const read = readSweepFile(path);
  const message = (error: unknown): string => (error as Error).message.replaceAll(`${directory}/`, "");
  return {
    read,
    refusal: () =>
      loadSweep(read, stateDirectory({ dir: join(directory, "state") })).then(() => null, message),
    refusalBySize: () => {
      try {
        refuseShortFile(read);
      } catch (error) {
        return message(error);
      }
      return null;
    },
  };
}

const model = (length: number) => `model: {width: 64, layers: 2, d_head: 16, sequence_length: ${length}}`;

describe("a sequence that the held-out part of a text does not hold", () => {
  it("is refused where the file says its length, with what helps", async () => {
    const { refusal } = sweepOf({ data: "data: {file: text.txt}", model: model(88) });
    expect(await refusal()).toBe(
      "sweep.yaml:3:60: model.sequence_length: the validation split of text.txt has 88 tokens, and a sequence needs 89, one more than its length; expected a longer text, or a sequence_length of at most 87, or a larger validation_fraction",
    );
    expect(await sweepOf({ data: "data: {file: text.txt}", model: model(87) }).refusal()).toBeNull();
  });

  it("is the longest of an axis", async () => {
    const axes = "axes: {parameterization: sp, sequence_length: [16, 100, 64]}";
    const { read, refusal } = sweepOf({ data: "data: {file: text.txt}", axes });
    expect(read.longest_sequence).toEqual({
      length: 100,
      place: { line: 6, column: 52, path: "axes.sequence_length[1]" },
    });
    expect(await refusal()).toContain("sweep.yaml:6:52: axes.sequence_length[1]: the validation split");
  });

  it("is that of a phase, in a phase's own model too", () => {
    const axes = `phases:
  - {name: a, axes: {parameterization: sp, learning_rate: [0.1]}}
  - {name: b, model: {sequence_length: 64}, axes: {parameterization: sp, learning_rate: [0.1]}}`;
    expect(sweepOf({ axes }).read.longest_sequence).toEqual({
      length: 64,
      place: { line: 8, column: 40, path: "phases[1].model.sequence_length" },
    });
  });

  it.each([
    // No fraction of 2200 tokens leaves 1501 twice.
    [
      "{file: text.txt, validation_fraction: 0.5}",
      1500,
      /^.*expected a longer text, or a sequence_length of at most \d+$/,
    ],
    [
      "{file: text.txt, limit_tokens: 1000}",
      600,
      /expected a larger limit_tokens, or a sequence_length of at most \d+$/,
    ],
    [
      "{tokens: ids.bin, vocab_size: 9}",
      100,
      /of ids.bin has 100 tokens.*, or a larger validation_fraction$/,
    ],
    [
      "{tokens: ids.bin, validation_tokens: few.bin, vocab_size: 9}",
      32,
      /^.*has 30 tokens, and a sequence needs 33.*longer text, or a sequence_length of at most 29$/,
    ],
    [
      "{tokens: few.bin, validation_tokens: ids.bin, vocab_size: 9}",
      32,
      /^.*the training split of few.bin has 30 tokens/,
    ],
  ])("of %s, length %i", async (data, length, message) => {
    const { refusal, refusalBySize } = sweepOf({ data: `data: ${data}`, model: model(length) });
    expect(await refusal()).toMatch(message);
    expect(refusalBySize()).toMatch(message);
  });

  it("is not looked for where the trainer has data of its own", async () => {
    const { read, refusal } = sweepOf({ data: "trainer: mine", model: model(4000) });
    expect(read.longest_sequence?.length).toBe(4000);
    expect(await refusal()).toBeNull();
  });

  it("is refused of a sweep that comes over HTTP", async () => {
    const { app } = openApp();
    const body = gridText({}).replace(/sequence_length: \d+/, "sequence_length: 100000");
    expect(body).toContain("sequence_length: 100000");
    const headers = { "content-type": "application/yaml" };
    const response = await app.request("/api/sweeps?file=s.yaml", { method: "POST", body, headers });
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({
      code: "sweep-file",
      message: expect.stringMatching(
        /^s\.yaml:\d+:\d+: model\.sequence_length: the validation split of moby-dick has/,
      ),
    });
  });
});

describe("by its size alone a file", () => {
  it("is refused where no tokens of it could be enough", () => {
    const { refusalBySize } = sweepOf({ data: "data: {file: text.txt, tokenizer: gpt2}", model: model(110) });
    expect(refusalBySize()).toContain("has at most 110 tokens, and a sequence needs 111");
  });

  it.each([
    // 88 tokens, as tokenizing shows; the size would allow 110.
    ["{file: text.txt}", 100],
    ["{file: text.txt.gz}", 4000],
    ["{file: text.jsonl}", 4000],
    ["{file: not-there.txt}", 4000],
    ["{files: '*.txt'}", 4000],
    ["{corpus: moby-dick}", 1_000_000],
  ])("is not refused where that says too little: %s", (data, length) => {
    expect(sweepOf({ data: `data: ${data}`, model: model(length) }).refusalBySize()).toBeNull();
  });
});
