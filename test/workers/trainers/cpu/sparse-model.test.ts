/**
 * The same masked plan with its matrices kept sparse and kept dense: gradients, their norms, losses and weights differ by rounding
 * alone. Norms are compared on their own: a wrong mask once hid behind equal losses.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Plan } from "../../../../schema/wire/plan.ts";
import { DataSource } from "../../../../workers/trainers/common/data.ts";
import {
  type NamedTensor,
  readSafetensors,
  writeSafetensors,
} from "../../../../workers/trainers/common/safetensors.ts";
import { initialTensors } from "../../../../workers/trainers/common/tensors.ts";
import { Engine } from "../../../../workers/trainers/cpu/engine.ts";
import { firstGradients, traceTraining } from "../../../../workers/trainers/cpu/inspect.ts";
import { estimateMemory } from "../../../../workers/trainers/cpu/memory.ts";
import { layOutRun } from "../../../../workers/trainers/cpu/run-memory.ts";
import { keptTensors } from "../../../../workers/trainers/cpu/sparse-matrix.ts";
import { makePlan, type PlanOptions, temporaryDirectory, writeData } from "../support.ts";
import { runCommand } from "../trainer-process.ts";

/** No matrix is kept sparse. */
const dense = (plan: Plan, threads = 1) =>
  layOutRun(
    plan,
    threads,
    keptTensors(plan, () => false),
  );
const sparseNames = (plan: Plan): string[] =>
  keptTensors(plan)
    .filter(({ sparse }) => sparse !== null)
    .map(({ name }) => name);

/** ‖a − b‖ / ‖b‖ */
function distance(a: Float32Array, b: Float32Array): number {
  let [difference, size] = [0, 0];
  b.forEach((y, i) => {
    difference += (a[i]! - y) ** 2;
    size += y ** 2;
  });
  return size === 0 ? Math.sqrt(difference) : Math.sqrt(difference / size);
}

const WIDE = { d_model: 136, d_head: 34, d_ffn: 200, sequence_length: 33 };
const PLANS: [string, PlanOptions][] = [
  ["½", { density: 1 / 2, shape: WIDE }],
  ["¼, bernoulli", { density: 1 / 4, shape: WIDE, plan: { mask: "bernoulli" } }],
  ["⅛, in passes", { density: 1 / 8, shape: WIDE, plan: { micro_batch_size: 1 } }],
  [
    "1/16, LayerNorm, untied",
    { density: 1 / 16, shape: { ...WIDE, norm: "layernorm", tied_embeddings: false } },
  ],
  ["1/64", { density: 1 / 64, shape: WIDE }],
  ["1/64 of few weights", { density: 1 / 64 }],
];

test.each(PLANS)(
  "kept sparse and kept dense, a plan trains to the same numbers: density %s",
  async (_name, options) => {
    const directory = temporaryDirectory();
    const plan = makePlan({
      hash: writeData(directory, 11, 8000),
      decayPerStep: 1e-3,
      eps: 1e-6,
      ...options,
    });
    expect(sparseNames(plan)).toHaveLength(7 * plan.shape.layers);
    const gradients = await firstGradients(plan, directory);
    const expectedGradients = await firstGradients(plan, directory, dense(plan));
    expect(gradients.loss).toBeCloseTo(expectedGradients.loss, 5);
    for (const [name, gradient] of expectedGradients.gradients)
      expect(distance(gradients.gradients.get(name)!, gradient), name).toBeLessThan(1e-5);

    const trace = await traceTraining(plan, directory);
    const expected = await traceTraining(plan, directory, plan.steps, 1, dense(plan));
    trace.gradientNorms.forEach((norm, i) => {
      expect(norm / expected.gradientNorms[i]!, `norm of step ${i + 1}`).toBeCloseTo(1, 4);
    });
    trace.losses.forEach((loss, i) => {
      expect(loss, `loss of step ${i + 1}`).toBeCloseTo(expected.losses[i]!, 4);
    });
    expect(trace.validationLoss).toBeCloseTo(expected.validationLoss, 4);
    const { masks } = initialTensors(plan);
    for (const [name, weight] of expected.weights) {
      expect(distance(trace.weights.get(name)!, weight), name).toBeLessThan(1e-3);
      const mask = masks.get(name);
      if (mask === undefined) continue;
      expect(trace.weights.get(name)!.every((w, i) => mask[i] === 1 || w === 0)).toBe(true);
    }
  },
);

test("the plan's density decides: up to ½ sparse, above dense, with the same numbers on either side", async () => {
  const directory = temporaryDirectory();
  const hash = writeData(directory);
  const planAt = (density: number): Plan => makePlan({ hash, shape: WIDE, density });
  const above = 0.5 + 2 ** -40;
  expect(sparseNames(planAt(0.5))).toHaveLength(14);
  expect(sparseNames(planAt(above))).toEqual([]);
  // So little above that the masks are the same.
  const masksAt = (density: number): string[] =>
    Array.from(initialTensors(planAt(density)).masks.values(), (mask) =>
      createHash("sha256").update(mask).digest("hex"),
    );
  expect(masksAt(above)).toEqual(masksAt(0.5));
  const [sparse, masked] = [
    await traceTraining(planAt(0.5), directory),
    await traceTraining(planAt(above), directory),
  ];
  expect(sparse.losses).not.toEqual(masked.losses);
  sparse.gradientNorms.forEach((norm, i) => {
    expect(norm / masked.gradientNorms[i]!).toBeCloseTo(1, 4);
  });
  sparse.losses.forEach((loss, i) => {
    expect(loss).toBeCloseTo(masked.losses[i]!, 4);
  });
});

test("only the blocks' matrices are kept sparse, and of them those whose group says so", () => {
  const plan = makePlan({ shape: { tied_embeddings: false } });
  const groups = plan.groups.map((g) => {
    const density = { unembedding: 0.1, ffn_up: 0.25, attention_key: 0.75 }[g.name as string];
    return { ...g, density: density ?? g.density };
  });
  expect(sparseNames({ ...plan, groups })).toEqual(["blocks.0.ffn_up", "blocks.1.ffn_up"]);
});

test("blocks of sparse, masked and dense matrices side by side train to the numbers of dense ones", async () => {
  const directory = temporaryDirectory();
  const plan = makePlan({ hash: writeData(directory), shape: WIDE });
  const groups = plan.groups.map((g) => {
    const density = { ffn_up: 0.25, ffn_down: 0.1, attention_key: 0.75, attention_value: 0.5 }[
      g.name as string
    ];
    return { ...g, density: density ?? g.density };
  });
  const mixed = { ...plan, groups };
  const found = await traceTraining(mixed, directory);
  const expected = await traceTraining(mixed, directory, mixed.steps, 1, dense(mixed));
  found.gradientNorms.forEach((norm, i) => {
    expect(norm / expected.gradientNorms[i]!).toBeCloseTo(1, 4);
  });
  for (const [name, weight] of expected.weights)
    expect(distance(found.weights.get(name)!, weight), name).toBeLessThan(1e-3);
});

test("a checkpoint holds the tensors of the dense model, whichever way its weights are kept", async () => {
  const directory = temporaryDirectory();
  const plan = makePlan({ hash: writeData(directory), density: 0.25, shape: WIDE });
  const data = new DataSource(plan, directory);
  const digests = (tensors: readonly NamedTensor[]): string[] =>
    tensors.map(({ name, data: numbers, beforeWriting }) => {
      beforeWriting?.();
      return `${name} ${createHash("sha256").update(numbers).digest("hex")}`;
    });
  const reader = (engine: Engine, path: string): void => {
    readSafetensors(path, engine.stateTensors());
    engine.weightsChanged();
  };
  const [sparse, kept] = [new Engine(plan, data, 1), new Engine(plan, data, 1, dense(plan))];
  sparse.initialize();
  for (let t = 1; t <= 5; t++) await sparse.step(t);
  const path = join(directory, "sparse.safetensors");
  await writeSafetensors(path, sparse.stateTensors(), {});
  reader(kept, path);
  expect(digests(kept.stateTensors())).toEqual(digests(sparse.stateTensors()));
  // And back: the next step is that of an engine that was never stored.
  const back = join(directory, "dense.safetensors");
  await writeSafetensors(back, kept.stateTensors(), {});
  const restored = new Engine(plan, data, 1);
  reader(restored, back);
  const [next, again, other] = [await sparse.step(6), await restored.step(6), await kept.step(6)];
  expect(again).toEqual(next);
  expect(digests(restored.stateTensors())).toEqual(digests(sparse.stateTensors()));
  expect(other!.gradientNorm / next!.gradientNorm).toBeCloseTo(1, 5);
  for (const engine of [sparse, kept, restored]) engine.release();
  data.close();
});

test("a sparse run takes less memory than the dense one, by what its weights and moments would have taken", () => {
  const shape = { layers: 4, d_model: 256, d_head: 64, d_ffn: 688, sequence_length: 256 };
  const bytes = (density: number): number => {
    const plan = makePlan({ density, shape, plan: { batch_size: 8 } });
    return estimateMemory(runCommand(plan, ""), layOutRun(plan, 1));
  };
  const weights = 4 * (4 * 256 ** 2 + 3 * 256 * 688);
  // Weight, two moments and the two lanes' gradients of each that does not exist, and no mask; the patterns and panels take some back.
  expect(bytes(1) - bytes(1 / 8)).toBeGreaterThan(0.6 * 5 * 4 * weights);
  expect(bytes(1 / 8)).toBeGreaterThan(bytes(1 / 64));
});
