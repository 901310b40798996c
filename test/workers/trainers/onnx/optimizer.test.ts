/** The optimizer against AdamW as its papers write it, in float64; and on several threads. */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import type { Plan } from "../../../../schema/plan.ts";
import { Optimizer, type Parameter } from "../../../../workers/trainers/onnx/optimizer.ts";
import { makePlan } from "../support.ts";
import { normals } from "./finite_differences.ts";

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
  const { beta1, beta2, eps } = plan.optimizer;
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
      w[i] = w[i]! - (rate * mHat) / (Math.sqrt(vHat) + eps) - factor * group.decay_per_step * w[i]!;
    });
  }
  return norm;
}

const withRates = (options: Pick<Plan, "clip_norm"> & { eps: number }): Plan => {
  const base = makePlan();
  return {
    ...base,
    clip_norm: options.clip_norm,
    optimizer: { ...base.optimizer, eps: options.eps },
    groups: base.groups.map((g, i) => ({ ...g, learning_rate: 0.01 * (i + 1), decay_per_step: 0.002 * i })),
  };
};

/** Every other number is there. */
const halfMask = (size: number): Float32Array => new Float32Array(size).map((_, i) => i % 2);

function parameterOf(
  group: Parameter["group"],
  size: number,
  lanes: number,
  masked: boolean,
  weight = normals(group, size),
): Parameter {
  return {
    group,
    weight,
    first: new Float32Array(size),
    second: new Float32Array(size),
    mask: masked ? halfMask(size) : null,
    sums: Array.from({ length: lanes }, () => new Float32Array(size)),
  };
}

test.each([
  ["clipped, with decay", 0.5, 1e-8],
  ["not clipped", null, 1e-8],
  ["with an ε that matters", 0.5, 0.1],
])("ten steps, %s", async (_name, clip_norm, eps) => {
  const plan = withRates({ clip_norm, eps });
  const parameters = GROUPS.map((group) => parameterOf(group, SIZES[group], 2, group === "attention_query"));
  const state: Record<string, State> = {};
  for (const { group, weight } of parameters) {
    const zeros = () => new Array<number>(weight.length).fill(0);
    state[group] = { w: [...weight], m: zeros(), v: zeros() };
  }
  const optimizer = new Optimizer(plan, parameters, 1);
  for (let t = 1; t <= 10; t++) {
    const gradients: Record<string, number[]> = {};
    for (const { group, mask, sums } of parameters) {
      sums.forEach((sum, lane) => {
        sum.set(normals(`${group}/${t}/${lane}`, sum.length, TOKENS * 0.3));
      });
      gradients[group] = [...sums[0]!].map((x, i) => ((x + sums[1]![i]!) * (mask?.[i] ?? 1)) / TOKENS);
    }
    const expectedNorm = referenceStep(plan, t, t / 10, state, gradients);
    const norm = await optimizer.update(t, t / 10, TOKENS);
    expect(Math.abs(norm / expectedNorm - 1)).toBeLessThan(1e-6);
  }
  for (const { group, weight } of parameters)
    weight.forEach((w, i) => {
      expect(Math.abs(w - state[group]!.w[i]!)).toBeLessThan(2e-6);
    });
});

test("the global norm of a large matrix keeps its digits", async () => {
  const parameter = parameterOf("embedding", 50_257 * 16, 1, false);
  const gradient = normals("gradient", parameter.weight.length, 0.01);
  parameter.sums[0]!.set(gradient);
  const norm = await new Optimizer(makePlan(), [parameter], 1).update(1, 1, 1);
  const expected = Math.sqrt(gradient.reduce((sum, x) => sum + x * x, 0));
  expect(Math.abs(norm / expected - 1)).toBeLessThan(1e-12);
});

test("on one thread or several: the same bits", async () => {
  // Sizes around the lengths of vectors and pieces; the large one is several threads' work.
  const sizes = [1, 15, 17, 1023, 1025, 32_769, 300_007];
  const noise = normals("gradient", sizes.at(-1)!, 10);
  const start = normals("weight", sizes.at(-1)!);
  const traced = async (threads: number) => {
    const plan = withRates({ clip_norm: 0.5, eps: 1e-8 });
    const parameters = sizes.flatMap((size, i) =>
      [1, 2].map((lanes) => parameterOf(GROUPS[i % 3]!, size, lanes, i % 2 === 1, start.slice(0, size))),
    );
    const optimizer = new Optimizer(plan, parameters, threads);
    const norms: number[] = [];
    for (let t = 1; t <= 3; t++) {
      for (const { sums } of parameters)
        sums.forEach((sum, lane) => {
          for (let i = 0; i < sum.length; i++) sum[i] = noise[i]! / (t + 3 * lane);
        });
      norms.push(await optimizer.update(t, 1, TOKENS));
    }
    const digest = (array: Float32Array) => createHash("sha256").update(array).digest("hex");
    return {
      norms,
      arrays: parameters.map(({ weight, first, second }) => [weight, first, second].map(digest)),
    };
  };
  const one = await traced(1);
  for (const threads of [2, 3]) expect(await traced(threads)).toEqual(one);
});
