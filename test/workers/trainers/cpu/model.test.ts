/** The whole model: its gradients against finite differences, and what must not change its numbers. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DataSource } from "../../../../workers/trainers/common/data.ts";
import { RandomStream } from "../../../../workers/trainers/common/philox.ts";
import { initialTensors } from "../../../../workers/trainers/common/tensors.ts";
import { Engine } from "../../../../workers/trainers/cpu/engine.ts";
import { firstGradients, traceTraining } from "../../../../workers/trainers/cpu/inspect.ts";
import { type Passes, passesOf } from "../../../../workers/trainers/cpu/run-memory.ts";
import { makePlan, type PlanOptions, temporaryDirectory, writeData } from "../support.ts";
import { differentiate } from "./finite-differences.ts";
import { PROCESSORS, useBestProcessor, useProcessor } from "./processors.ts";

const MODELS: [string, PlanOptions][] = [
  ["RMSNorm, tied, ALiBi, 3 heads", {}],
  [
    "LayerNorm, untied, no positions",
    { shape: { norm: "layernorm", tied_embeddings: false, positions: "none" } },
  ],
  ["masks, LayerNorm, tied, 6 heads", { density: 0.5, shape: { norm: "layernorm", d_head: 2 } }],
  [
    "masks, RMSNorm, untied, 1 head, attention by 1/√d",
    { density: 0.25, shape: { tied_embeddings: false, d_head: 12 } },
  ],
  ["masks above ½, which are multiplied as zeros", { density: 0.75 }],
  ["micro-batches", { density: 0.5, plan: { micro_batch_size: 2 } }],
  [
    "blocked attention",
    { shape: { layers: 1, d_model: 4, d_head: 2, d_ffn: 4, sequence_length: 513 }, plan: { batch_size: 1 } },
  ],
];

describe.each(PROCESSORS)("for %s", (name) => {
  beforeAll(() => useProcessor(name));
  afterAll(useBestProcessor);

  test.each(MODELS)("gradients agree with finite differences: %s", async (_name, options) => {
    const directory = temporaryDirectory();
    const plan = makePlan({ hash: writeData(directory, 11, 8000), initStd: 0.4, ...options });
    const { gradients } = await firstGradients(plan, directory);
    const data = new DataSource(plan, directory);
    const engine = new Engine(plan, data, 1);
    engine.initialize();
    const loss = async () => (await engine.accumulateGradients(1))!;
    const { weights, masks } = initialTensors(plan);
    for (const spec of engine.tensors) {
      const gradient = gradients.get(spec.name)!;
      const mask = masks.get(spec.name);
      const weight = weights.get(spec.name)!;
      const lossThere = (): Promise<number> => {
        const tensor = engine.weightTensors().find(({ name }) => name === spec.name)!;
        tensor.data.set(weight);
        tensor.afterReading?.();
        engine.weightsChanged();
        return loss();
      };
      const largest = Math.max(...gradient.map(Math.abs));
      const picks = new RandomStream(1, spec.name);
      for (let pick = 0; pick < 5; pick++) {
        const i = picks.integerBelow(spec.size, pick);
        if (mask?.[i] === 0) continue;
        const expected = await differentiate(lossThere, weight, i);
        expect(Math.abs(gradient[i]! - expected), `${spec.name}[${i}]`).toBeLessThan(2e-3 * largest + 2e-5);
      }
      await lossThere();
    }
    data.close();
    engine.release();
  });
});

test("micro-batches change neither losses nor weights beyond rounding", async () => {
  const directory = temporaryDirectory();
  const hash = writeData(directory);
  const trace = (micro: number) =>
    traceTraining(
      makePlan({ hash, density: 0.5, plan: { batch_size: 8, micro_batch_size: micro } }),
      directory,
    );
  const [whole, split] = [await trace(8), await trace(2)];
  split.losses.forEach((loss, i) => {
    expect(loss).toBeCloseTo(whole.losses[i]!, 4);
  });
  split.gradientNorms.forEach((norm, i) => {
    expect(norm).toBeCloseTo(whole.gradientNorms[i]!, 3);
  });
  expect(split.validationLoss).toBeCloseTo(whole.validationLoss, 4);
});

test.each([
  ["exact", 0.5],
  ["bernoulli", 0.25],
  ["exact", 1 / 8],
] as const)(
  "of a sparse matrix each weight that exists has a gradient, and no other: %s, %f",
  async (mask, density) => {
    const directory = temporaryDirectory();
    const shape = { d_model: 48, d_head: 16, d_ffn: 64 };
    const plan = makePlan({ hash: writeData(directory), initStd: 0.4, density, shape, plan: { mask } });
    const data = new DataSource(plan, directory);
    const engine = new Engine(plan, data, 1);
    engine.initialize();
    await engine.accumulateGradients(1);
    const { masks } = initialTensors(plan);
    for (const { name, data: sums, beforeWriting } of engine.gradientSums()) {
      beforeWriting?.();
      const expected = masks.get(name);
      if (expected === undefined) continue;
      const tensor = engine.tensors.find((t) => t.name === name)!;
      expect(tensor.kept).toBe(expected.reduce((sum, m) => sum + m, 0));
      // As the kernels left them, at the places where the engine has its weights.
      expect(sums.map((x) => Number(x !== 0))).toEqual(expected);
    }
    expect(masks.size).toBe(7 * plan.shape.layers);
    data.close();
    engine.release();
  },
);

test("masked weights stay exactly 0 under decay and clipping", async () => {
  const directory = temporaryDirectory();
  const plan = makePlan({ hash: writeData(directory), density: 0.25, decayPerStep: 0.01 });
  const { masks } = initialTensors(plan);
  const { weights } = await traceTraining(plan, directory);
  expect(masks.size).toBe(7 * plan.shape.layers);
  for (const [name, mask] of masks) {
    const weight = weights.get(name)!;
    mask.forEach((m, i) => {
      if (m === 0) expect(weight[i]).toBe(0);
    });
    expect(weight.some((w) => w !== 0)).toBe(true);
  }
});

test("the same plan gives the same bits, and the loss falls", async () => {
  const directory = temporaryDirectory();
  const plan = makePlan({ hash: writeData(directory), density: 0.5, plan: { steps: 150, batch_size: 8 } });
  const [first, second] = [await traceTraining(plan, directory), await traceTraining(plan, directory)];
  expect(second).toEqual(first);
  // Nine tokens in ten follow from the one before: the best loss is 0.33 + 0.1·ln 11 = 0.53, guessing gives ln 11 = 2.40.
  expect(first.validationLoss).toBeLessThan(1.0);
  expect(first.losses[0]).toBeGreaterThan(1.8);
});

test("passes and lanes follow from the plan alone", () => {
  const passes = (batch: number, length: number): Passes =>
    passesOf({ ...makePlan({ shape: { sequence_length: length } }), batch_size: batch });
  expect(passes(8, 256)).toEqual({ sequences: 4, count: 2, lanes: 2 });
  expect(passes(8, 128)).toEqual({ sequences: 4, count: 2, lanes: 2 });
  expect(passes(4, 128)).toEqual({ sequences: 4, count: 1, lanes: 1 });
  expect(passes(32, 256)).toEqual({ sequences: 4, count: 8, lanes: 2 });
  expect(passes(12, 256)).toEqual({ sequences: 3, count: 4, lanes: 2 });
  expect(passes(7, 256)).toEqual({ sequences: 1, count: 7, lanes: 2 });
  expect(passes(128, 2048)).toEqual({ sequences: 1, count: 128, lanes: 2 });
  const plan = makePlan({ plan: { batch_size: 32, micro_batch_size: 16 } });
  expect(passesOf(plan)).toEqual({ sequences: 16, count: 2, lanes: 2 });
});

test.each<[string, number, PlanOptions]>([
  ["one pass", 11, { plan: { batch_size: 4 } }],
  ["one pass, a large vocabulary", 16_384, { plan: { batch_size: 4 } }],
  ["two lanes", 11, { plan: { batch_size: 8, micro_batch_size: 4 } }],
  ["masks above ½", 11, { density: 0.75, plan: { batch_size: 8, micro_batch_size: 4 } }],
  ["few weights", 11, { density: 1 / 16, plan: { batch_size: 8, micro_batch_size: 4 } }],
  ["two lanes of two passes, the last one short", 11, { plan: { batch_size: 12, micro_batch_size: 4 } }],
])("one, two, three, four and five threads give the same bits: %s", async (_name, vocabulary, options) => {
  const directory = temporaryDirectory();
  const shape = { d_model: 64, d_head: 32, d_ffn: 176, sequence_length: 128 };
  const hash = writeData(directory, vocabulary, 8000);
  const plan = makePlan({ hash, vocabulary, shape, density: 0.5, ...options });
  const trace = async (threads: number) => {
    const { weights, ...numbers } = await traceTraining(plan, directory, 2, threads);
    // A difference in a million numbers would take minutes to print.
    const digests = [...weights].map(([name, w]) => [name, createHash("sha256").update(w).digest("hex")]);
    return { ...numbers, digests };
  };
  const one = await trace(1);
  for (const threads of [2, 3, 4, 5]) expect(await trace(threads)).toEqual(one);
});
