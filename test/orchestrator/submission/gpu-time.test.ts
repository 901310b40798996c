/** GPU hours of the two sweep files that are for GPUs, against counts made by hand from the paper's tables. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { expandPhases, type LoadedSweep } from "../../../orchestrator/submission/load-sweep.ts";
import { summarizePlan } from "../../../orchestrator/submission/plan-summary.ts";
import { parseSweep } from "../../../orchestrator/sweep/parse-sweep.ts";
import { packageRoot } from "../../../schema/wire/package.ts";
import { cellsOf, DATA, freshDatabase, sqliteOf, submitText, train } from "../../support/database.ts";

const GPT2 = { hash: DATA.hash, vocab_size: 50_257 };
const loaded = (text: string): LoadedSweep => {
  const sweep = parseSweep(text, "test.yaml");
  return { sweep, text, data: GPT2, phases: expandPhases(sweep, GPT2) } as LoadedSweep;
};
const shipped = (name: string): LoadedSweep =>
  loaded(readFileSync(join(packageRoot(), "sweeps", `${name}.yaml`), "utf8"));
const noTime = null;

it("the 610M file: parameters, tokens and FLOPs as the paper's tables have them, and the hours at a stated rate", async () => {
  const { widths, gpu, waiting, seconds } = await summarizePlan(
    freshDatabase(),
    shipped("target-610m"),
    2,
    400,
    noTime,
  );
  // Embedding 50,257 · 256; per layer 4 · 256² + 3 · 256 · 1,024 + 2 · 256 gains; the last gain. 1,526 batches of 256 · 2,048 tokens.
  const parameters = 50_257 * 256 + 24 * (4 * 256 ** 2 + 3 * 256 * 1024 + 2 * 256) + 256;
  expect(parameters).toBe(38_044_160);
  expect(widths).toMatchObject([{ width: 256, layers: 24, parameters, tokens: [800_063_488, 800_063_488] }]);
  // Per token 6 · (products and unembedding) and 12 · 24 · 2,048 · 256; seven rates under SP, six under μP, which SμPar is.
  const perToken = 6 * (24 * (4 * 256 ** 2 + 3 * 256 * 1024) + 50_257 * 256) + 12 * 24 * 2048 * 256;
  expect(gpu).toEqual({
    runs: 13,
    measured: 0,
    seconds: expect.closeTo((13 * 800_063_488 * perToken) / 400e12, 3),
  });
  // 606M parameters; 11,752 batches of 504 · 2,048 tokens: 12.1B.
  const large = 6 * (10 * (4 * 2048 ** 2 + 3 * 2048 * 5461) + 50_257 * 2048) + 12 * 10 * 2048 * 2048;
  const [target] = waiting;
  expect(target!.gpu!.seconds).toBeCloseTo((target!.runs * 12_130_320_384 * large) / 400e12, 0);
  expect(target!.models).toEqual([
    { width: 2048, layers: 10, parameters: 606_265_344, tokens: 12_130_320_384 },
  ]);
  // Nothing of it is this machine's.
  expect(seconds).toBeNull();
});

const SMALL = `name: small
device: cuda
data: { corpus: moby-dick, tokenizer: gpt2 }
model: { width: 64, layers: 1, d_head: 32, sequence_length: 64 }
training: { steps: 20, batch_size: 4 }
axes: { parameterization: sp, learning_rate: [0.01, 0.02] }
`;

it("where runs of that shape have trained on a GPU, their speed is what counts", async () => {
  const db = freshDatabase();
  submitText(db, SMALL);
  const [first] = cellsOf(SMALL);
  train(db, first!.run, 2);
  // 20 · 4 · 64 = 5,120 tokens a run, at 1,280 a second.
  sqliteOf(db).exec(
    "UPDATE runs SET tokens = 5120, seconds = 4; UPDATE attempts SET device = 'cuda:0, NVIDIA H100'",
  );
  const sweep = parseSweep(SMALL, "test.yaml");
  const data = DATA;
  const { gpu } = await summarizePlan(
    db,
    { sweep, text: SMALL, data, phases: expandPhases(sweep, data) } as LoadedSweep,
    2,
    400,
    noTime,
  );
  expect(gpu).toEqual({ runs: 1, measured: 1, seconds: 4 });
});
