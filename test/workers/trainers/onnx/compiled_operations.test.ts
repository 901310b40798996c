/**
 * The compiled operations against their formulas in float64, where the small sizes of the other tests do not reach: many
 * chunks of rows, whole vectors and what is left after them, several threads, large and broken numbers.
 */
import { expect, test } from "vitest";
import { encodeModel } from "../../../../workers/trainers/onnx/encode.ts";
import { GraphBuilder, type Value } from "../../../../workers/trainers/onnx/graph.ts";
import { native } from "../../../../workers/trainers/onnx/native.ts";
import { crossEntropy } from "../../../../workers/trainers/onnx/operations/cross_entropy.ts";
import { unembed } from "../../../../workers/trainers/onnx/operations/linear.ts";
import { layerNorm, rmsNorm } from "../../../../workers/trainers/onnx/operations/norm.ts";
import { swiglu } from "../../../../workers/trainers/onnx/operations/swiglu.ts";
import { Session, type TensorData } from "../../../../workers/trainers/onnx/runtime.ts";
import { compile, normals } from "./finite_differences.ts";

const ROWS = 1030;

/** Largest distance, relative to the largest expected number. */
function distance(found: Float32Array, expected: ArrayLike<number>): number {
  let [difference, largest] = [0, 0];
  for (let i = 0; i < found.length; i++) {
    difference = Math.max(difference, Math.abs(found[i]! - expected[i]!));
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return difference / largest;
}

/** alpha · a·b + onto in float64; a [batch, rows, inner] and b [batch, inner, columns], or transposed. */
function productOf(
  a: Float32Array,
  b: Float32Array,
  onto: Float32Array,
  [batch, rows, inner, columns]: readonly [number, number, number, number],
  { transA = false, transB = false, alpha = 1 },
): Float64Array {
  const out = new Float64Array(batch * rows * columns);
  for (let m = 0; m < batch; m++)
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++) {
        let sum = 0;
        for (let k = 0; k < inner; k++) {
          const x = a[m * rows * inner + (transA ? k * rows + i : i * inner + k)]!;
          sum += x * b[m * inner * columns + (transB ? j * inner + k : k * columns + j)]!;
        }
        const at = (m * rows + i) * columns + j;
        out[at] = alpha * sum + onto[at]!;
      }
  return out;
}

const limitProducts = native.func("void limit_products(int)");
const PROCESSORS = { "any processor": 0, AVX2: 1, "AVX-512": 2 };

const LAYOUTS = [false, true].flatMap((transA) =>
  [false, true].flatMap((transB) => [false, true].map((added) => ({ transA, transB, added }))),
);
// Fewer and more than a tile, a block of rows, of columns and of the inner axis; whole ones and what is left over.
const PRODUCTS: readonly (readonly [
  size: readonly [number, number, number, number],
  layouts: typeof LAYOUTS,
])[] = [
  [[1, 1, 1, 1], LAYOUTS],
  [[3, 2, 5, 3], LAYOUTS],
  [[1, 12, 384, 32], LAYOUTS],
  [[1, 13, 17, 33], LAYOUTS],
  [[2, 250, 47, 70], LAYOUTS],
  [[1, 24, 1100, 1100], LAYOUTS],
  [[1, 130, 2100, 40], LAYOUTS],
  // Too much of a to keep.
  [[1, 400, 2100, 530], [{ transA: false, transB: true, added: true }]],
];

test.each(Object.entries(PROCESSORS))("products of all layouts, as for %s", (_name, best) => {
  limitProducts(best);
  try {
    for (const [size, layouts] of PRODUCTS)
      for (const { transA, transB, added } of layouts) {
        const [batch, rows, inner, columns] = size;
        const options = { transA, transB, alpha: 0.7 };
        const [a, b] = [normals("a", batch * rows * inner), normals("b", batch * inner * columns)];
        const onto = normals("onto", batch * rows * columns);
        const program = compile((g) => {
          const x = g.input("a", [batch, ...(transA ? [inner, rows] : [rows, inner])]);
          const y = g.input("b", [batch, ...(transB ? [columns, inner] : [inner, columns])]);
          const z = g.input("onto", [batch, rows, columns]);
          g.output("out", g.matmul(x, y, { ...options, onto: added ? z : undefined }));
          g.output("same", g.scale(z, 2));
        });
        const { out } = program.run({ a, b, onto });
        program.release();
        const expected = productOf(a, b, added ? onto : onto.map(() => 0), size, options);
        expect(distance(out!, expected), `${size} ${transA} ${transB} ${added}`).toBeLessThan(2e-6);
      }
  } finally {
    limitProducts(PROCESSORS["AVX-512"]);
  }
});

test("a product is added to what it may be written over, and to what is still needed", () => {
  const [a, b, onto] = [normals("a", 20 * 30), normals("b", 30 * 40), normals("onto", 20 * 40)];
  const program = compile((g) => {
    const [x, y] = [g.input("a", [20, 30]), g.input("b", [30, 40])];
    const once = g.matmul(x, y, { onto: g.scale(g.input("onto", [20, 40]), 1.5) });
    const twice = g.matmul(x, y, { onto: once });
    g.output("twice", g.matmul(x, y, { onto: twice }));
    g.output("kept", g.add(once, twice));
  });
  const { twice, kept } = program.run({ a, b, onto });
  const product = productOf(a, b, new Float32Array(800), [1, 20, 30, 40], {});
  const sum = (products: number, ontos: number) =>
    product.map((x, i) => products * x + ontos * 1.5 * onto[i]!);
  expect(distance(twice!, sum(3, 1))).toBeLessThan(1e-6);
  expect(distance(kept!, sum(3, 2))).toBeLessThan(1e-6);
});

test("numbers that overflowed stay in their rows and columns of a product", () => {
  const [rows, inner, columns] = [13, 20, 33];
  const [a, b] = [normals("a", rows * inner), normals("b", inner * columns)];
  const run = compile((g) => {
    g.output("out", g.matmul(g.input("a", [rows, inner]), g.input("b", [inner, columns])));
  }).run;
  const clean = run({ a, b }).out!;
  a[12 * inner + 3] = Number.NaN;
  b[7 * columns + 32] = Number.POSITIVE_INFINITY;
  run({ a, b }).out!.forEach((x, i) => {
    const broken = Math.floor(i / columns) === 12 || i % columns === 32;
    if (broken) expect(Number.isFinite(x)).toBe(false);
    else expect(x).toBe(clean[i]);
  });
});

test("the gradient of a tied table: a product, and rows where their tokens are", () => {
  const [n, c, v] = [50, 24, 700];
  const tokens = Int32Array.from({ length: n }, (_, i) => (i % 3 === 0 ? 699 : (37 * i) % v));
  const [logits, x, rows] = [normals("logits", n * v), normals("x", n * c), normals("rows", n * c)];
  const { dw } = compile((g) => {
    const [dLogits, features] = [g.input("logits", [n, v]), g.input("x", [n, c])];
    const added = { tokens: g.input("tokens", [n], "int32"), rows: g.input("rows", [n, c]) };
    const op = unembed(g, features, g.input("w", [v, c]), 0.5);
    g.output("dw", op.backward(dLogits).dw(added));
  }).run({ logits, x, rows, tokens, w: new Float32Array(v * c) });
  const expected = productOf(logits, x, new Float32Array(v * c), [1, v, n, c], { transA: true, alpha: 0.5 });
  tokens.forEach((token, i) => {
    for (let j = 0; j < c; j++) expected[token * c + j]! += rows[i * c + j]!;
  });
  expect(distance(dw!, expected)).toBeLessThan(1e-6);
});

test("LayerNorm of many rows, forward and backward", () => {
  const c = 50;
  const [x, gain, bias, dy] = [
    normals("x", ROWS * c),
    normals("gain", c),
    normals("bias", c),
    normals("dy", ROWS * c),
  ];
  const program = compile((g) => {
    const [input, gains, biases] = [g.input("x", [ROWS, c]), g.input("gain", [c]), g.input("bias", [c])];
    const op = layerNorm(g, input, gains, biases, 0.1);
    const { dx, dGain, dBias } = op.backward(g.input("dy", [ROWS, c]), null);
    for (const [name, value] of Object.entries({ y: op.out, dx, dGain, dBias })) g.output(name, value);
  });
  const found = program.run({ x, gain, bias, dy });
  const [y, dx] = [new Float64Array(x.length), new Float64Array(x.length)];
  const [dGain, dBias] = [new Float64Array(c), new Float64Array(c)];
  const average = (value: (i: number) => number): number =>
    Array.from({ length: c }, (_, i) => value(i)).reduce((sum, v) => sum + v, 0) / c;
  for (let row = 0; row < ROWS; row++) {
    const at = (i: number): number => row * c + i;
    const mean = average((i) => x[at(i)]!);
    const r = 1 / Math.sqrt(average((i) => (x[at(i)]! - mean) ** 2) + 0.1);
    const normalized = (i: number): number => (x[at(i)]! - mean) * r;
    const inner = (i: number): number => dy[at(i)]! * gain[i]!;
    const product = average((i) => inner(i) * normalized(i));
    for (let i = 0; i < c; i++) {
      y[at(i)] = normalized(i) * gain[i]! + bias[i]!;
      dx[at(i)] = (inner(i) - average(inner) - normalized(i) * product) * r;
      dGain[i]! += dy[at(i)]! * normalized(i);
      dBias[i]! += dy[at(i)]!;
    }
  }
  expect(distance(found.y!, y)).toBeLessThan(1e-6);
  expect(distance(found.dx!, dx)).toBeLessThan(1e-6);
  expect(distance(found.dGain!, dGain)).toBeLessThan(1e-6);
  expect(distance(found.dBias!, dBias)).toBeLessThan(1e-6);
});

test("RMSNorm of many rows, forward and backward", () => {
  const c = 50;
  const [x, gain, dy] = [normals("x", ROWS * c), normals("gain", c), normals("dy", ROWS * c)];
  const program = compile((g) => {
    const op = rmsNorm(g, g.input("x", [ROWS, c]), g.input("gain", [c]), 0.1);
    const { dx, dGain } = op.backward(g.input("dy", [ROWS, c]), null);
    for (const [name, value] of Object.entries({ y: op.out, dx, dGain })) g.output(name, value);
  });
  const found = program.run({ x, gain, dy });
  const [y, dx, dGain] = [new Float64Array(x.length), new Float64Array(x.length), new Float64Array(c)];
  for (let row = 0; row < ROWS; row++) {
    const at = (i: number): number => row * c + i;
    const columns = Array.from({ length: c }, (_, i) => i);
    const r = 1 / Math.sqrt(columns.reduce((sum, i) => sum + x[at(i)]! ** 2, 0) / c + 0.1);
    const mean = columns.reduce((sum, i) => sum + dy[at(i)]! * gain[i]! * x[at(i)]! * r, 0) / c;
    for (const i of columns) {
      y[at(i)] = x[at(i)]! * r * gain[i]!;
      dx[at(i)] = (dy[at(i)]! * gain[i]! - x[at(i)]! * r * mean) * r;
      dGain[i]! += dy[at(i)]! * x[at(i)]! * r;
    }
  }
  expect(distance(found.y!, y)).toBeLessThan(1e-6);
  expect(distance(found.dx!, dx)).toBeLessThan(1e-6);
  expect(distance(found.dGain!, dGain)).toBeLessThan(1e-6);
});

test("SwiGLU keeps its digits from −200 to 200, and what is not a number stays so", () => {
  const n = 4001;
  const gate = Float32Array.from({ length: n }, (_, i) => (i - 2000) / 10);
  const ones = new Float32Array(n).fill(1);
  const program = compile((g) => {
    const op = swiglu(g, g.input("gate", [1, n]), g.input("up", [1, n]));
    const { dGate, dUp } = op.backward(g.input("dy", [1, n]));
    for (const [name, value] of Object.entries({ y: op.out, dGate, dUp })) g.output(name, value);
  });
  const { y, dGate, dUp } = program.run({ gate, up: ones, dy: ones });
  gate.forEach((x, i) => {
    const sigmoid = 1 / (1 + Math.exp(-x));
    const slope = sigmoid * (1 + x * (1 - sigmoid));
    // e^−88 and less is 0.
    for (const [found, expected, scale] of [
      [y![i]!, x * sigmoid, x * sigmoid],
      [dUp![i]!, x * sigmoid, x * sigmoid],
      [dGate![i]!, slope, sigmoid * (1 + Math.abs(x))], // of the two that cancel at −1.28
    ] as const)
      expect(Math.abs(found - expected), `at ${x}`).toBeLessThan(1e-6 * Math.abs(scale) + 1e-35);
  });
  gate[7] = Number.NaN;
  const broken = program.run({ gate, up: ones, dy: ones });
  for (const values of Object.values(broken)) expect(values[7]).toBeNaN();
});

test("cross-entropy of a large vocabulary, and of logits that overflowed", () => {
  const [n, v] = [5, 20_003];
  const logits = normals("logits", n * v, 4);
  const targets = Int32Array.from([0, 16, 777, 20_001, 20_002]);
  const program = compile((g) => {
    const op = crossEntropy(g, g.input("logits", [n, v]), g.input("targets", [n], "int32"));
    g.output("nll", op.out);
    g.output("gradient", op.backward());
  });
  const { nll, gradient } = program.run({ logits, targets });
  const [expectedNll, expectedGradient] = [new Float64Array(n), new Float64Array(n * v)];
  targets.forEach((target, row) => {
    const exps = Array.from(logits.subarray(row * v, (row + 1) * v), Math.exp);
    const total = exps.reduce((sum, x) => sum + x, 0);
    expectedNll[row] = Math.log(total) - logits[row * v + target]!;
    exps.forEach((x, i) => {
      expectedGradient[row * v + i] = x / total - Number(i === target);
    });
  });
  expect(distance(nll!, expectedNll)).toBeLessThan(1e-6);
  // log Σ exp is about 18 here: half a unit of its last place is 1e-6.
  expect(distance(gradient!, expectedGradient)).toBeLessThan(4e-6);
  for (const broken of [Number.NaN, Number.POSITIVE_INFINITY]) {
    logits[3] = broken;
    const found = program.run({ logits, targets }).nll!;
    expect(found[0]).toBeNaN();
    expect(found[1]).toBe(nll![1]);
  }
});

test("several threads give the bits of one", () => {
  const c = 300;
  const LONG = 2 ** 22;
  const inputs: Record<string, TensorData> = {
    x: normals("x", ROWS * c),
    gain: normals("gain", c),
    dy: normals("dy", ROWS * c),
    w: normals("w", c * 80),
    long: normals("long", LONG),
  };
  const bytes = (threads: number): Buffer => {
    const g = new GraphBuilder();
    const [x, gain, dy] = [g.input("x", [ROWS, c]), g.input("gain", [c]), g.input("dy", [ROWS, c])];
    const norm = rmsNorm(g, x, gain, 0.1);
    const gated = swiglu(g, norm.out, x);
    const { dGate } = gated.backward(dy);
    const { dx, dGain } = norm.backward(dGate, dy);
    const wide = g.matmul(g.input("w", [c, 80]), dx, { transA: true, transB: true }); // [80, ROWS]
    const tall = g.matmul(dx, dy, { transA: true, onto: g.matmul(x, x, { transA: true }) }); // [c, c]
    // Fewer rows and columns than threads.
    const long = g.input("long", [1, LONG]);
    const narrow = g.matmul(long, long, { transB: true }); // [1, 1]
    const heads = [x, dy].map((v) => g.reshape(v, [103, 10, c]));
    const many = g.matmul(heads[0]!, heads[1]!, { transB: true }); // [103, 10, 10]
    const outputs: Record<string, Value> = { y: gated.out, dx, dGain, wide, tall, narrow, many };
    for (const [name, value] of Object.entries(outputs)) g.output(name, value);
    const graph = g.finish();
    const arrays = Object.fromEntries(
      graph.outputs.map(({ name, shape }) => [name, new Float32Array(shape.reduce((a, b) => a * b, 1))]),
    );
    new Session(graph, encodeModel(graph), threads).bind((name) => arrays[name] ?? inputs[name]!).run();
    return Buffer.concat(Object.values(arrays).map((a) => Buffer.from(a.buffer)));
  };
  const one = bytes(1);
  for (const threads of [2, 3, 5]) expect(Buffer.compare(bytes(threads), one)).toBe(0);
});
