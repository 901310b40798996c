/** The optimizer's graph against AdamW as its papers write it, in float64. */
import { expect, test } from "vitest";
import type { Plan } from "../../../../schema/plan.ts";
import { adamw, optimizerScalars, scalarCount } from "../../../../workers/trainers/onnx/operations/adamw.ts";
import { makePlan } from "../support.ts";
import { compile, normals } from "./finite_differences.ts";

const GROUPS = ["embedding", "attention_query", "final_norm"] as const;
const SHAPES = { embedding: [6, 5], attention_query: [5, 5], final_norm: [5] };
const TOKENS = 32;

function referenceStep(
  plan: Plan,
  t: number,
  factor: number,
  state: Record<string, { w: number[]; m: number[]; v: number[] }>,
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

test.each([
  ["clipped, with decay", 0.5, 1e-8],
  ["not clipped", null, 1e-8],
  ["with an ε that matters", 0.5, 0.1],
])("ten steps, %s", async (_name, clip, eps) => {
  const base = makePlan();
  const plan: Plan = {
    ...base,
    clip_norm: clip,
    optimizer: { ...base.optimizer, eps },
    groups: base.groups.map((g, i) => ({ ...g, learning_rate: 0.01 * (i + 1), decay_per_step: 0.002 * i })),
  };
  const program = compile((g) => {
    const parameters = GROUPS.map((group) => {
      const input = (name: string) => g.input(`${name}/${group}`, SHAPES[group]);
      return { group, weight: input("w"), first: input("m"), second: input("v"), gradient: input("g") };
    });
    const { updated, norm } = adamw(g, plan, parameters, g.input("scalars", [scalarCount(plan)]));
    g.output("norm", norm);
    GROUPS.forEach((group, i) => {
      g.output(`new w/${group}`, updated[i]!.weight);
      g.output(`new m/${group}`, updated[i]!.first);
      g.output(`new v/${group}`, updated[i]!.second);
    });
  });
  const inputs: Record<string, Float32Array> = {};
  const state: Parameters<typeof referenceStep>[3] = {};
  for (const group of GROUPS) {
    const size = SHAPES[group].reduce((a, b) => a * b, 1);
    inputs[`w/${group}`] = normals(group, size);
    inputs[`m/${group}`] = new Float32Array(size);
    inputs[`v/${group}`] = new Float32Array(size);
    state[group] = { w: [...inputs[`w/${group}`]!], m: new Array(size).fill(0), v: new Array(size).fill(0) };
  }
  for (let t = 1; t <= 10; t++) {
    const factor = t / 10;
    const gradients: Record<string, number[]> = {};
    for (const group of GROUPS) {
      const summed = normals(`${group}/${t}`, inputs[`w/${group}`]!.length, TOKENS * 0.3);
      inputs[`g/${group}`] = summed;
      gradients[group] = [...summed].map((x) => x / TOKENS);
    }
    const expectedNorm = referenceStep(plan, t, factor, state, gradients);
    const outputs = program.run({ ...inputs, scalars: optimizerScalars(plan, t, factor, TOKENS) });
    expect(Math.abs(outputs.norm![0]! / expectedNorm - 1)).toBeLessThan(1e-6);
    for (const group of GROUPS)
      for (const x of ["w", "m", "v"]) inputs[`${x}/${group}`] = outputs[`new ${x}/${group}`]!;
  }
  for (const group of GROUPS)
    inputs[`w/${group}`]!.forEach((w, i) => {
      expect(Math.abs(w - state[group]!.w[i]!)).toBeLessThan(2e-6);
    });
});

test("the global norm of a large matrix keeps its digits", async () => {
  const base = makePlan();
  const shape = [50_257, 16];
  const program = compile((g) => {
    const input = (name: string) => g.input(name, shape);
    const parameter = {
      group: "embedding" as const,
      weight: input("w"),
      first: input("m"),
      second: input("v"),
      gradient: input("g"),
    };
    g.output("norm", adamw(g, base, [parameter], g.input("scalars", [scalarCount(base)])).norm);
  });
  const size = 50_257 * 16;
  const gradient = normals("gradient", size, 0.01);
  const zeros = new Float32Array(size);
  const scalars = optimizerScalars(base, 1, 1, 1);
  const { norm } = program.run({ w: zeros, m: zeros, v: zeros, g: gradient, scalars });
  const expected = Math.sqrt(gradient.reduce((sum, x) => sum + x * x, 0));
  expect(Math.abs(norm![0]! / expected - 1)).toBeLessThan(1e-5);
});
