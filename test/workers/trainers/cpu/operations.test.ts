/** Every operation's backward against finite differences, and its forward against its formula in float64. */
import { expect, test } from "vitest";
import {
  alibiSlopes,
  attention,
  queryBlocks,
} from "../../../../workers/trainers/cpu/operations/attention.ts";
import { crossEntropy } from "../../../../workers/trainers/cpu/operations/cross-entropy.ts";
import { embed } from "../../../../workers/trainers/cpu/operations/embedding.ts";
import { layerNorm, rmsNorm } from "../../../../workers/trainers/cpu/operations/norm.ts";
import type { Sum } from "../../../../workers/trainers/cpu/operations/operation.ts";
import { project, projectBack } from "../../../../workers/trainers/cpu/operations/projection.ts";
import { Rows } from "../../../../workers/trainers/cpu/operations/rows.ts";
import { swiglu } from "../../../../workers/trainers/cpu/operations/swiglu.ts";
import { unembed } from "../../../../workers/trainers/cpu/operations/unembedding.ts";
import { sizeOf, type Tape, type Value } from "../../../../workers/trainers/cpu/tape.ts";
import { compile, differentiate, expectGradients, normals } from "./finite-differences.ts";

/** Where the gradient of a parameter goes. */
const sumFor = (t: Tape, parameter: Value): Sum => ({
  value: t.outside(`sum/${parameter.name}`, parameter.shape),
  add: false,
});

/** A gradient may take its operand's place; outside memory, which a test reads again, is copied first. */
const copied = (t: Tape, x: Value): Value => {
  const out = t.value(x.shape);
  t.call("add", [x, t.outside("zeros", x.shape), out], [sizeOf(x.shape)], [1]);
  return out;
};

test.each([
  ["more", 4, 5],
  ["fewer", 5, 4],
])("a projection to %s features", (_name, inputs, outputs) =>
  expectGradients({ x: [3, inputs], w: [inputs, outputs] }, (t, { x, w }) => {
    const projection = project(t, Rows.tokens(t, x!), { kind: "dense", value: w! }, "tokens");
    const dw = sumFor(t, w!);
    return {
      out: projection.out.tokens(),
      backward: (dy) => {
        const dx = projectBack(t, [{ projection, dy: Rows.tokens(t, dy), dw }], "tokens");
        return { x: dx.tokens(), w: dw.value };
      },
    };
  }),
);

test("a projection as a branch beside a residual", () =>
  expectGradients({ x: [3, 4], w: [4, 5], residual: [3, 5] }, (t, { x, w, residual }) => {
    const branch = { multiplier: 0.3, residual: residual! };
    const projection = project(t, Rows.tokens(t, x!), { kind: "dense", value: w! }, "tokens", branch);
    const dw = sumFor(t, w!);
    return {
      out: projection.out.tokens(),
      backward: (dy) => {
        const dx = projectBack(t, [{ projection, dy: Rows.tokens(t, dy), dw }], "tokens");
        return { x: dx.tokens(), w: dw.value, residual: dy };
      },
    };
  }));

test("unembedding with its multiplier", () =>
  expectGradients({ x: [3, 4], w: [5, 4] }, (t, { x, w }) => {
    const op = unembed(t, x!, w!, 0.7);
    const dw = sumFor(t, w!);
    return { out: op.out, backward: (dy) => ({ x: op.backward(dy, dw), w: dw.value }) };
  }));

test("embedding with repeated tokens, and with the unembedding of the same table", async () => {
  const tokens = Int32Array.from([2, 0, 2, 4, 2, 0]);
  await expectGradients(
    { w: [5, 3] },
    (t, { w }) => {
      const op = embed(t, t.outside("tokens", [6]), w!, 1.5);
      const dw = sumFor(t, w!);
      return {
        out: op.out,
        backward: (dx) => {
          op.backward(dx, dw);
          return { w: dw.value };
        },
      };
    },
    { tokens },
  );
  await expectGradients(
    { w: [5, 3] },
    (t, { w }) => {
      const embedded = embed(t, t.outside("tokens", [6]), w!, 1.5);
      const logits = unembed(t, embedded.out, w!, 0.7);
      const dw = sumFor(t, w!);
      return {
        out: logits.out,
        backward: (dy) => {
          embedded.backward(logits.backward(dy, dw), { ...dw, add: true });
          return { w: dw.value };
        },
      };
    },
    { tokens },
  );
});

test("RMSNorm, alone and with a residual beside it", async () => {
  await expectGradients({ x: [3, 5], gain: [5] }, (t, { x, gain }) => {
    const op = rmsNorm(t, x!, gain!, 0.01);
    const dGain = sumFor(t, gain!);
    return {
      out: op.out,
      backward: (dy) => ({ x: op.backward(copied(t, dy), null, dGain), gain: dGain.value }),
    };
  });
  await expectGradients({ x: [3, 5], gain: [5] }, (t, { x, gain }) => {
    const op = rmsNorm(t, x!, gain!, 0.01);
    const [dGain, out] = [sumFor(t, gain!), t.value([3, 5])];
    t.call("add", [x!, op.out, out], [15], [1]);
    return { out, backward: (dy) => ({ x: op.backward(copied(t, dy), dy, dGain), gain: dGain.value }) };
  });
});

test("LayerNorm, with a residual beside it", () =>
  expectGradients({ x: [3, 5], gain: [5], bias: [5] }, (t, { x, gain, bias }) => {
    const op = layerNorm(t, x!, gain!, bias!, 0.01);
    const [dGain, dBias, out] = [sumFor(t, gain!), sumFor(t, bias!), t.value([3, 5])];
    t.call("add", [x!, op.out, out], [15], [1]);
    return {
      out,
      backward: (dy) => ({
        x: op.backward(copied(t, dy), dy, dGain, dBias),
        gain: dGain.value,
        bias: dBias.value,
      }),
    };
  }));

test("SwiGLU", () =>
  expectGradients({ gate: [3, 5], up: [3, 5] }, (t, { gate, up }) => {
    const op = swiglu(t, Rows.tokens(t, copied(t, gate!)), Rows.tokens(t, copied(t, up!)));
    return {
      out: op.out.tokens(),
      backward: (dy) => {
        const { dGate, dUp } = op.backward(Rows.tokens(t, dy));
        return { gate: dGate.tokens(), up: dUp.tokens() };
      },
    };
  }));

test("the gradients of parameters are added to what earlier passes left", () => {
  const [n, c] = [3, 5];
  const inputs = { x: normals("x", n * c), gain: normals("gain", c), dy: normals("dy", n * c) };
  const gradient = (add: boolean) => {
    const program = compile((t) => {
      const op = rmsNorm(t, t.outside("x", [n, c]), t.outside("gain", [c]), 0.01);
      const dGain = { value: t.outside("sum", [c]), add };
      op.backward(copied(t, t.outside("dy", [n, c])), null, dGain);
      return { sum: dGain.value };
    });
    program.run(inputs);
    const { sum } = program.run(inputs);
    program.release();
    return sum!;
  };
  const once = gradient(false);
  gradient(true).forEach((twice, i) => {
    expect(twice).toBe(2 * once[i]!);
  });
});

test.each([
  ["one block", 2, 5],
  ["two blocks, the last one short", 1, 70],
  ["three heads", 3, 6],
])("attention in %s", async (_name, heads, length) => {
  const shape = { sequences: 2, length, heads, scale: 0.6 };
  const c = 2 * heads;
  const n = 2 * length;
  const slopes = Float32Array.from(alibiSlopes(heads));
  await expectGradients(
    { q: [n, c], k: [n, c], v: [n, c] },
    (t, { q, k, v }) => {
      const own = [q, k, v].map((x) => copied(t, x!)) as [Value, Value, Value];
      const op = attention(t, own, t.outside("slopes", [heads]), shape);
      return {
        out: op.out,
        backward: (dOut) => {
          const { dq, dk, dv } = op.backward(dOut);
          return { q: dq, k: dk, v: dv };
        },
      };
    },
    { slopes },
  );
});

// Fewer and more than a block and a tile; features that fill no panel, and more than one.
test.each([
  [2, 5, 3, 2],
  [1, 64, 1, 40],
  [1, 130, 2, 12],
])(
  "attention is softmax(scale·q·k − slope·distance)·v over the tokens so far: %i sequences of %i, %i heads of %i",
  (b, length, h, d) => {
    const scale = 0.6;
    const c = h * d;
    const [q, k, v] = ["q", "k", "v"].map((name) => normals(name, b * length * c)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const slopes = alibiSlopes(h);
    const program = compile((t) => {
      const own = ["q", "k", "v"].map((name) => t.outside(name, [b * length, c])) as [Value, Value, Value];
      const shape = { sequences: b, length, heads: h, scale };
      const op = attention(t, own, t.outside("slopes", [h]), shape, true);
      return { out: op.out, scores: op.scores! };
    });
    const { out, scores } = program.run({ q, k, v, slopes: Float32Array.from(slopes) });
    program.release();
    let place = 0;
    for (let s = 0; s < b; s++)
      for (let head = 0; head < h; head++)
        for (const block of queryBlocks(length))
          for (let i = block.start; i < block.end; i++, place += block.end) {
            const at = (token: number, e: number): number => (s * length + token) * c + head * d + e;
            const raw = Array.from({ length: i + 1 }, (_, j) => {
              let product = 0;
              for (let e = 0; e < d; e++) product += q[at(i, e)]! * k[at(j, e)]!;
              expect(scores![place + j]).toBeCloseTo(scale * product, 4);
              return Math.exp(scale * product - slopes[head]! * (i - j));
            });
            const total = raw.reduce((x, y) => x + y, 0);
            for (let e = 0; e < d; e++) {
              const expected = raw.reduce((sum, score, j) => sum + (score / total) * v[at(j, e)]!, 0);
              expect(out![at(i, e)]).toBeCloseTo(expected, 5);
            }
          }
    expect(place).toBe(scores!.length);
  },
);

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

function natsOf(n: number, vocabulary: number, gradient: boolean) {
  return compile((t) => {
    const logits = copied(t, t.outside("logits", [n, vocabulary]));
    const nats = t.outside("nats", [n]);
    crossEntropy(t, logits, t.outside("targets", [n]), nats, gradient);
    return { nats, gradient: logits };
  });
}

test("cross-entropy", async () => {
  const targets = Int32Array.from([3, 0, 3, 1]);
  const [n, vocabulary] = [4, 5];
  const [plain, both] = [natsOf(n, vocabulary, false), natsOf(n, vocabulary, true)];
  const logits = normals("logits", n * vocabulary, 2);
  const { nats, gradient } = both.run({ logits, targets });
  expect(plain.run({ logits, targets }).nats).toEqual(nats);
  for (let row = 0; row < n; row++) {
    const exps = Array.from(logits.subarray(row * vocabulary, (row + 1) * vocabulary), Math.exp);
    const total = exps.reduce((a, b) => a + b, 0);
    expect(nats![row]).toBeCloseTo(-Math.log(exps[targets[row]!]! / total), 5);
  }
  // Its backward is that of the plain sum over tokens.
  const total = async () => plain.run({ logits, targets }).nats!.reduce((a, b) => a + b, 0);
  for (let i = 0; i < logits.length; i++)
    expect(Math.abs(gradient![i]! - (await differentiate(total, logits, i)))).toBeLessThan(1e-4);
});

test("cross-entropy stays finite when the target's probability underflows", () => {
  const { nats } = natsOf(1, 3, false).run({
    logits: Float32Array.from([500, 0, 500]),
    targets: Int32Array.from([1]),
  });
  expect(nats![0]).toBeCloseTo(500 + Math.log(2), 3);
});
