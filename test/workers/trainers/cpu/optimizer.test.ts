/** The optimizer against AdamW as its papers write it, in float64; and on several threads. */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import type { Plan, TensorGroup } from "../../../../schema/wire/plan.ts";
import { Optimizer, optimizerPieces } from "../../../../workers/trainers/cpu/optimizer.ts";
import { Region } from "../../../../workers/trainers/cpu/region.ts";
import { makePlan } from "../support.ts";
import { normals } from "./finite-differences.ts";

const GROUPS = ["embedding", "attention_query", "final_norm"] as const;
const SIZES = { embedding: 30, attention_query: 25, final_norm: 5 };
const TOKENS = 32;

interface State {
  w: number[];
  m: number[];
  v: number[];
}

function referenceStep(
  plan: Plan,
  t: number,
  factor: number,
  state: Record<string, State>,
  gradients: Record<string, number[]>,
): number {
  const { beta1, beta2 } = plan.optimizer;
  const norm = Math.sqrt(
    Object.values(gradients).reduce((sum, g) => sum + g.reduce((s, x) => s + x * x, 0), 0),
  );
  const clip = plan.clip_norm === null ? 1 : Math.min(1, plan.clip_norm / norm);
  for (const name of GROUPS) {
    const group = plan.groups.find((x) => x.name === name)!;
    const { w, m, v } = state[name]!;
    gradients[name]!.forEach((raw, i) => {
      const gradient = raw * clip;
      m[i] = beta1 * m[i]! + (1 - beta1) * gradient;
      v[i] = beta2 * v[i]! + (1 - beta2) * gradient * gradient;
      const mHat = m[i]! / (1 - beta1 ** t);
      const vHat = v[i]! / (1 - beta2 ** t);
      const rate = factor * group.learning_rate;
      w[i] = w[i]! - (rate * mHat) / (Math.sqrt(vHat) + group.eps) - factor * group.decay_per_step * w[i]!;
    });
  }
  return norm;
}

const withRates = (options: Pick<Plan, "clip_norm"> & { eps: number }): Plan => {
  const base = makePlan();
  return {
    ...base,
    clip_norm: options.clip_norm,
    groups: base.groups.map((g, i) => ({
      ...g,
      learning_rate: 0.01 * (i + 1),
      decay_per_step: 0.002 * i,
      eps: options.eps / (i + 1),
    })),
  };
};

/** Every other number is there. */
const halfMask = (size: number): Float32Array => new Float32Array(size).map((_, i) => i % 2);

interface Tensor {
  readonly group: TensorGroup;
  readonly size: number;
  readonly lanes: number;
  readonly masked: boolean;
}

/** Tensors in memory as the optimizer finds them; weights are normal numbers, the rest 0. */
function prepare(plan: Plan, tensors: readonly Tensor[], threads: number) {
  const region = new Region(
    new Map([
      ...tensors.flatMap(({ size, lanes }, i) =>
        [
          "weight",
          "first",
          "second",
          "mask",
          ...Array.from({ length: lanes }, (_, lane) => `sum${lane}`),
        ].map((name) => [`${name}/${i}`, 4 * size] as const),
      ),
      ...optimizerPieces(
        plan,
        tensors.map(({ size }) => ({ kept: size })),
      ),
    ]),
  );
  const parameters = tensors.map(({ group, size, lanes, masked }, i) => {
    region.floats(`weight/${i}`).set(normals(group, size));
    region.floats(`mask/${i}`).set(halfMask(size));
    return {
      group,
      kept: size,
      weight: region.address(`weight/${i}`),
      first: region.address(`first/${i}`),
      second: region.address(`second/${i}`),
      mask: masked ? region.address(`mask/${i}`) : null,
      sums: Array.from({ length: lanes }, (_, lane) => region.address(`sum${lane}/${i}`)),
    };
  });
  const optimizer = new Optimizer(plan, parameters, region, threads);
  const numbers = (name: string, i: number): Float32Array => region.floats(`${name}/${i}`);
  return { optimizer, numbers, region };
}

test.each([
  ["clipped, with decay", 0.5, 1e-8],
  ["not clipped", null, 1e-8],
  ["with an ε that matters", 0.5, 0.1],
])("ten steps, %s", (_name, clip_norm, eps) => {
  const plan = withRates({ clip_norm, eps });
  const tensors = GROUPS.map((group) => {
    return { group, size: SIZES[group], lanes: 2, masked: group === "attention_query" };
  });
  const { optimizer, numbers, region } = prepare(plan, tensors, 1);
  const state: Record<string, State> = {};
  for (const [i, { group, size }] of tensors.entries()) {
    const zeros = () => new Array<number>(size).fill(0);
    state[group] = { w: [...numbers("weight", i)], m: zeros(), v: zeros() };
  }
  for (let t = 1; t <= 10; t++) {
    const gradients: Record<string, number[]> = {};
    for (const [i, { group, size, masked }] of tensors.entries()) {
      const sums = [0, 1].map((lane) => {
        const sum = numbers(`sum${lane}`, i);
        sum.set(normals(`${group}/${t}/${lane}`, size, TOKENS * 0.3));
        return sum;
      });
      const mask = masked ? halfMask(size) : null;
      gradients[group] = [...sums[0]!].map((x, j) => ((x + sums[1]![j]!) * (mask?.[j] ?? 1)) / TOKENS);
    }
    const expectedNorm = referenceStep(plan, t, t / 10, state, gradients);
    const norm = optimizer.update(t, t / 10, TOKENS);
    expect(Math.abs(norm / expectedNorm - 1)).toBeLessThan(1e-6);
  }
  for (const [i, { group }] of tensors.entries())
    numbers("weight", i).forEach((w, j) => {
      expect(Math.abs(w - state[group]!.w[j]!)).toBeLessThan(2e-6);
    });
  region.release();
});

test("the global norm of a large matrix keeps its digits", () => {
  const tensor = { group: "embedding", size: 50_257 * 16, lanes: 1, masked: false } as const;
  const { optimizer, numbers, region } = prepare(makePlan(), [tensor], 1);
  const gradient = normals("gradient", tensor.size, 0.01);
  numbers("sum0", 0).set(gradient);
  const expected = Math.sqrt(gradient.reduce((sum, x) => sum + x * x, 0));
  expect(Math.abs(optimizer.update(1, 1, 1) / expected - 1)).toBeLessThan(1e-12);
  region.release();
});

test("a norm that is not finite is told, and a clip above the norm changes nothing", () => {
  const tensor = { group: "embedding", size: 40, lanes: 1, masked: false } as const;
  const trace = (clip_norm: number | null, first: number) => {
    const { optimizer, numbers, region } = prepare(withRates({ clip_norm, eps: 1e-8 }), [tensor], 1);
    numbers("sum0", 0).set(normals("gradient", tensor.size));
    numbers("sum0", 0)[0] = first;
    const norm = optimizer.update(1, 1, TOKENS);
    const weights = numbers("weight", 0).slice();
    region.release();
    return { norm, weights };
  };
  expect(trace(1e6, 1)).toEqual(trace(null, 1));
  expect(trace(0.5, 1).norm).toBe(trace(null, 1).norm);
  expect(trace(0.5, Number.NaN).norm).toBeNaN();
  expect(trace(null, Number.POSITIVE_INFINITY).norm).toBe(Number.POSITIVE_INFINITY);
});

test("on one thread or several: the same bits", () => {
  // Sizes around the lengths of vectors and pieces; the large one is several threads' work.
  const sizes = [1, 15, 17, 1023, 1025, 32_769, 300_007];
  const noise = normals("gradient", sizes.at(-1)!, 10);
  const tensors = sizes.flatMap((size, i) =>
    [1, 2].map((lanes) => ({ group: GROUPS[i % 3]!, size, lanes, masked: i % 2 === 1 })),
  );
  const traced = (threads: number) => {
    const { optimizer, numbers, region } = prepare(
      withRates({ clip_norm: 0.5, eps: 1e-8 }),
      tensors,
      threads,
    );
    const norms: number[] = [];
    for (let t = 1; t <= 3; t++) {
      for (const [i, { size, lanes }] of tensors.entries())
        for (let lane = 0; lane < lanes; lane++)
          numbers(`sum${lane}`, i).set(noise.subarray(0, size).map((x) => x / (t + 3 * lane)));
      norms.push(optimizer.update(t, 1, TOKENS));
    }
    const digest = (array: Float32Array) => createHash("sha256").update(array).digest("hex");
    const arrays = tensors.map((_, i) =>
      ["weight", "first", "second"].map((name) => digest(numbers(name, i))),
    );
    region.release();
    return { norms, arrays };
  };
  const one = traced(1);
  for (const threads of [2, 3, 4]) expect(traced(threads)).toEqual(one);
});
