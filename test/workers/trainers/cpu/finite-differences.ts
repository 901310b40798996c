/**
 * Holds an operation's backward against finite differences of its forward. The tape computes in float32, so the sum over
 * outputs is taken here in float64 and the stencil is of fourth order with a wide step: error about h⁴ + 1e−7/h.
 */
import { expect } from "vitest";
import { RandomStream } from "../../../../workers/trainers/common/philox.ts";
import { Region, regionBytes } from "../../../../workers/trainers/cpu/region.ts";
import { BoundTape, sizeOf, Tape, type Value } from "../../../../workers/trainers/cpu/tape.ts";
import { runTape } from "./processors.ts";

const STEP = 0.04;
/** Largest difference, relative to the largest gradient of the same tensor. */
const TOLERANCE = 1e-3;

export function normals(name: string, size: number, std = 1): Float32Array {
  const out = new Float32Array(size);
  new RandomStream(11, name).fillNormal(out, std);
  return out;
}

type Numbers = Float32Array | Float64Array | Int32Array | BigInt64Array;

/** Of what is outside a tape, that which holds addresses. */
export const ADDRESSES = "addresses";

export interface Compiled {
  /** Outputs by name, in fresh arrays. @param inputs by name; those that the tape does not read are passed over */
  run(inputs: Record<string, Numbers>): Record<string, Float32Array>;
  /** Of what is outside. */
  address(name: string): bigint;
  release(): void;
}

/** @param build writes the tape and says which values are its outputs; `t.outside` names its inputs */
export function compile(build: (t: Tape) => Record<string, Value>, threads = 1): Compiled {
  const t = new Tape(threads);
  const outputs = Object.entries(build(t));
  for (const [, value] of outputs) if (value.name === null) t.pin(value);
  const program = t.finish();
  const pieces = new Map([["arena", program.arenaBytes], ...program.outside]);
  const region = new Region(pieces);
  const start = region.address("arena");
  const table = region.has(ADDRESSES)
    ? { offset: Number(region.address(ADDRESSES) - start), words: pieces.get(ADDRESSES)! / 8 }
    : { offset: 0, words: 0 };
  const memory = { start, bytes: regionBytes(pieces), table };
  const tape = new BoundTape(program, start, region.address);
  return {
    run: (values) => {
      for (const [name, numbers] of Object.entries(values))
        if (!region.has(name)) continue;
        else if (numbers instanceof Int32Array) region.integers(name).set(numbers);
        else if (numbers instanceof Float64Array) region.doubles(name).set(numbers);
        else if (numbers instanceof BigInt64Array) region.longs(name).set(numbers);
        else region.floats(name).set(numbers);
      runTape(tape, memory, threads);
      return Object.fromEntries(
        outputs.map(([name, value]) => {
          if (value.name !== null) return [name, region.floats(value.name).slice()];
          const start = program.placeOf(value) / 4;
          return [name, region.floats("arena").slice(start, start + sizeOf(value.shape))];
        }),
      );
    },
    address: region.address,
    release: () => region.release(),
  };
}

const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

/** df/dx of one element by central differences of fourth order; `x` is changed and restored. */
export async function differentiate(f: () => Promise<number>, x: Float32Array, i: number): Promise<number> {
  const at = x[i]!;
  const value = async (offset: number): Promise<number> => {
    x[i] = at + offset;
    return f();
  };
  const slope =
    8 * ((await value(STEP)) - (await value(-STEP))) - ((await value(2 * STEP)) - (await value(-2 * STEP)));
  x[i] = at;
  return slope / (12 * STEP);
}

type Values = Readonly<Record<string, Value>>;

/** Fails unless every element of every gradient agrees with finite differences. */
export async function expectGradients(
  /** Shapes of the operation's differentiable inputs. */
  shapes: Readonly<Record<string, readonly number[]>>,
  build: (t: Tape, inputs: Values) => { out: Value; backward(dOut: Value): Values },
  /** Fixed inputs, declared by `build` itself. */
  fixed: Record<string, Numbers> = {},
): Promise<void> {
  let outputSize = 0;
  const inputs = (t: Tape): Values =>
    Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, t.outside(name, shape)]));
  const forward = compile((t) => {
    const { out } = build(t, inputs(t));
    outputSize = sizeOf(out.shape);
    return { out };
  });
  const both = compile((t) => {
    const { out, backward } = build(t, inputs(t));
    return backward(t.outside("dOut", out.shape));
  });
  const values = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, normals(name, sizeOf(shape))]),
  );
  const dOut = normals("dOut", outputSize);
  const analytic = both.run({ ...values, ...fixed, dOut });
  for (const name of Object.keys(shapes)) {
    const gradient = analytic[name]!;
    const largest = Math.max(...gradient.map(Math.abs));
    expect(largest).toBeGreaterThan(0);
    for (let i = 0; i < gradient.length; i++) {
      const f = async () => dot(forward.run({ ...values, ...fixed }).out!, dOut);
      const expected = await differentiate(f, values[name]!, i);
      expect(Math.abs(gradient[i]! - expected), `d ${name}[${i}]`).toBeLessThan(TOLERANCE * largest);
    }
  }
  forward.release();
  both.release();
}
