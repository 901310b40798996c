/** Every operation's backward against finite differences, and its forward against its formula in float64. */
import { expect, test } from "vitest";
import {
  alibiSlopes,
  attention,
  queryBlocks,
} from "../../../../workers/trainers/onnx/operations/attention.ts";
import { crossEntropy } from "../../../../workers/trainers/onnx/operations/cross_entropy.ts";
import { embed } from "../../../../workers/trainers/onnx/operations/embedding.ts";
import { linear, unembed } from "../../../../workers/trainers/onnx/operations/linear.ts";
import { layerNorm, rmsNorm } from "../../../../workers/trainers/onnx/operations/norm.ts";
import { swiglu } from "../../../../workers/trainers/onnx/operations/swiglu.ts";
import { compile, differentiate, expectGradients, normals } from "./finite_differences.ts";

test.each([
  ["more", 4, 5],
  ["fewer", 5, 4],
])("linear to %s features", (_name, inputs, outputs) =>
  expectGradients({ x: [3, inputs], w: [inputs, outputs] }, (g, { x, w }) => {
    const op = linear(g, x!, w!);
    return { out: op.out, backward: (dy) => ({ x: op.backward(dy).dx, w: op.backward(dy).dw }) };
  }),
);

test("unembedding with its multiplier", () =>
  expectGradients({ x: [3, 4], w: [5, 4] }, (g, { x, w }) => {
    const op = unembed(g, x!, w!, 0.7);
    return {
      out: op.out,
      backward: (dy) => {
        const { dx, dw } = op.backward(dy);
        return { x: dx, w: dw(null) };
      },
    };
  }));

test("embedding with repeated tokens, and with the unembedding of the same table", async () => {
  const tokens = Int32Array.from([2, 0, 2, 4, 2, 0]);
  await expectGradients(
    { w: [5, 3] },
    (g, { w }) => {
      const op = embed(g, g.input("tokens", [6], "int32"), w!, 1.5);
      return { out: op.out, backward: (dx) => ({ w: op.backward(dx, null) }) };
    },
    { tokens },
  );
  await expectGradients(
    { w: [5, 3] },
    (g, { w }) => {
      const embedded = embed(g, g.input("tokens", [6], "int32"), w!, 1.5);
      const logits = unembed(g, embedded.out, w!, 0.7);
      return {
        out: logits.out,
        backward: (dy) => {
          const { dx, dw } = logits.backward(dy);
          return { w: embedded.backward(dx, dw) };
        },
      };
    },
    { tokens },
  );
});

test("RMSNorm, alone and with a residual beside it", async () => {
  await expectGradients({ x: [3, 5], gain: [5] }, (g, { x, gain }) => {
    const op = rmsNorm(g, x!, gain!, 0.01);
    return {
      out: op.out,
      backward: (dy) => {
        const { dx, dGain } = op.backward(dy, null);
        return { x: dx, gain: dGain };
      },
    };
  });
  await expectGradients({ x: [3, 5], gain: [5] }, (g, { x, gain }) => {
    const op = rmsNorm(g, x!, gain!, 0.01);
    return {
      out: g.add(x!, op.out),
      backward: (dy) => {
        const { dx, dGain } = op.backward(dy, dy);
        return { x: dx, gain: dGain };
      },
    };
  });
});

test("LayerNorm, with a residual beside it", () =>
  expectGradients({ x: [3, 5], gain: [5], bias: [5] }, (g, { x, gain, bias }) => {
    const op = layerNorm(g, x!, gain!, bias!, 0.01);
    return {
      out: g.add(x!, op.out),
      backward: (dy) => {
        const { dx, dGain, dBias } = op.backward(dy, dy);
        return { x: dx, gain: dGain, bias: dBias };
      },
    };
  }));

test("SwiGLU", () =>
  expectGradients({ gate: [3, 5], up: [3, 5] }, (g, { gate, up }) => {
    const op = swiglu(g, gate!, up!);
    return { out: op.out, backward: (dy) => ({ gate: op.backward(dy).dGate, up: op.backward(dy).dUp }) };
  }));

const blocksOf = (ends: readonly number[]) =>
  ends.map((end, i) => ({ start: i === 0 ? 0 : ends[i - 1]!, end }));

test.each([
  ["one block", 2, [5]],
  ["even blocks", 2, [2, 4, 6]],
  ["a short last block and three heads", 3, [2, 4, 5]],
])("attention in %s", async (_name, heads, ends) => {
  const blocks = blocksOf(ends);
  const shape = { sequences: 2, length: ends.at(-1)!, slopes: alibiSlopes(heads), scale: 0.6, blocks };
  const c = 2 * heads;
  const n = 2 * shape.length;
  await expectGradients({ q: [n, c], k: [n, c], v: [n, c] }, (g, { q, k, v }) => {
    const op = attention(g, q!, k!, v!, shape);
    return {
      out: op.out,
      backward: (dOut) => {
        const { dq, dk, dv } = op.backward(dOut);
        return { q: dq, k: dk, v: dv };
      },
    };
  });
});

test("attention is softmax(scale·q·k − slope·distance)·v over the tokens so far", async () => {
  const [b, t, h, d, scale] = [2, 5, 3, 2, 0.6];
  const c = h * d;
  const [q, k, v] = ["q", "k", "v"].map((name) => normals(name, b * t * c)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const slopes = alibiSlopes(h);
  const blocks = blocksOf([2, 5]);
  const program = compile((g) => {
    const [x, y, z] = ["q", "k", "v"].map((name) => g.input(name, [b * t, c]));
    g.output("out", attention(g, x!, y!, z!, { sequences: b, length: t, slopes, scale, blocks }).out);
  });
  const { out } = program.run({ q, k, v });
  for (let s = 0; s < b; s++)
    for (let head = 0; head < h; head++)
      for (let i = 0; i < t; i++) {
        const at = (token: number, e: number): number => (s * t + token) * c + head * d + e;
        const scores = Array.from({ length: i + 1 }, (_, j) => {
          let product = 0;
          for (let e = 0; e < d; e++) product += q[at(i, e)]! * k[at(j, e)]!;
          return Math.exp(scale * product - slopes[head]! * (i - j));
        });
        const total = scores.reduce((x, y) => x + y, 0);
        for (let e = 0; e < d; e++) {
          const expected = scores.reduce((sum, score, j) => sum + (score / total) * v[at(j, e)]!, 0);
          expect(out![at(i, e)]).toBeCloseTo(expected, 5);
        }
      }
});

test("ALiBi's slopes are the published ones, for head counts that are no power of two as well", () => {
  expect(alibiSlopes(8)).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((i) => 2 ** -i));
  // The authors' rule for 12 heads: the 8 slopes of 8 heads, then every other one of 16 heads.
  expect(alibiSlopes(12)).toEqual([...alibiSlopes(8), 2 ** -0.5, 2 ** -1.5, 2 ** -2.5, 2 ** -3.5]);
  expect(alibiSlopes(1)).toEqual([2 ** -8]);
  expect(alibiSlopes(3)).toEqual([2 ** -4, 2 ** -8, 2 ** -2]);
});

test.each([1, 100, 127, 128, 130, 513, 2048])("query blocks of %i tokens cover each once", (length) => {
  const blocks = queryBlocks(length);
  expect(blocks[0]!.start).toBe(0);
  expect(blocks.at(-1)!.end).toBe(length);
  blocks.slice(1).forEach((block, i) => {
    expect(block.start).toBe(blocks[i]!.end);
  });
});

test("cross-entropy", async () => {
  const targets = Int32Array.from([3, 0, 3, 1]);
  const [n, vocabulary] = [4, 5];
  const program = compile((g) => {
    const op = crossEntropy(g, g.input("logits", [n, vocabulary]), g.input("targets", [n], "int32"));
    g.output("out", op.out);
    g.output("gradient", op.backward());
  });
  const logits = normals("logits", n * vocabulary, 2);
  const { out, gradient } = program.run({ logits, targets });
  for (let row = 0; row < n; row++) {
    const exps = Array.from(logits.subarray(row * vocabulary, (row + 1) * vocabulary), Math.exp);
    const total = exps.reduce((a, b) => a + b, 0);
    expect(out![row]).toBeCloseTo(-Math.log(exps[targets[row]!]! / total), 5);
  }
  // Its backward is that of the plain sum over tokens.
  const total = async () => program.run({ logits, targets }).out!.reduce((a, b) => a + b, 0);
  for (let i = 0; i < logits.length; i++)
    expect(Math.abs(gradient![i]! - (await differentiate(total, logits, i)))).toBeLessThan(1e-4);
});

test("cross-entropy stays finite when the target's probability underflows", async () => {
  const program = compile((g) => {
    g.output("out", crossEntropy(g, g.input("logits", [1, 3]), g.input("targets", [1], "int32")).out);
  });
  const { out } = program.run({
    logits: Float32Array.from([500, 0, 500]),
    targets: Int32Array.from([1]),
  });
  expect(out![0]).toBeCloseTo(500 + Math.log(2), 3);
});
