/**
 * Holds an operation's backward against finite differences of its forward. The graph computes in float32, so the sum over
 * outputs is taken here in float64 and the stencil is of fourth order with a wide step: error about h⁴ + 1e−7/h.
 */
import { expect } from "vitest";
import { encodeModel } from "../../../../workers/trainers/onnx/encode.ts";
import { GraphBuilder, sizeOf, type Value } from "../../../../workers/trainers/onnx/graph.ts";
import { Session, type TensorData } from "../../../../workers/trainers/onnx/runtime.ts";
import { RandomStream } from "../../../../workers/trainers/philox.ts";

const STEP = 0.04;
/** Largest difference, relative to the largest gradient of the same tensor. */
const TOLERANCE = 1e-3;

export function normals(name: string, size: number, std = 1): Float32Array {
  const out = new Float32Array(size);
  new RandomStream(11, name).fillNormal(out, std);
  return out;
}

export interface Compiled {
  /** Outputs by name, in fresh arrays. */
  run(inputs: Record<string, TensorData>): Record<string, Float32Array>;
  release(): void;
}

export function compile(build: (g: GraphBuilder) => void): Compiled {
  const g = new GraphBuilder();
  build(g);
  const graph = g.finish();
  const session = new Session(graph, encodeModel(graph), 1);
  return {
    run: (inputs) => {
      const outputs = Object.fromEntries(
        graph.outputs.map((t) => [t.name, new Float32Array(sizeOf(t.shape))]),
      );
      const binding = session.bind((name) => outputs[name] ?? inputs[name]!);
      binding.run();
      binding.release();
      return outputs;
    },
    release: () => session.release(),
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

/** Fails unless every element of every gradient agrees with finite differences. */
export async function expectGradients(
  /** Shapes of the operation's differentiable inputs. */
  shapes: Readonly<Record<string, readonly number[]>>,
  build: (
    g: GraphBuilder,
    inputs: Readonly<Record<string, Value>>,
  ) => { out: Value; backward(dOut: Value): Readonly<Record<string, Value>> },
  /** Fixed inputs, declared by `build` itself. */
  fixed: Record<string, TensorData> = {},
): Promise<void> {
  let outputSize = 0;
  const program = compile((g) => {
    const inputs = Object.fromEntries(Object.entries(shapes).map(([name, s]) => [name, g.input(name, s)]));
    const { out, backward } = build(g, inputs);
    outputSize = sizeOf(out.shape);
    const gradients = backward(g.input("dOut", out.shape));
    g.output("out", out);
    for (const name of Object.keys(shapes)) g.output(`d/${name}`, gradients[name]!);
  });
  const values = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, normals(name, sizeOf(shape))]),
  );
  const dOut = normals("dOut", outputSize);
  const run = () => program.run({ ...values, ...fixed, dOut });
  const analytic = run();
  for (const name of Object.keys(shapes)) {
    const gradient = analytic[`d/${name}`]!;
    const largest = Math.max(...gradient.map(Math.abs));
    expect(largest).toBeGreaterThan(0);
    for (let i = 0; i < gradient.length; i++) {
      const expected = await differentiate(async () => dot(run().out!, dOut), values[name]!, i);
      expect(Math.abs(gradient[i]! - expected), `d ${name}[${i}]`).toBeLessThan(TOLERANCE * largest);
    }
  }
  program.release();
}
