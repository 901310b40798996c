/** A plan says how often a run goes over a text that is shorter than the run. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { stateDirectory } from "../../../orchestrator/machine/state-directory.ts";
import { loadSweep, readSweepFile } from "../../../orchestrator/submission/load-sweep.ts";
import { repeatsSentence, summarizePlan } from "../../../orchestrator/submission/plan-summary.ts";
import { freshDatabase } from "../../support/database.ts";
import { scratch } from "../../support/scratch.ts";
import { sweepText } from "../sweep/small-sweep.ts";

async function repeatsOf(sections: Parameters<typeof sweepText>[0]) {
  const { directory } = scratch();
  // 2,112 of 2,200 bytes are for training: the cut at 95% goes to the end of a line.
  writeFileSync(join(directory, "text.txt"), "Some words of a text.\n".repeat(100));
  const path = join(directory, "sweep.yaml");
  writeFileSync(path, sweepText({ data: "data: {file: text.txt}", ...sections }));
  const loaded = await loadSweep(readSweepFile(path), stateDirectory({ dir: join(directory, "state") }));
  return (await summarizePlan(freshDatabase(), loaded, 1, 400, null)).repeats;
}

/** 32 tokens a sequence, 8 sequences a step. */
const RATES = "learning_rate: [0.01, 0.02]";
const training = (steps: number): string => `training: {steps: ${steps}, batch_size: 8}`;

it.each<[string, Parameters<typeof sweepText>[0], object | null]>([
  ["a run", { training: training(100) }, { times: 12, run_tokens: 25_600, train_tokens: 2112 }],
  ["no more than all of the text", { training: training(8) }, null],
  [
    "the longest of an axis",
    { axes: "axes: {parameterization: sp, steps: [100, 1000]}" },
    { times: 120, run_tokens: 256_000, train_tokens: 2112 },
  ],
  [
    "a phase that waits",
    {
      axes: `phases:
  - {name: a, training: {steps: 2, warmup_steps: 0}, axes: {parameterization: sp, ${RATES}}}
  - {name: b, axes: {parameterization: sp, learning_rate: {from: a}}}`,
    },
    { times: 12, run_tokens: 25_600, train_tokens: 2112 },
  ],
  [
    "a search",
    { axes: `search: {until: decided}\naxes: {parameterization: sp, width: [64, 128], ${RATES}}` },
    { times: 12, run_tokens: 25_600, train_tokens: 2112 },
  ],
])("%s", async (_what, sections, repeats) => {
  expect(await repeatsOf(sections)).toEqual(repeats);
});

it("in a sentence", () => {
  expect(repeatsSentence({ times: 12, run_tokens: 25_600, train_tokens: 2112 })).toBe(
    "A run goes over its text 12 times: it reads 25,600 tokens, and there are 2,112 to train on.",
  );
});
