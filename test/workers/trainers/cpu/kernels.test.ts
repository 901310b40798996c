/**
 * The kernels against their formulas in float64, for every kind of processor, where the small sizes of the other tests do not
 * reach: many chunks of rows, whole vectors and what is left after them, several threads, large and broken numbers.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { alibiSlopes, attention } from "../../../../workers/trainers/cpu/operations/attention.ts";
import { crossEntropy } from "../../../../workers/trainers/cpu/operations/cross-entropy.ts";
import { embed } from "../../../../workers/trainers/cpu/operations/embedding.ts";
import { layerNorm, rmsNorm } from "../../../../workers/trainers/cpu/operations/norm.ts";
import { product } from "../../../../workers/trainers/cpu/operations/product.ts";
import { Rows } from "../../../../workers/trainers/cpu/operations/rows.ts";
import { swiglu } from "../../../../workers/trainers/cpu/operations/swiglu.ts";
import { unembed } from "../../../../workers/trainers/cpu/operations/unembedding.ts";
import { sizeOf, type Tape, type Value } from "../../../../workers/trainers/cpu/tape.ts";
import { ADDRESSES, compile, normals } from "./finite-differences.ts";
import { PROCESSORS, useBestProcessor, useProcessor } from "./processors.ts";

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

/** alpha · a·b + onto in float64; a [rows, inner] and b [inner, columns], or transposed. */
function productOf(
  a: Float32Array,
  b: Float32Array,
  onto: Float32Array,
  [rows, inner, columns]: readonly [number, number, number],
  { transA = false, transB = false, alpha = 1 },
): Float64Array {
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k < inner; k++)
        sum += a[transA ? k * rows + i : i * inner + k]! * b[transB ? j * inner + k : k * columns + j]!;
      out[i * columns + j] = alpha * sum + onto[i * columns + j]!;
    }
  return out;
}

/** A copy in the arena: a gradient may take its operand's place. */
const copied = (t: Tape, name: string, shape: readonly number[]): Value => {
  const out = t.value(shape);
  t.call("add", [t.outside(name, shape), t.outside("zeros", shape), out], [sizeOf(shape)], [1]);
  return out;
};

describe.each(PROCESSORS)("for %s", (name) => {
  beforeAll(() => useProcessor(name));
  afterAll(useBestProcessor);

  const LAYOUTS = [false, true].flatMap((transA) =>
    [false, true].flatMap((transB) => [false, true].map((added) => ({ transA, transB, added }))),
  );
  // Fewer and more than a tile, a block of rows, of columns and of the inner axis; whole ones and what is left over.
  const PRODUCTS: readonly (readonly [size: readonly [number, number, number], layouts: typeof LAYOUTS])[] = [
    [[1, 1, 1], LAYOUTS],
    [[2, 5, 3], LAYOUTS],
    [[12, 384, 32], LAYOUTS],
    [[13, 17, 33], LAYOUTS],
    [[250, 47, 70], LAYOUTS],
    [[24, 1100, 1100], LAYOUTS],
    [[130, 2100, 40], LAYOUTS],
    // Too much of a to keep.
    [[400, 2100, 530], [{ transA: false, transB: true, added: true }]],
  ];

  test("products of all layouts", () => {
    for (const [size, layouts] of PRODUCTS)
      for (const { transA, transB, added } of layouts) {
        const [rows, inner, columns] = size;
        const options = { transA, transB, alpha: 0.7 };
        const [a, b] = [normals("a", rows * inner), normals("b", inner * columns)];
        const onto = normals("onto", rows * columns);
        const program = compile((t) => {
          const x = t.outside("a", transA ? [inner, rows] : [rows, inner]);
          const y = t.outside("b", transB ? [columns, inner] : [inner, columns]);
          const z = copied(t, "onto", [rows, columns]);
          return { out: product(t, x, y, t.value([rows, columns]), { ...options, onto: added ? z : null }) };
        });
        const { out } = program.run({ a, b, onto });
        program.release();
        const expected = productOf(a, b, added ? onto : onto.map(() => 0), size, options);
        expect(distance(out!, expected), `${size} ${transA} ${transB} ${added}`).toBeLessThan(2e-6);
      }
  });

  test("a product is added to what it takes the place of", () => {
    const [a, b, onto] = [normals("a", 20 * 30), normals("b", 30 * 40), normals("onto", 20 * 40)];
    const program = compile((t) => {
      const [x, y, z] = [t.outside("a", [20, 30]), t.outside("b", [30, 40]), copied(t, "onto", [20, 40])];
      return { out: product(t, x, y, z, { onto: z }) };
    });
    const { out } = program.run({ a, b, onto });
    program.release();
    expect(distance(out!, productOf(a, b, onto, [20, 30, 40], {}))).toBeLessThan(1e-6);
  });

  test("numbers that overflowed stay in their rows and columns of a product", () => {
    const [rows, inner, columns] = [13, 20, 33];
    const [a, b] = [normals("a", rows * inner), normals("b", inner * columns)];
    const program = compile((t) => {
      const [x, y] = [t.outside("a", [rows, inner]), t.outside("b", [inner, columns])];
      return { out: product(t, x, y, t.value([rows, columns])) };
    });
    const clean = program.run({ a, b }).out!;
    a[12 * inner + 3] = Number.NaN;
    b[7 * columns + 32] = Number.POSITIVE_INFINITY;
    program.run({ a, b }).out!.forEach((x, i) => {
      const broken = Math.floor(i / columns) === 12 || i % columns === 32;
      if (broken) expect(Number.isFinite(x)).toBe(false);
      else expect(x).toBe(clean[i]);
    });
    program.release();
  });

  test("the gradient of a tied table: a product, and rows where their tokens are", () => {
    const [n, c, v] = [50, 24, 700];
    const tokens = Int32Array.from({ length: n }, (_, i) => (i % 3 === 0 ? 699 : (37 * i) % v));
    const [logits, x, rows] = [normals("logits", n * v), normals("x", n * c), normals("rows", n * c)];
    const program = compile((t) => {
      const w = t.outside("w", [v, c]);
      const dw = { value: t.outside("dw", [v, c]), add: false };
      unembed(t, t.outside("x", [n, c]), w, 0.5).backward(t.outside("logits", [n, v]), dw);
      embed(t, t.outside("tokens", [n]), w, 1.5).backward(t.outside("rows", [n, c]), { ...dw, add: true });
      return { dw: dw.value };
    });
    const { dw } = program.run({ logits, x, rows, tokens });
    program.release();
    const expected = productOf(logits, x, new Float32Array(v * c), [v, n, c], { transA: true, alpha: 0.5 });
    tokens.forEach((token, i) => {
      for (let j = 0; j < c; j++) expected[token * c + j]! += 1.5 * rows[i * c + j]!;
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
    const program = compile((t) => {
      const [input, gains, biases] = [
        t.outside("x", [ROWS, c]),
        t.outside("gain", [c]),
        t.outside("bias", [c]),
      ];
      const op = layerNorm(t, input, gains, biases, 0.1);
      const [dGain, dBias] = ["dGain", "dBias"].map((name) => t.outside(name, [c])) as [Value, Value];
      const sums = [dGain, dBias].map((value) => ({ value, add: false }));
      const dx = op.backward(copied(t, "dy", [ROWS, c]), null, sums[0]!, sums[1]!);
      return { y: op.out, dx, dGain, dBias };
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
    const program = compile((t) => {
      const op = rmsNorm(t, t.outside("x", [ROWS, c]), t.outside("gain", [c]), 0.1);
      const dGain = t.outside("dGain", [c]);
      const dx = op.backward(copied(t, "dy", [ROWS, c]), null, { value: dGain, add: false });
      return { y: op.out, dx, dGain };
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
    const program = compile((t) => {
      const rows = (value: Value): Rows => Rows.tokens(t, value);
      const op = swiglu(t, rows(copied(t, "gate", [1, n])), rows(copied(t, "up", [1, n])));
      const { dGate, dUp } = op.backward(rows(t.outside("dy", [1, n])));
      return { y: op.out.tokens(), dGate: dGate.tokens(), dUp: dUp.tokens() };
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
    const program = compile((t) => {
      const [own, nll] = [copied(t, "logits", [n, v]), t.outside("nll", [n])];
      crossEntropy(t, own, t.outside("targets", [n]), nll, true);
      return { nll, gradient: own };
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

  test("the optimizer's kernels: one clipped update of masked weights, gradients in two sums", () => {
    const [size, tokens, clip] = [1500, 32, 0.5];
    const [rate, keep, eps] = [0.01, 0.99, 1e-3];
    const [beta1, beta2] = [0.9, 0.95];
    const [w, m, left, right] = ["w", "m", "left", "right"].map((key) =>
      normals(key, size),
    ) as Float32Array[];
    const u = normals("u", size).map((x) => x * x);
    const mask = w!.map((_, i) => Number(i % 3 > 0));
    const program = compile((t) => {
      const arrays = ["w", "m", "u", "mask", "left", "right"].map((key) => t.outside(key, [size]));
      const [table, rates] = [t.outside(ADDRESSES, [16]), t.outside("rates", [3])];
      const [squares, numbers] = [t.outside("squares", [2]), t.outside("numbers", [8])];
      // So that the tape names what the table alone leads to.
      for (const array of arrays) t.call("zero", [array], [0, 0]);
      t.call("sum_of_squares", [table, squares], [1]);
      t.call("clip", [squares, numbers], [1]);
      t.call("adamw", [table, rates, numbers], [1], [beta1, beta2]);
      return { w: arrays[0]!, m: arrays[1]!, u: arrays[2]! };
    });
    const places = ["w", "m", "u", "mask", "left", "right"].map(program.address);
    const found = program.run({
      ...{ w: w!, m: m!, u, mask, left: left!, right: right! },
      [ADDRESSES]: BigInt64Array.from([...places, BigInt(size), 0n]),
      rates: Float32Array.from([rate, keep, eps]),
      numbers: Float64Array.from([clip, tokens, 0, 0]),
    });
    program.release();
    const gradient = Array.from(mask, (there, i) => (there * (left![i]! + right![i]!)) / tokens);
    const norm = Math.sqrt(gradient.reduce((sum, x) => sum + x * x, 0));
    expect(norm).toBeGreaterThan(clip);
    const clipped = gradient.map((x) => (x * clip) / norm);
    const [newM, newU] = [
      clipped.map((g, i) => beta1 * m![i]! + g),
      clipped.map((g, i) => beta2 * u[i]! + g * g),
    ];
    const newW = Array.from(w!, (x, i) => keep * x - (rate * newM[i]!) / (Math.sqrt(newU[i]!) + eps));
    expect(distance(found.m!, newM)).toBeLessThan(1e-6);
    expect(distance(found.u!, newU)).toBeLessThan(1e-6);
    expect(distance(found.w!, newW)).toBeLessThan(1e-6);
  });

  test("several threads give the bits of one", () => {
    const c = 300;
    const LONG = 2 ** 22;
    const heads = 3;
    const inputs = {
      x: normals("x", ROWS * c),
      gain: normals("gain", c),
      dy: normals("dy", ROWS * c),
      w: normals("w", c * 80),
      long: normals("long", LONG),
      table: normals("table", 37 * c),
      tokens: Int32Array.from({ length: ROWS }, (_, i) => (i * i) % 37),
      slopes: Float32Array.from(alibiSlopes(heads)),
    };
    const bytes = (threads: number): Buffer => {
      const program = compile((t) => {
        const shape = [ROWS, c] as const;
        const [x, gain, dy] = [t.outside("x", shape), t.outside("gain", [c]), t.outside("dy", shape)];
        const dGain = { value: t.outside("dGain", [c]), add: false };
        const norm = rmsNorm(t, x, gain, 0.1);
        const rows = (value: Value): Rows => Rows.tokens(t, value);
        const gated = swiglu(t, rows(norm.out), rows(copied(t, "x", shape)));
        const y = t.value(shape);
        t.call("add", [gated.out.tokens(), x, y], [ROWS * c], [1]);
        const dx = norm.backward(gated.backward(rows(dy)).dGate.tokens(), dy, dGain);
        const wide = product(t, t.outside("w", [c, 80]), dx, t.value([80, ROWS]), {
          transA: true,
          transB: true,
        });
        const square = t.value([c, c]);
        product(t, x, x, square, { transA: true });
        product(t, dx, dy, square, { transA: true, onto: square });
        // Fewer rows and columns than threads.
        const long = t.outside("long", [1, LONG]);
        const narrow = product(t, long, long, t.value([1, 1]), { transB: true });
        const own = [x, dy, y].map((value) => product(t, value, square, t.value(shape), { alpha: 1e-4 }));
        const attentionShape = { sequences: 10, length: ROWS / 10, heads, scale: 0.1 };
        const slopes = t.outside("slopes", [heads]);
        const mixed = attention(t, own as [Value, Value, Value], slopes, attentionShape);
        const { dq, dk, dv } = mixed.backward(dy);
        const embedded = embed(t, t.outside("tokens", [ROWS]), t.outside("table", [37, c]), 0.3);
        const dTable = { value: t.outside("dTable", [37, c]), add: false };
        embedded.backward(dy, dTable);
        const [logits, nats] = [
          product(t, x, t.outside("w", [c, 80]), t.value([ROWS, 80])),
          t.outside("nats", [ROWS]),
        ];
        crossEntropy(t, logits, t.outside("tokens", [ROWS]), nats, true);
        const out = {
          y,
          dx,
          wide,
          square,
          narrow,
          mixed: mixed.out,
          dq,
          dk,
          dv,
          embedded: embedded.out,
          logits,
          nats,
        };
        return { ...out, dGain: dGain.value, dTable: dTable.value };
      }, threads);
      const arrays = Object.values(program.run(inputs));
      program.release();
      return Buffer.concat(arrays.map((a) => Buffer.from(a.buffer)));
    };
    const one = bytes(1);
    for (const threads of [2, 3, 4, 5]) expect(Buffer.compare(bytes(threads), one)).toBe(0);
  });
});
