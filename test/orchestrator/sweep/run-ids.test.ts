/**
 * Ids of runs and curves as this version makes them: with others, what was trained before would be trained again, and checkpoints
 * would belong to nothing. Plans say more than version 1's did, and nothing else: without the new fields they are those, digit for digit.
 */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expandPhase } from "../../../orchestrator/sweep/expand-sweep.ts";
import { canonicalJson, type Plan } from "../../../schema/wire/plan.ts";
import { modelCells } from "../../support/model-cells.ts";
import { smallSweep } from "./small-sweep.ts";

const cellsOf = (sections: Parameters<typeof smallSweep>[0]) =>
  modelCells(
    expandPhase(smallSweep(sections).phases[0], { hash: "0123456789abcdef", vocab_size: 256 }).cells(),
  );
const digest = (parts: readonly string[]): string =>
  createHash("sha256").update(parts.join("\n")).digest("hex");

/** What version 1 of the plan said of a run that needs nothing of version 2. */
function asVersion1(plan: Plan): unknown {
  const { trainer, precision, forward, groups, optimizer, ...rest } = plan;
  const { residual_multiplier, ...oldForward } = forward;
  const [eps, ...others] = new Set(groups.map((group) => group.eps));
  expect({ trainer, precision, residual_multiplier, others }).toEqual({
    trainer: { name: "musweep", revision: "1" },
    precision: "float32",
    residual_multiplier: 1,
    others: [],
  });
  return {
    ...rest,
    version: 1,
    forward: oldForward,
    groups: groups.map(({ eps: _, ...group }) => group),
    optimizer: { ...optimizer, eps },
  };
}

const EVERY_RULE =
  "axes: {parameterization: [sp, mup, supar, supar-init-only, supar-lr-only], sparsity: [0, 0.1, 0.9375], width: [64, 192], learning_rate: [0.001, 0.0078125], seed: [1, 4294967295]}";
const OTHER_SETTINGS = {
  model:
    "model: {width: 96, layers: 3, d_head: 32, sequence_length: 32, norm: layernorm, positions: none, tied_embeddings: false, mask: bernoulli, ffn: {width: 257}}",
  training:
    "training: {tokens: 20000, batch_size: 8, micro_batch_size: 4, clip_norm: null, schedule: cosine, final_fraction: 0, optimizer: {beta1: 0.85, eps: 1.0e-12, weight_decay: 0.1, decay_mode: independent}}",
  axes: "axes: {parameterization: sp, random: {n: 6, seed: 3, distributions: {learning_rate: {log_uniform: {from: 1.0e-5, to: 0.3}}, init_std: {uniform: {from: 0.01, to: 0.3}}}}}",
};

describe("ids stay what they were", () => {
  it.each([
    {
      what: "every parameterization",
      sections: { axes: EVERY_RULE },
      points: 120,
      first: "r2c811d7e17d55bf5e527",
      last: "r85bbcb4b443812092e24",
      runs: "6a55bd0d5fcc84cb73fcfa867bfb8e6f05095c32de9e8360ec3bf1c8e7fafe0e",
      version1: "a5c65c7a23b0c41e51cfec074ceb73d04485ae1794057dcc3c1554230569b4f4",
      places: "95be3344ffe192dfe9f83725d694010e71d1443605b12e0a5bd83a11ff315a10",
    },
    {
      what: "other settings, and random numbers",
      sections: OTHER_SETTINGS,
      points: 6,
      first: "rf4b49972fceb44e8b6f2",
      last: "r183003abdd7755080af5",
      runs: "08c9a09140f3179f857174408a26fb953d73a2a23be06249c7c1d53062cd1376",
      version1: "e370fa5d8b06c7368d353002789c32d9a1e57533962b47198de8b3c07335e7ab",
      places: "6ce0034586cc57d994b920c5dba4b63da71375c18a6c3305a90855cb8f45e242",
    },
  ])("$what", ({ sections, points, first, last, runs, version1, places }) => {
    const cells = cellsOf(sections);
    expect(cells).toHaveLength(points);
    expect([cells[0]!.run, cells.at(-1)!.run]).toEqual([first, last]);
    expect(digest(cells.map((cell) => cell.run))).toBe(runs);
    expect(digest(cells.map((cell) => canonicalJson(asVersion1(cell.plan))))).toBe(version1);
    expect(digest(cells.map((cell) => cell.curve + canonicalJson(cell.coordinates)))).toBe(places);
  });
});

describe("canonical JSON", () => {
  const turned = (value: unknown): unknown =>
    value !== null && typeof value === "object" && !Array.isArray(value)
      ? Object.fromEntries(
          Object.entries(value)
            .reverse()
            .map(([key, inner]) => [key, turned(inner)]),
        )
      : value;

  it("says the same whatever order a value was built in, and reads back as it was", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = canonicalJson(value);
        expect(canonicalJson(turned(value))).toBe(text);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it("is JSON's own where keys are sorted, numbers and strings included", () => {
    const value = {
      B: [1e21, 1e-7, -0, 0.1 + 0.2, null],
      a: { é: '"\n\u2028\ud800', z: undefined },
      ä: [[], {}, true],
    };
    expect(canonicalJson(value)).toBe(JSON.stringify(value));
  });
});
