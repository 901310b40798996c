/** From a sweep file to its runs. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { curveOf, expandPhase } from "../../../orchestrator/sweep/expand-sweep.ts";
import { distinct, type Point } from "../../../orchestrator/sweep/grids.ts";
import { parseSweep } from "../../../orchestrator/sweep/parse-sweep.ts";
import { SWEEP_TEMPLATE } from "../../../orchestrator/sweep/template.ts";
import { titleOf } from "../../../orchestrator/sweep/title.ts";
import { powerOfTwo } from "../../../schema/sweep/hyperparameters.ts";
import { canonicalJson, planSchema, runIdOf } from "../../../schema/wire/plan.ts";
import { modelCells } from "../../support/model-cells.ts";
import { smallSweep } from "./small-sweep.ts";

const data = { hash: "0123456789abcdef", vocab_size: 256 };
const expand = (sections: Parameters<typeof smallSweep>[0]) =>
  expandPhase(smallSweep(sections).phases[0], data);
const cellsOf = (sections: Parameters<typeof smallSweep>[0]) => modelCells(expand(sections).cells());
const only = (sections: Parameters<typeof smallSweep>[0]) => {
  const cells = cellsOf(sections);
  expect(cells).toHaveLength(1);
  return cells[0]!;
};
const one = (axes: string) => `axes: {parameterization: supar, ${axes}}`;

describe("rows and values that only look alike", () => {
  const point = (values: Record<string, unknown>) => ({ values, paths: {} }) as Point;
  const names = ["settings.a", "settings.b"] as const;

  it("are told apart: words with spaces, numbers and their text", () => {
    const rows = [
      { "settings.a": "x y", "settings.b": "z" },
      { "settings.a": "x", "settings.b": "y z" },
      { "settings.a": 1, "settings.b": "z" },
      { "settings.a": "1", "settings.b": "z" },
    ].map(point);
    expect([...distinct(names, [...rows, ...rows])]).toEqual(rows);
    const values = [1, "1", true, "true"].map((value) => point({ "settings.a": value }));
    expect([...distinct(["settings.a"], [...values, ...values])]).toEqual(values);
  });
});

describe("powers of two", () => {
  it("may be written as titles have them, and are the same runs", () => {
    const runsOf = (sections: Parameters<typeof smallSweep>[0]) => cellsOf(sections).map(({ run }) => run);
    expect(runsOf({ axes: one("learning_rate: [2^-8, 2^-7.5, 2^-7]") })).toEqual(
      runsOf({ axes: one("learning_rate: {log2: {from: -8, to: -7, step: 0.5}}") }),
    );
    expect(
      runsOf({ base: "base: {width: 256, learning_rate: 2^-8, init_std: 2^-4, alpha_input: 2^3}" }),
    ).toEqual(
      runsOf({ base: "base: {width: 256, learning_rate: 0.00390625, init_std: 0.0625, alpha_input: 8}" }),
    );
    expect(runsOf({ axes: one("learning_rate: {multiples_of: 2^-6, log2: {from: -1, to: 1}}") })).toEqual(
      runsOf({ axes: one("learning_rate: [0.0078125, 0.015625, 0.03125]") }),
    );
    const drawn = (from: string, to: string) =>
      one(`random: {n: 3, distributions: {learning_rate: {log_uniform: {from: ${from}, to: ${to}}}}}`);
    expect(runsOf({ axes: drawn("2^-10", "2^-4") })).toEqual(
      runsOf({ axes: drawn("0.0009765625", "0.0625") }),
    );
  });

  it("are read from every title of a rate", () => {
    for (const rate of [2 ** -8, powerOfTwo(-7.5), 0.001, 3])
      expect(
        only({ axes: one(`learning_rate: [${titleOf({ learning_rate: rate }).slice(3)}]`) }).coordinates,
      ).toMatchObject({ learning_rate: rate });
  });
});

describe("a grid", () => {
  it("is every combination of its axes, resolved", () => {
    const expansion = expand({
      axes: "axes: {parameterization: [sp, supar], sparsity: [0, 0.5], learning_rate: {log2: {from: -9, to: -7}}, seed: {count: 2}}",
    });
    const cells = [...expansion.cells()];
    expect(expansion.counts()).toEqual({ points: 24, duplicates: 0, cells: 24 });
    expect(new Set(cells.map((c) => JSON.stringify(c.coordinates))).size).toBe(24);
    expect(expansion.axes.toSorted()).toEqual(["learning_rate", "parameterization", "seed", "sparsity"]);
    expect(cells[0]?.coordinates).toEqual({
      parameterization: "sp",
      width: 64,
      sparsity: 0,
      layers: 2,
      learning_rate: 2 ** -9,
      seed: 1,
    });
    for (const cell of cells) {
      expect(planSchema.parse(cell.plan)).toEqual(cell.plan);
      expect(cell.run).toBe(runIdOf(cell.plan));
      expect(cell.plan).toMatchObject({ seed: cell.coordinates.seed, data });
    }
  });

  it("comes with all curves of one seed before the next seed, each curve in one piece", () => {
    const cells = cellsOf({ axes: one("sparsity: [0, 0.5], learning_rate: [0.1, 0.2], seed: [3, 1]") });
    expect(
      cells.map((c) => [c.coordinates.seed, c.coordinates.sparsity, c.coordinates.learning_rate]),
    ).toEqual([
      [3, 0, 0.1],
      [3, 0, 0.2],
      [3, 0.5, 0.1],
      [3, 0.5, 0.2],
      [1, 0, 0.1],
      [1, 0, 0.2],
      [1, 0.5, 0.1],
      [1, 0.5, 0.2],
    ]);
  });

  it("can be walked twice, and stopped early", () => {
    const expansion = expand({ axes: one("seed: {count: 5}") });
    const first = [...expansion.cells()].map((c) => c.run);
    expect([...expansion.cells()].map((c) => c.run)).toEqual(first);
    expect(expansion.cells().next().value?.run).toBe(first[0]);
  });
});

describe("curves", () => {
  it("are named by all coordinates but learning rate and seed, whatever the order in the file", () => {
    const cells = cellsOf({ axes: one("learning_rate: [0.1, 0.2], seed: {count: 3}, init_std: [0.1]") });
    const curve = '{"init_std":0.1,"layers":2,"parameterization":"supar","sparsity":0,"width":64}';
    expect(new Set(cells.map((c) => c.curve))).toEqual(new Set([curve]));
    const { seed, learning_rate, width, ...rest } = cells[0]!.coordinates;
    expect(curveOf({ width, seed, ...rest, learning_rate })).toBe(curve);
  });
});

describe("duplicates", () => {
  it("within an axis are removed and counted", () => {
    const expansion = expand({ axes: one("learning_rate: [0.5, 0.25, 0.5], sparsity: [0, 0, 0.5]") });
    expect(expansion.counts()).toEqual({ points: 9, duplicates: 5, cells: 4 });
    expect([...expansion.cells()]).toHaveLength(4);
  });

  it("between grids are removed and counted: a range, multiples and a list that meet", () => {
    const expansion = expand({
      axes: `axes:
  - {parameterization: [sp, supar], learning_rate: {log2: {from: -9, to: -6}}}
  - {parameterization: sp, learning_rate: {multiples_of: 0.00390625, log2: {from: -2, to: 1}}}
  - {parameterization: sp, learning_rate: [0.0078125, 0.3]}`,
    });
    // 8 + 4 (2^-10 … 2^-7, of which three are known) + 2 (one known).
    expect(expansion.counts()).toEqual({ points: 14, duplicates: 4, cells: 10 });
    expect([...expansion.cells()]).toHaveLength(10);
  });

  it("density and sparsity are one quantity", () => {
    const expansion = expand({
      axes: `axes:
  - {parameterization: supar, density: [0.1, 0.25]}
  - {parameterization: supar, sparsity: [0.9, 0.75]}`,
    });
    expect(expansion.counts()).toEqual({ points: 4, duplicates: 2, cells: 2 });
    const [tenth] = modelCells(expansion.cells());
    expect(tenth?.coordinates.sparsity).toBe(0.9);
    expect(tenth?.plan.groups.find((g) => g.name === "ffn_up")?.density).toBe(0.1);
  });

  it("cells that train alike stay cells, with one run id: SμPar and μP at density 1", () => {
    const cells = cellsOf({ axes: "axes: {parameterization: [mup, supar], sparsity: [0, 0.5]}" });
    expect(cells).toHaveLength(4);
    expect(new Set(cells.map((c) => c.run)).size).toBe(3);
  });
});

describe("tied axes", () => {
  it("vary in step, crossed with the rest: the paper's iso-parameter grid", () => {
    const cells = cellsOf({
      axes: `axes:
  parameterization: supar
  together:
    - {width: 768, sparsity: 0}
    - {width: 1088, sparsity: 0.5}
    - {width: 1536, sparsity: 0.75}
    - {width: 2176, sparsity: 0.875}
  learning_rate: {multiples_of: 1.62e-2, log2: {from: 0, to: 1}}`,
    });
    expect(
      cells.map((c) => [c.coordinates.width, c.coordinates.sparsity, c.coordinates.learning_rate]),
    ).toEqual([
      [768, 0, 0.0162],
      [768, 0, 0.0324],
      [1088, 0.5, 0.0162],
      [1088, 0.5, 0.0324],
      [1536, 0.75, 0.0162],
      [1536, 0.75, 0.0324],
      [2176, 0.875, 0.0162],
      [2176, 0.875, 0.0324],
    ]);
  });
});

describe("random axes", () => {
  const random = (n: number, seed: number, more = "") =>
    cellsOf({
      axes: one(
        `random: {n: ${n}, seed: ${seed}, distributions: {learning_rate: {log_uniform: {from: 0.001, to: 0.1}}, init_std: {uniform: {from: 0.02, to: 0.2}}, layers: {choice: [1, 2, 3]}${more}}}`,
      ),
    });

  it("are drawn jointly, the same again for the same seed", () => {
    const cells = random(20, 1);
    expect(cells).toHaveLength(20);
    expect(random(20, 1)).toEqual(cells);
    expect(random(20, 2).map((c) => c.run)).not.toEqual(cells.map((c) => c.run));
    for (const { coordinates: c } of cells) {
      expect(c.learning_rate).toBeGreaterThanOrEqual(0.001);
      expect(c.learning_rate).toBeLessThanOrEqual(0.1);
      expect([1, 2, 3]).toContain(c.layers);
    }
  });

  it("more points keep the earlier ones, and so does another distribution", () => {
    const few = random(10, 1).map((c) => c.run);
    expect(
      random(30, 1)
        .map((c) => c.run)
        .slice(0, 10),
    ).toEqual(few);
    expect(random(10, 1, ", clip_norm: {choice: [1]}").map((c) => c.run)).toEqual(few);
  });
});

describe("what a run resolves to", () => {
  it("values come from the axis, else the override, else the base, else the paper", () => {
    const std = (base: string, axes: string) =>
      only({ base: `base: {width: 256, learning_rate: 0.01${base}}`, axes: `axes: {${axes}}` }).plan.groups[0]
        ?.init_std;
    expect(std("", "parameterization: supar")).toBe(0.08665602);
    expect(std("", "parameterization: sp")).toBe(0.02);
    expect(std(", init_std: 0.05", "parameterization: sp")).toBe(0.05);
    expect(std(", init_std: 0.05, overrides: {sp: {init_std: 0.03}}", "parameterization: sp")).toBe(0.03);
    expect(std(", init_std: 0.05, overrides: {sp: {init_std: 0.03}}", "parameterization: supar")).toBe(0.05);
    expect(std(", init_std: 0.05", "parameterization: sp, init_std: 0.1")).toBe(0.1);
  });

  it("the feed-forward width follows the model's by the rule, in the proxy too", () => {
    const of = (ffn: string, width: number) => {
      const { plan } = only({
        model: `model: {width: ${width}, layers: 2, d_head: 16, sequence_length: 32${ffn}}`,
        axes: "axes: {parameterization: mup}",
      });
      const down = plan.groups.find((g) => g.name === "ffn_down");
      return [plan.shape.d_ffn, 0.01 / (down?.learning_rate ?? 0)];
    };
    // The paper's: 5461 at width 2048. The proxy has 683 at 256.
    expect(of("", 2048)).toEqual([5461, expect.closeTo(5461 / 683, 12)]);
    expect(of(", ffn: {ratio: 4}", 512)).toEqual([2048, 2]);
    expect(of(", ffn: {multiple_of: 16}", 128)).toEqual([336, expect.closeTo(336 / 688, 12)]);
  });

  it("tokens become whole steps, rounded up", () => {
    // 8 sequences of 32 tokens are 256 tokens a step.
    const steps = (tokens: number) =>
      only({ training: `training: {tokens: ${tokens}, batch_size: 8}`, axes: "axes: {parameterization: sp}" })
        .plan.steps;
    expect([steps(2560), steps(2561), steps(2560 + 256), steps(600)]).toEqual([10, 11, 11, 3]);
  });

  it("an axis over tokens takes the place of the file's steps", () => {
    const cells = cellsOf({ axes: one("tokens: [2560, 5120]") });
    expect(cells.map((c) => [c.plan.steps, c.coordinates.tokens])).toEqual([
      [10, 2560],
      [20, 5120],
    ]);
  });

  it("warm-up: a tenth unless said otherwise, rounded down as the paper's 116 of 1169", () => {
    const warmup = (training: string, axes = "axes: {parameterization: sp}") =>
      cellsOf({ training: `training: {batch_size: 8, ${training}}`, axes }).map(
        (c) => c.plan.schedule.warmup_steps,
      );
    expect(warmup("steps: 1169")).toEqual([116]);
    expect(warmup("steps: 11752")).toEqual([1175]);
    expect(warmup("steps: 100, warmup_fraction: 0.29")).toEqual([29]);
    expect(warmup("steps: 100, warmup_steps: 7")).toEqual([7]);
    expect(warmup("steps: 100, warmup_fraction: 0")).toEqual([0]);
    expect(warmup("steps: 100, warmup_steps: 7", one("warmup_fraction: [0.2, 0.5]"))).toEqual([20, 50]);
    expect(warmup("steps: 100, warmup_fraction: 0.5", one("warmup_steps: [0, 3]"))).toEqual([0, 3]);
  });

  it("every other hyperparameter reaches the plan from its axis", () => {
    const plan = only({
      axes: one(
        "d_head: 32, ffn_width: 96, sequence_length: 64, norm: layernorm, norm_eps: 1e-6, positions: none, tied_embeddings: false, mask: bernoulli, layers: 3, width: 96, sparsity: 0.5, seed: [9], steps: 50, batch_size: 4, schedule: cosine, final_fraction: 0, beta1: 0.8, beta2: 0.9, eps: 1e-9, precision: bfloat16, clip_norm: null, weight_decay: 0.1, decay_mode: independent, alpha_input: 3, alpha_output: 2, base_width: 48, learning_rate: 0.5",
      ),
      base: "base: {width: 256, ffn_width: 48}",
    }).plan;
    expect(plan).toMatchObject({
      seed: 9,
      shape: {
        layers: 3,
        d_model: 96,
        d_head: 32,
        d_ffn: 96,
        sequence_length: 64,
        norm: "layernorm",
        norm_eps: 1e-6,
        positions: "none",
        tied_embeddings: false,
      },
      forward: {
        embedding_multiplier: 3,
        residual_multiplier: 1,
        attention_scale: 1 / 32,
        logits_multiplier: 1,
      },
      mask: "bernoulli",
      precision: "bfloat16",
      optimizer: { name: "adamw", beta1: 0.8, beta2: 0.9 },
      clip_norm: null,
      schedule: { warmup_steps: 5, decay: "cosine", final_fraction: 0 },
      steps: 50,
      batch_size: 4,
    });
    // m_d = 2 and m_ρ = 1/2 cancel.
    expect(plan.groups.find((g) => g.name === "ffn_down")).toMatchObject({
      learning_rate: 0.5,
      decay_per_step: 0.05,
      eps: 1e-9,
      density: 0.5,
    });
  });

  it("depth multipliers count from base.layers, or from its axis", () => {
    const deep = (base: string, axes = "") =>
      only({
        axes: `axes: {parameterization: completep, layers: 12, learning_rate: 0.5${axes}}`,
        base: `base: {width: 64, ${base}}`,
      }).plan.forward.residual_multiplier;
    expect(deep("layers: 3")).toBe(1 / 4);
    expect(deep("layers: 3", ", base_layers: 6")).toBe(1 / 2);
  });

  it("the trainer and its revision are part of what a run is", () => {
    const plan = (more: string) => only({ axes: `${more}\naxes: {parameterization: sp}` }).plan;
    expect(plan("")).toMatchObject({ version: 2, trainer: { name: "musweep", revision: "1" } });
    expect(plan("trainer: mine\nrevision: 2b").trainer).toEqual({ name: "mine", revision: "2b" });
  });

  it("the order and the spelling of the file change no run id", () => {
    const a = only({
      axes: "axes: {parameterization: supar, sparsity: 0.75, learning_rate: {log2: {from: -7, to: -7}}}",
    });
    const b = only({
      axes: "axes: [{learning_rate: [7.8125e-3], density: 0.25, parameterization: [supar]}]",
    });
    expect(b).toEqual(a);
  });

  it("weights are kept when the file says so", () => {
    expect(only({ axes: "keep_weights: true\naxes: {parameterization: sp}" }).keep_weights).toBe(true);
    expect(only({ axes: "axes: {parameterization: sp}" }).keep_weights).toBe(false);
  });
});

describe("titles", () => {
  it("tell all runs of a sweep apart, whatever varies", () => {
    const axes =
      "axes: {parameterization: [sp, mup], layers: [1, 3], width: [32, 64], batch_size: [2, 4], learning_rate: [0.1, 0.2], seed: [1, 2]}";
    const titles = cellsOf({ axes }).map((cell) => titleOf(cell.coordinates));
    expect(titles).toHaveLength(64);
    expect(new Set(titles).size).toBe(64);
  });

  it("tell rates apart that are near to each other", () => {
    const rates = [0.01, 0.010001, 0.010023, 2 ** -6.64, 2 ** -6.5, 0.0078125];
    const titles = cellsOf({ axes: `axes: {parameterization: sp, learning_rate: [${rates}]}` }).map((cell) =>
      titleOf(cell.coordinates).replace(/^.* lr (.*) seed 1$/, "$1"),
    );
    expect(titles).toEqual(["0.01", "0.010001", "0.010023", "2^-6.64", "2^-6.5", "2^-7"]);
  });

  it("read as people say them", () => {
    const title = (axes: string) => titleOf(only({ axes: `axes: {${axes}}` }).coordinates);
    expect(
      title(
        "parameterization: supar, width: 128, sparsity: 0.9375, learning_rate: {log2: {from: -8, to: -8}}",
      ),
    ).toBe("SμPar d128 L2 s0.9375 lr 2^-8 seed 1");
    expect(
      title("parameterization: supar-init-only, learning_rate: 1.62e-2, clip_norm: null, seed: [4]"),
    ).toBe("SμPar (init only) d64 L2 s0 clip_norm null lr 0.0162 seed 4");
    expect(titleOf(only({ axes: "axes: {parameterization: mup, layers: 12}" }).coordinates)).toBe(
      "μP d64 L12 s0 lr 0.01 seed 1",
    );
  });
});

describe("overlapping grids", () => {
  const expansion = expand({
    axes: `axes:
  - {parameterization: [sp, supar], sparsity: [0, 0.5], learning_rate: {log2: {from: -12, to: 0, step: 0.5}}, seed: {count: 6}}
  - {parameterization: [supar], sparsity: [0, 0.5, 0.75], learning_rate: {log2: {from: -12, to: 0, step: 0.25}}, seed: {count: 6}}`,
  });
  // 2·2·25·6 = 600 and 1·3·49·6 = 882 points, of which supar at two sparsities, 25 rates and 6 seeds, 300, are in both.
  const counts = { points: 1482, duplicates: 300, cells: 1182 };

  it("are counted as they are walked, every point once", () => {
    expect(expansion.counts()).toEqual(counts);
    const places = [...expansion.cells()].map((cell) => canonicalJson(cell.coordinates));
    expect(places).toHaveLength(counts.cells);
    expect(new Set(places).size).toBe(counts.cells);
  });

  it("come one by one: the first cell is there before the last is made", () => {
    const cells = expansion.cells();
    expect(cells.next().value).toMatchObject({ coordinates: { seed: 1, parameterization: "sp" } });
    expect(cells.return(undefined)).toEqual({ done: true, value: undefined });
  });
});

describe("sweep files that ship", () => {
  const expandFile = (text: string, name: string) => {
    const expansion = expandPhase(parseSweep(text, name).phases[0], data);
    return { expansion, cells: modelCells(expansion.cells()) };
  };

  it("the template is valid and needs no change to run", () => {
    const { expansion, cells } = expandFile(SWEEP_TEMPLATE, "template.yaml");
    expect(expansion.counts()).toEqual({ points: 72, duplicates: 0, cells: 72 });
    expect(cells[0]?.plan.shape).toMatchObject({ d_model: 128, d_ffn: 512, layers: 2 });
  });

  it("the quickstart covers three parameterizations, three sparsities up to 0.9375, and six learning rates or more", () => {
    const text = readFileSync(new URL("../../../sweeps/quickstart.yaml", import.meta.url), "utf8");
    const { cells } = expandFile(text, "quickstart.yaml");
    for (const parameterization of ["sp", "mup", "supar"])
      for (const sparsity of [0, 0.75, 0.9375]) {
        const curve = cells
          .map((c) => c.coordinates)
          .filter((c) => c.parameterization === parameterization && c.sparsity === sparsity);
        expect(new Set(curve.map((c) => c.learning_rate)).size).toBeGreaterThanOrEqual(6);
      }
  });
});
