/**
 * Products with matrices of which only the existing weights are kept, against the same matrices with their zeros in float64, for every
 * kind of processor; and their gradients against finite differences.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RandomStream } from "../../../../workers/trainers/common/philox.ts";
import { project, projectBack, type Weight } from "../../../../workers/trainers/cpu/operations/projection.ts";
import { Rows } from "../../../../workers/trainers/cpu/operations/rows.ts";
import { swiglu } from "../../../../workers/trainers/cpu/operations/swiglu.ts";
import { patternValues, refresh } from "../../../../workers/trainers/cpu/sparse-matrix.ts";
import type { Tape } from "../../../../workers/trainers/cpu/tape.ts";
import { compile, expectGradients, normals } from "./finite-differences.ts";
import { PROCESSORS, useBestProcessor, useProcessor } from "./processors.ts";
import { type MaskedMatrix, maskedMatrix } from "./sparse-numbers.ts";

/** 1 with this probability, each on its own. */
function randomMask(name: string, size: number, density: number): Float32Array {
  const words = new RandomStream(3, name).fillWords(new Uint32Array(size));
  return Float32Array.from(words, (word) => Number(word < density * 2 ** 32));
}

/** Of a tape, the matrix `name`; its weights, in the order in which they are kept, are outside under that name. */
function sparseWeight(t: Tape, { sparse }: MaskedMatrix): Weight {
  const weights = t.outside(sparse.name, [sparse.count]);
  refresh(t, sparse, weights);
  return { kind: "sparse", patterns: patternValues(t, sparse, weights) };
}

interface Numbers {
  readonly x: Float32Array; // [N, I]
  readonly w: Float32Array; // [I, O], zeros where no weight exists
  readonly residual: Float32Array; // [N, O]
  readonly dy: Float32Array; // [N, O]
}

/** residual + multiplier · x·W and its gradients, in float64; that of W with all numbers, masked ones too. */
function reference(
  { x, w, residual, dy }: Numbers,
  n: number,
  inner: number,
  outputs: number,
  multiplier: number,
) {
  const [y, dx, dw] = [Float64Array.from(residual), new Float64Array(n * inner), new Float64Array(w.length)];
  for (let i = 0; i < inner; i++)
    for (let j = 0; j < outputs; j++)
      for (let token = 0; token < n; token++) {
        const gradient = multiplier * dy[token * outputs + j]!;
        y[token * outputs + j]! += multiplier * x[token * inner + i]! * w[i * outputs + j]!;
        dx[token * inner + i]! += gradient * w[i * outputs + j]!;
        dw[i * outputs + j]! += gradient * x[token * inner + i]!;
      }
  return { y, dx, dw };
}

/** ‖found − expected‖ / ‖expected‖; where that is 0, exactly 0 is asked for. */
function distance(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (found[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  if (size === 0) return difference === 0 ? 0 : Number.POSITIVE_INFINITY;
  return Math.sqrt(difference / size);
}

/** Tokens, fan-in, fan-out, density: fewer and more than a panel, a register and a block; and what is left over of each. */
const SIZES: readonly (readonly [number, number, number, number])[] = [
  [1, 1, 1, 1],
  [3, 5, 7, 0.5],
  [64, 128, 64, 0.25],
  [130, 130, 257, 1 / 8],
  [65, 47, 300, 1 / 64],
  [191, 129, 16, 0.5],
  // More than 1,024 to a sum, with blocks of the inner axis and without.
  [70, 1100, 40, 0.25],
  [70, 2100, 33, 1 / 64],
  [66, 40, 1500, 1 / 16],
];
const MULTIPLIER = 0.3;
const CLOSE = 1e-6;

describe.each(PROCESSORS)("for %s", (name) => {
  beforeAll(() => useProcessor(name));
  afterAll(useBestProcessor);

  /** Forward, both gradients, the sums added to what is there, with as many threads. */
  function run(matrix: MaskedMatrix, numbers: Numbers, n: number, threads: number) {
    const { inner, outputs } = matrix.sparse.forward;
    const before = normals("before", matrix.sparse.count);
    const program = compile((t) => {
      const weight = sparseWeight(t, matrix);
      const [x, dy] = [
        Rows.tokens(t, t.outside("x", [n, inner])),
        Rows.tokens(t, t.outside("dy", [n, outputs])),
      ];
      const branch = { multiplier: MULTIPLIER, residual: t.outside("residual", [n, outputs]) };
      const projection = project(t, x, weight, "tokens", branch);
      const dw = { value: t.outside("dw", [matrix.sparse.count]), add: true };
      const dx = projectBack(t, [{ projection, dy, dw }], "tokens");
      // The same once more in panels, which are then turned round by themselves.
      const alone = project(t, x, weight, "panels");
      return { y: projection.out.tokens(), dx: dx.tokens(), dw: dw.value, alone: alone.out.tokens() };
    }, threads);
    const weights = Float32Array.from(matrix.places, (place) => numbers.w[place]!);
    const { x, dy, residual } = numbers;
    const found = program.run({
      ...matrix.numbers,
      [matrix.sparse.name]: weights,
      x,
      dy,
      residual,
      dw: before,
    });
    program.release();
    return { ...(found as Record<"y" | "dx" | "dw" | "alone", Float32Array>), before };
  }

  function numbersFor(mask: Float32Array, n: number, inner: number, outputs: number): Numbers {
    const w = normals("w", inner * outputs).map((value, i) => value * mask[i]!);
    return {
      x: normals("x", n * inner),
      w,
      residual: normals("residual", n * outputs),
      dy: normals("dy", n * outputs),
    };
  }

  function expectProducts(
    mask: Float32Array,
    numbers: Numbers,
    n: number,
    inner: number,
    outputs: number,
  ): void {
    const matrix = maskedMatrix("w", [inner, outputs], mask);
    const { y, dx, dw, alone, before } = run(matrix, numbers, n, 1);
    const expected = reference(numbers, n, inner, outputs, MULTIPLIER);
    const where = `${n} tokens, ${inner} to ${outputs}`;
    expect(distance(y, expected.y), `y, ${where}`).toBeLessThan(CLOSE);
    expect(distance(dx, expected.dx), `dx, ${where}`).toBeLessThan(CLOSE);
    const own = matrix.places.map((place, e) => before[e]! + expected.dw[place]!);
    expect(distance(dw, own), `dw, ${where}`).toBeLessThan(CLOSE);
    const without = expected.y.map((value, i) => (value - numbers.residual[i]!) / MULTIPLIER);
    expect(distance(alone, without), `alone, ${where}`).toBeLessThan(CLOSE);
  }

  test.each(SIZES)(
    "%i tokens, %i to %i features, density %f: the products of the dense matrix",
    (...size) => {
      const [n, inner, outputs, density] = size;
      const mask = randomMask("mask", inner * outputs, density);
      if (density === 1) mask.fill(1);
      expectProducts(mask, numbersFor(mask, n, inner, outputs), n, inner, outputs);
    },
  );

  test.each([
    [2 ** 16, 3],
    [3, 2 ** 16],
  ])("%i to %i features: the last places that 16 bits hold", (inner, outputs) => {
    const n = 65;
    const mask = randomMask("mask", inner * outputs, 1 / 256);
    for (const place of [0, outputs - 1, (inner - 1) * outputs, inner * outputs - 1]) mask[place] = 1;
    expectProducts(mask, numbersFor(mask, n, inner, outputs), n, inner, outputs);
  });

  test("rows and columns without a weight, weights that are 0, and a matrix without any", () => {
    const [n, inner, outputs] = [70, 260, 90];
    const mask = randomMask("mask", inner * outputs, 0.25);
    mask.forEach((_, i) => {
      const [row, column] = [Math.floor(i / outputs), i % outputs];
      if (column % 7 === 0 || column === outputs - 1 || row % 5 === 0 || (row >= 128 && row < 256))
        mask[i] = 0;
    });
    const numbers = numbersFor(mask, n, inner, outputs);
    numbers.w.forEach((value, i) => {
      if (i % 3 === 0) numbers.w[i] = 0 * value;
    });
    expectProducts(mask, numbers, n, inner, outputs);
    expectProducts(mask.fill(0), { ...numbers, w: numbers.w.fill(0) }, n, inner, outputs);
  });

  test("several threads give the bits of one", () => {
    const [n, inner, outputs] = [450, 300, 130];
    const mask = randomMask("mask", inner * outputs, 0.1);
    const matrix = maskedMatrix("w", [inner, outputs], mask);
    const numbers = numbersFor(mask, n, inner, outputs);
    const bytes = (threads: number): Buffer =>
      Buffer.concat(Object.values(run(matrix, numbers, n, threads)).map((a) => Buffer.from(a.buffer)));
    const one = bytes(1);
    for (const threads of [2, 3, 4, 5]) expect(Buffer.compare(bytes(threads), one)).toBe(0);
  });

  test("a token that overflowed keeps to itself", () => {
    const [n, inner, outputs] = [70, 50, 40];
    const mask = randomMask("mask", inner * outputs, 0.5);
    const matrix = maskedMatrix("w", [inner, outputs], mask);
    const numbers = numbersFor(mask, n, inner, outputs);
    const clean = run(matrix, numbers, n, 1);
    numbers.x.fill(Number.NaN, 69 * inner);
    const broken = run(matrix, numbers, n, 1);
    expect(broken.alone.subarray(0, 69 * outputs)).toEqual(clean.alone.subarray(0, 69 * outputs));
    expect(broken.alone.subarray(69 * outputs).every(Number.isNaN)).toBe(true);
  });

  const [N, FROM, HIDDEN, TO] = [3, 9, 11, 6];
  const matrices = {
    gate: maskedMatrix("gate", [FROM, HIDDEN], randomMask("gate", FROM * HIDDEN, 0.4)),
    up: maskedMatrix("up", [FROM, HIDDEN], randomMask("up", FROM * HIDDEN, 0.4)),
    down: maskedMatrix("down", [HIDDEN, TO], randomMask("down", HIDDEN * TO, 0.4)),
  };
  const sparseNumbers = Object.assign({}, ...Object.values(matrices).map(({ numbers }) => numbers));

  test("the gradients of a feed-forward block of sparse matrices agree with finite differences", () =>
    expectGradients(
      {
        x: [N, FROM],
        residual: [N, TO],
        ...Object.fromEntries(Object.values(matrices).map(({ sparse }) => [sparse.name, [sparse.count]])),
      },
      (t, { x, residual }) => {
        const weights = Object.fromEntries(
          Object.entries(matrices).map(([key, m]) => [key, sparseWeight(t, m)]),
        );
        const h = Rows.tokens(t, x!);
        const [gate, up] = [project(t, h, weights.gate!, "panels"), project(t, h, weights.up!, "panels")];
        const gated = swiglu(t, gate.out, up.out);
        const branch = { multiplier: MULTIPLIER, residual: residual! };
        const down = project(t, gated.out, weights.down!, "tokens", branch);
        const sums = Object.fromEntries(
          Object.entries(matrices).map(([key, m]) => [key, { value: t.value([m.sparse.count]), add: false }]),
        );
        return {
          out: down.out.tokens(),
          backward: (dy) => {
            const dDown = { projection: down, dy: Rows.tokens(t, dy), dw: sums.down! };
            const { dGate, dUp } = gated.backward(projectBack(t, [dDown], "panels"));
            const backs = [
              { projection: gate, dy: dGate, dw: sums.gate! },
              { projection: up, dy: dUp, dw: sums.up! },
            ];
            const dx = projectBack(t, backs, "tokens");
            return {
              x: dx.tokens(),
              residual: dy,
              ...Object.fromEntries(Object.entries(sums).map(([key, { value }]) => [key, value])),
            };
          },
        };
      },
      sparseNumbers,
    ));

  test("of a sparse and a dense matrix that take the same x, the gradients add up", () =>
    expectGradients(
      { x: [N, FROM], gate: [matrices.gate.sparse.count], dense: [FROM, HIDDEN] },
      (t, { x, dense }) => {
        const h = Rows.tokens(t, x!);
        const own = project(t, h, sparseWeight(t, matrices.gate), "panels");
        const other = project(t, h, { kind: "dense", value: dense! }, "panels");
        const gated = swiglu(t, own.out, other.out);
        const sums = [[matrices.gate.sparse.count], [FROM, HIDDEN]].map((shape) => ({
          value: t.value(shape),
          add: false,
        }));
        return {
          out: gated.out.tokens(),
          backward: (dy) => {
            const { dGate, dUp } = gated.backward(Rows.tokens(t, dy));
            const backs = [
              { projection: own, dy: dGate, dw: sums[0]! },
              { projection: other, dy: dUp, dw: sums[1]! },
            ];
            const dx = projectBack(t, backs, "tokens");
            return { x: dx.tokens(), gate: sums[0]!.value, dense: sums[1]!.value };
          },
        };
      },
      matrices.gate.numbers,
    ));
});
