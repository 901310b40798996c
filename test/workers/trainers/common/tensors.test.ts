import { expect, test } from "vitest";
import { nonzeroParameterCount, parameterCount } from "../../../../schema/wire/cost.ts";
import type { Plan } from "../../../../schema/wire/plan.ts";
import { native } from "../../../../workers/trainers/common/native.ts";
import { RandomStream } from "../../../../workers/trainers/common/philox.ts";
import {
  fillMask,
  initialTensors,
  type TensorSpec,
  tensorSpecs,
} from "../../../../workers/trainers/common/tensors.ts";
import { makePlan } from "../support.ts";

function maskOf(plan: Plan, spec: TensorSpec): Float32Array {
  const mask = new Float32Array(spec.size);
  fillMask(plan, spec, mask, new Uint32Array(spec.size));
  return mask;
}

const sum = (values: Iterable<number>): number => [...values].reduce((a, b) => a + b, 0);

test("tensors have their canonical names and shapes", () => {
  const plan = makePlan({ shape: { layers: 1, norm: "layernorm", tied_embeddings: false } });
  expect(tensorSpecs(plan).map((s) => `${s.name} ${s.shape.join("×")}`)).toEqual([
    "embedding 11×12",
    "blocks.0.attention_norm.gain 12",
    "blocks.0.attention_norm.bias 12",
    "blocks.0.attention_query 12×12",
    "blocks.0.attention_key 12×12",
    "blocks.0.attention_value 12×12",
    "blocks.0.attention_output 12×12",
    "blocks.0.ffn_norm.gain 12",
    "blocks.0.ffn_norm.bias 12",
    "blocks.0.ffn_gate 12×16",
    "blocks.0.ffn_up 12×16",
    "blocks.0.ffn_down 16×12",
    "final_norm.gain 12",
    "final_norm.bias 12",
    "unembedding 11×12",
  ]);
});

test.each(["rmsnorm", "layernorm"] as const)("sizes add up to the published counts under %s", (norm) => {
  const plan = makePlan({ shape: { norm }, density: 0.3 });
  const { weights, masks } = initialTensors(plan);
  const specs = tensorSpecs(plan);
  expect(sum(specs.map((s) => s.size))).toBe(parameterCount(plan));
  const existing = specs.map((s) =>
    masks.has(s.name) ? sum(masks.get(s.name)!) : weights.get(s.name)!.length,
  );
  expect(sum(existing)).toBe(nonzeroParameterCount(plan));
});

test.each([0.5, 0.3, 0.0625, 0.007])(
  "an exact mask of density %f keeps the nearest whole number of weights",
  (density) => {
    const plan = makePlan({ density });
    for (const spec of tensorSpecs(plan)) {
      if (!spec.masked) continue;
      const mask = maskOf(plan, spec);
      expect(mask.every((m) => m === 0 || m === 1)).toBe(true);
      expect(sum(mask)).toBe(Math.round(density * spec.size));
    }
  },
);

test("an exact mask keeps the weights with the smallest random words", () => {
  const plan = makePlan({ density: 0.25 });
  const spec = tensorSpecs(plan).find((s) => s.name === "blocks.1.ffn_up")!;
  const words = new RandomStream(plan.seed, "mask/blocks.1.ffn_up").fillWords(new Uint32Array(spec.size));
  const order = [...words.keys()].sort((a, b) => words[a]! - words[b]! || a - b);
  const kept = new Set(order.slice(0, spec.size / 4));
  expect([...maskOf(plan, spec)]).toEqual([...words.keys()].map((i) => (kept.has(i) ? 1 : 0)));
});

test("of weights with equal words an exact mask keeps the first", () => {
  const exactMask = native.func("void exact_mask(void*, void*, int64_t, int64_t)");
  // Words that differ in their highest, middle and lowest digits, each several times.
  const values = [0xffffffff, 0x80000000, 0x80000400, 0x80000401, 7, 0];
  const words = Uint32Array.from({ length: 60 }, (_, i) => values[(i * i + i) % values.length]!);
  const order = [...words.keys()].sort((a, b) => words[a]! - words[b]! || a - b);
  for (let kept = 0; kept <= words.length; kept++) {
    const mask = new Float32Array(words.length);
    exactMask(mask, words, words.length, kept);
    const expected = new Set(order.slice(0, kept));
    expect([...mask]).toEqual([...words.keys()].map((i) => (expected.has(i) ? 1 : 0)));
  }
});

test("a Bernoulli mask keeps each weight with the probability it says", () => {
  const plan = makePlan({ density: 0.25, shape: { d_ffn: 4096 }, plan: { mask: "bernoulli" } });
  const spec = tensorSpecs(plan).find((s) => s.name === "blocks.0.ffn_gate")!;
  const kept = sum(maskOf(plan, spec));
  // Five standard deviations of the binomial, and not the exact count.
  expect(Math.abs(kept - spec.size / 4)).toBeLessThan(5 * Math.sqrt((spec.size * 3) / 16));
  expect(kept).not.toBe(spec.size / 4);
});

test("a mask does not depend on the initial weights, nor they on it", () => {
  const dense = initialTensors(makePlan());
  const sparse = initialTensors(makePlan({ density: 0.5 }));
  const scaled = initialTensors(makePlan({ density: 0.5, initStd: 0.4 }));
  for (const [name, mask] of sparse.masks) {
    expect(scaled.masks.get(name)).toEqual(mask);
    expect(sparse.weights.get(name)).toEqual(dense.weights.get(name)!.map((w, i) => (mask[i] === 1 ? w : 0)));
  }
});

test("norm gains start at 1, biases at 0, and matrices have the plan's standard deviation", () => {
  const plan = makePlan({ shape: { norm: "layernorm", d_ffn: 8192 }, initStd: 0.03 });
  const { weights } = initialTensors(plan);
  expect(new Set(weights.get("final_norm.gain"))).toEqual(new Set([1]));
  expect(new Set(weights.get("final_norm.bias"))).toEqual(new Set([0]));
  const gate = weights.get("blocks.0.ffn_gate")!;
  const std = Math.sqrt(sum(gate.map((w) => w * w)) / gate.length);
  // Relative standard error of a standard deviation: 1/√(2n).
  expect(Math.abs(std / 0.03 - 1)).toBeLessThan(5 / Math.sqrt(2 * gate.length));
});

test.each([
  ["d_model 12 is not a multiple of d_head 5", makePlan({ shape: { d_head: 5 } })],
  ["micro_batch_size 3 does not divide batch_size 4", makePlan({ plan: { micro_batch_size: 3 } })],
  ["no tensor group unembedding", { ...makePlan(), shape: { ...makePlan().shape, tied_embeddings: false } }],
  [
    "no tensor group unembedding",
    { ...makePlan({ shape: { tied_embeddings: false } }), shape: makePlan().shape },
  ],
  [
    "ffn_gate is 12 × 16 in the plan; the model's shape makes it 12 × 20",
    { ...makePlan(), shape: { ...makePlan().shape, d_ffn: 20 } },
  ],
  ["names a tensor group twice", { ...makePlan(), groups: [...makePlan().groups, makePlan().groups[0]!] }],
])("a plan that describes no model is refused: %s", (message, plan) => {
  expect(() => tensorSpecs(plan)).toThrow(message);
});
