/** What is recommended for another width and sparsity, against the multipliers worked by hand. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { parse } from "yaml";
import { driftText } from "../../../orchestrator/report/measured-drift.ts";
import { recommend, type Target } from "../../../orchestrator/report/recommend.ts";
import { pytorchSnippet, recommendationText } from "../../../orchestrator/report/recommend-text.ts";
import { suggest, suggestionsYaml } from "../../../orchestrator/report/suggest.ts";
import type { Plan, RunPlan } from "../../../schema/wire/plan.ts";
import { Attempt, applyAll, freshDatabase, sqliteOf, submitText, train } from "../../support/database.ts";
import { describeWithTorch, torchPython } from "../../support/torch-python.ts";
import { scriptEnvironment } from "../../workers/python/script-process.ts";

const SWEEP = `name: proxy
data: { corpus: moby-dick }
model: { width: 256, layers: 2, d_head: 64, sequence_length: 32 }
training: { steps: 20, batch_size: 4 }
base: { width: 256, init_std: 0.08665602 }
axes:
  parameterization: [sp, supar]
  sparsity: [0]
  learning_rate: { log2: { from: -9, to: -3 } }
  seed: [1, 2, 3]
`;

/** Both parameterizations have their valley at 2^-6; SP's is higher. */
function trained(text = SWEEP, worst = 0) {
  const db = freshDatabase();
  submitText(db, text);
  const rows = sqliteOf(db)
    .prepare<[], { run: string; log2_lr: number; parameterization: string; seed: number }>(
      "SELECT * FROM run_results",
    )
    .all();
  for (const { run, log2_lr, parameterization, seed } of rows) {
    const valley = 0.02 * (log2_lr + 6) ** 2 + (log2_lr === -6 ? worst : 0);
    train(db, run, (parameterization === "sp" ? 3 : 2) + valley + 0.001 * seed);
  }
  return db;
}

interface At extends Record<string, unknown> {
  parameterization: string;
  width: number;
  layers: number;
  sparsity: number;
  learning_rate: number;
  seed: number;
}

/** Trains a sweep whose curves have their valleys where a test says, and as deep. */
function trainedIn(text: string, valleyOf: (at: At) => { log2: number; loss: number }) {
  const db = freshDatabase();
  submitText(db, text);
  const rows = sqliteOf(db)
    .prepare<[], { run: string; coordinates: string }>("SELECT run, coordinates FROM run_results")
    .all();
  // At once, so that curves are fitted once.
  const events = rows.flatMap(({ run, coordinates }) => {
    const at = JSON.parse(coordinates) as At;
    const { log2, loss } = valleyOf(at);
    const attempt = new Attempt(run, 1001);
    const ended = loss + 0.02 * (Math.log2(at.learning_rate) - log2) ** 2 + 0.001 * at.seed;
    return [attempt.claimed(), attempt.started(), attempt.finished(ended)];
  });
  applyAll(db, events);
  return db;
}

it("carries the proxy's rate through the rules: m_d·m_ρ = 16 · 2^-6 = 1/4", () => {
  const r = recommend(trained(), "proxy", { width: 4096, sparsity: 1 - 2 ** -6 });
  expect(r.title).toBe("SμPar");
  expect(Math.log2(r.learning_rate)).toBeCloseTo(-6, 1);
  const query = r.resolved.rows.find((row) => row.group === "attention_query")!;
  expect(query.init_std).toBeCloseTo(0.1733, 4);
  expect(query.learning_rate / r.learning_rate).toBeCloseTo(4, 10);
  expect(query.weights_per_neuron).toBe(64);
  expect(r.cautions).toEqual([
    "width 4096 is 16 times the widest model of the sweep",
    "sparsity 0.984375 is beyond the sweep's 0",
  ]);
  expect(pytorchSnippet(r)).toContain('"attention_query": dict(');
});

it("takes the parameterization that is asked for, and says what it does not promise", () => {
  const r = recommend(trained(), "proxy", { width: 512, sparsity: 0.5, parameterization: "sp" });
  const query = r.resolved.rows.find((row) => row.group === "attention_query")!;
  expect(query.learning_rate).toBe(r.learning_rate);
  expect(r.cautions).toContain("SP promises no transfer, neither across width nor across sparsity");
});

it("refuses what the sweep cannot answer", () => {
  const db = trained();
  expect(() => recommend(db, "proxy", { width: 512, sparsity: 0, parameterization: "mup" })).toThrow(
    /no curve under mup/,
  );
  expect(() => recommend(db, "proxy", { width: 100, sparsity: 0 })).toThrow(/d_head/);
  const edge = trained(SWEEP.replace("from: -9, to: -3", "from: -6, to: -3"));
  expect(() => recommend(edge, "proxy", { width: 512, sparsity: 0 })).toThrow(/no estimated optimum/);
  // What suggest has nothing for is not sent there.
  const single = trained(SWEEP.replace("from: -9, to: -3", "from: -6, to: -6"));
  expect(() => recommend(single, "proxy", { width: 512, sparsity: 0 })).toThrow(
    expect.objectContaining({ remedy: expect.stringContaining("takes at least three learning rates") }),
  );
  expect(suggest(single, "proxy")).toMatchObject({ suggestions: [], too_few: 2 });
  expect(suggestionsYaml(suggest(single, "proxy"))).toMatch(/^# proxy: 2 curves have too few values to fit/);
  expect(suggest(edge, "proxy").too_few).toBe(0);
});

const withAxis = (axis: string): string =>
  SWEEP.replace("[sp, supar]", "[supar]").replace("sparsity: [0]", `sparsity: [0]\n  ${axis}`);

describe("of curves that differ in more than width and sparsity", () => {
  it.each<[string, number[]]>([
    ["batch_size", [2, 4, 8]],
    ["steps", [20, 40, 80]],
    ["layers", [1, 2, 3]],
  ])("%s: carries the one over that is as the target", (name, values) => {
    // Each value has a valley of its own, and the first in the grid's order is the deepest.
    const db = trainedIn(withAxis(`${name}: [${values.join(", ")}]`), (at) => {
      const place = values.indexOf(at[name] as number);
      return { log2: -7 + place, loss: 2 + 0.1 * place };
    });
    const target = { width: 512, sparsity: 0.5 };
    const asked = values[2]!;
    const r = recommend(db, "proxy", { ...target, [name]: asked });
    expect(Math.log2(r.learning_rate)).toBeCloseTo(-5, 1);
    expect({ ...r.source.other, layers: r.source.layers }[name]).toBe(asked);
    expect(r.cautions.filter((note) => note.includes("was measured at") || note.includes("depth"))).toEqual(
      [],
    );
    if (name === "layers") return;
    expect(recommendationText(r)).toContain(`sparsity 0, ${name} ${asked} of sweep proxy`);
    // Nobody has measured it: the curve of lowest loss, and what it was measured at is said.
    const far = recommend(db, "proxy", { ...target, [name]: 64 });
    expect(Math.log2(far.learning_rate)).toBeCloseTo(-7, 1);
    expect(far.cautions).toContain(
      `the optimum was measured at ${name} ${far.source.other[name]}, and no rule carries it to 64`,
    );
  });

  it("says that steps and batch differ where the file alone has them", () => {
    const { cautions } = recommend(trained(), "proxy", { width: 256, sparsity: 0, steps: 50, batch_size: 8 });
    expect(cautions).toEqual([
      "the optimum was measured at steps 20, and no rule carries it to 50",
      "the optimum was measured at batch_size 4, and no rule carries it to 8",
    ]);
  });

  it("takes the best of what the target does not say", () => {
    const text = withAxis("weight_decay: [0, 0.1, 0.2]").replace(
      "batch_size: 4 }",
      "batch_size: 4, optimizer: { decay_mode: constant } }",
    );
    const db = trainedIn(text, ({ weight_decay }) => ({ log2: -6, loss: weight_decay === 0.1 ? 2 : 3 }));
    expect(recommend(db, "proxy", { width: 512, sparsity: 0.5 }).source.other).toEqual({ weight_decay: 0.1 });
  });

  it("takes the one at the target's sparsity where the rules do not carry a rate across it", () => {
    const text = SWEEP.replace("[sp, supar]", "[mup]").replace("sparsity: [0]", "sparsity: [0, 0.75]");
    const db = trainedIn(text, ({ sparsity }) => ({ log2: sparsity === 0 ? -7 : -5, loss: 2 + sparsity }));
    const r = recommend(db, "proxy", { width: 512, sparsity: 0.75 });
    expect(r.source.sparsity).toBe(0.75);
    expect(r.cautions.filter((note) => note.includes("promises"))).toEqual([]);
  });
});

describe("an optimum that moves", () => {
  const widths = SWEEP.replace("[sp, supar]", "[mup]")
    .replace("width: 256, layers", "layers")
    .replace("sparsity: [0]", "width: [128, 512]\n  sparsity: [0]")
    .replace("from: -9", "from: -12")
    .replace("base: { width: 256", "base: { width: 128");

  it("carries over the curve nearest to the target, with the drift that was measured", () => {
    const db = trainedIn(widths, ({ width }) => ({ log2: width === 128 ? -7 : -8, loss: 2 }));
    const r = recommend(db, "proxy", { width: 1024 });
    expect(r.source.width).toBe(512);
    expect(Math.log2(r.learning_rate)).toBeCloseTo(-8, 1);
    expect(r.cautions).toContainEqual(
      expect.stringMatching(
        /^from width 128 to 512 the optimum moved by -1\.0\d octaves \(95%: -1\.\d\d to -0\.\d\d\)$/,
      ),
    );
    // Half an octave more is to be expected, downwards.
    const octaves = r.validation.map((rate) => Math.round(Math.log2(rate / r.learning_rate)));
    expect(octaves).toEqual([-1, 0, 1]);
    // Two octaves on: another one of drift, and what is not known of it.
    const far = recommend(db, "proxy", { width: 4096 });
    expect(far.validation.map((rate) => Math.round(Math.log2(rate / r.learning_rate)))).toEqual([
      -2, -1, 0, 1,
    ]);
  });

  it("of which only a bound is known is looked for beyond it", () => {
    const text = SWEEP.replace("[sp, supar]", "[mup]").replace("sparsity: [0]", "sparsity: [0, 0.75]");
    const db = trainedIn(text, ({ sparsity }) => ({ log2: sparsity === 0 ? -6 : -1, loss: 2 }));
    const r = recommend(db, "proxy", { width: 256, sparsity: 0.75 });
    expect(r.source.sparsity).toBe(0);
    const [, least] = /^from sparsity 0 to 0\.75 the optimum moves up by at least (\d\.\d) octaves$/.exec(
      r.cautions.find((note) => note.startsWith("from"))!,
    )!;
    expect(Number(least)).toBeGreaterThan(1);
    expect(Math.log2(r.validation.at(-1)! / r.learning_rate)).toBeGreaterThanOrEqual(Number(least) + 0.5);
    expect(Math.log2(r.validation[0]! / r.learning_rate)).toBeCloseTo(-1, 6);
    expect(recommendationText(r)).toContain(`${r.validation.length} runs at the target's size`);
  });
});

it("a drift of which only a bound is known is said rounded so that it holds", () => {
  const far = { axis: "width", from: 128, to: 512, low: null, high: -3.0976 } as const;
  expect(driftText({ ...far, moved: { estimate: null, low: null, high: -3.0976 } })).toBe(
    "from width 128 to 512 the optimum moves down by at least 3.0 octaves",
  );
});

describe("what is not said", () => {
  it("is the sweep's only sparsity; all else is asked for at once", () => {
    expect(recommend(trained(), "proxy", { width: 512 }).target.sparsity).toBe(0);
    expect(() => recommend(trained(), "proxy", {})).toThrow(/: --width N \(its d_model\)$/);
    const two = trained(SWEEP.replace("sparsity: [0]", "sparsity: [0, 0.75]"));
    expect(() => recommend(two, "proxy", {})).toThrow(
      expect.objectContaining({
        code: "bad-option",
        message: expect.stringMatching(/: --width N \(its d_model\) and --sparsity X \(0 for dense\)$/),
        remedy: "proxy has the sparsities 0, 0.75.",
      }),
    );
  });
});

describe("without an optimum to carry over it says what would help", () => {
  const saysOf = (text: string, train = false): { message: string; remedy: string } => {
    const db = train ? trained(text) : freshDatabase();
    if (!train) submitText(db, text);
    try {
      recommend(db, "proxy", { width: 512 });
    } catch (error) {
      return error as { message: string; remedy: string };
    }
    throw new Error("it has one");
  };

  it("while it trains: to wait", () => {
    const { message, remedy } = saysOf(SWEEP);
    expect(message).toMatch(/still training/);
    expect(remedy).toMatch(/^Wait until it has trained: musweep status proxy /);
  });

  it("at the grid's edge: more runs", () => {
    expect(saysOf(SWEEP.replace("from: -9, to: -3", "from: -6, to: -3"), true).remedy).toBe(
      "Only a bracketed optimum is carried over: musweep suggest proxy says which runs would give one.",
    );
  });

  it("of a random search: a sweep of learning rates", () => {
    const random = SWEEP.replace(
      "learning_rate: { log2: { from: -9, to: -3 } }",
      "random: { n: 4, seed: 1, distributions: { learning_rate: { log_uniform: { from: 1e-3, to: 1e-1 } } } }",
    );
    const { message, remedy } = saysOf(random);
    expect(message).toMatch(/its settings are drawn at random/);
    expect(remedy).toMatch(/^musweep report proxy has its best settings\. /);
  });
});

describe("the parameterization, where none is asked for", () => {
  const of = (names: string, axis = "") =>
    withAxis(axis).replace("[supar]", names).replace("base: { width: 256,", "base: { width: 256, layers: 2,");

  it("is the one whose rules carry the rate along the axes that change", () => {
    const db = trainedIn(of("[supar, completep]"), ({ parameterization }) => ({
      log2: -6,
      loss: parameterization === "completep" ? 2 : 3,
    }));
    const chosen = (target: Target) => recommend(db, "proxy", target).parameterization;
    expect(chosen({ width: 512, sparsity: 0.75 })).toBe("supar");
    expect(chosen({ width: 512, sparsity: 0, layers: 8 })).toBe("completep");
    // Both carry it: the lower loss.
    expect(chosen({ width: 512, sparsity: 0 })).toBe("completep");
  });

  it("of several it is the one of lower loss at the same width", () => {
    const db = trainedIn(
      of("[supar, supar-completep]", "width: [128, 256]"),
      ({ parameterization, width }) => ({
        log2: -6,
        loss: (width === 128 ? 3 : 2) + ((parameterization === "supar") === (width === 128) ? 0 : 0.5),
      }),
    );
    const r = recommend(db, "proxy", { width: 512, sparsity: 0.75 });
    expect([r.parameterization, r.source.width]).toEqual(["supar-completep", 256]);
  });
});

it("has a target's own shape and length, and says what it takes from the sweep", () => {
  const own = { layers: 3, d_head: 32, ffn_width: 160, vocab_size: 1000, steps: 50, batch_size: 2 };
  const r = recommend(trained(), "proxy", { width: 64, sparsity: 0.5, ...own });
  // 64 · (1,000 tied + 3 layers of 4 · 64 + 3 · 160 and two gains, and the last gain).
  expect(r.parameters).toBe(64 * (1000 + 3 * (4 * 64 + 3 * 160 + 2) + 1));
  expect(r.plan).toMatchObject({ shape: { d_head: 32 }, steps: 50, batch_size: 2 });
  expect(r.taken.filter(({ option }) => option !== null)).toEqual([]);
  const { taken } = recommend(trained(), "proxy", { width: 64, sparsity: 0.5, d_head: 32 });
  const named = taken.filter(({ option }) => option !== null);
  expect(named.map(({ name, option }) => `${name} ${option}`)).toEqual([
    "layers --layers",
    "ffn_width --ffn-width",
    "vocab_size --vocab",
    "steps --steps",
    "batch_size --batch",
  ]);
  const text = recommendationText(r);
  expect(text).toContain("3 runs at the target's size");
  expect(text).toMatch(/As in sweep proxy, where no option says otherwise: sequence_length 32, /);
  // The runs to do are of the target that was asked for.
  const said =
    /In a sweep file: (axes: \{.*\}), with (ffn_width: \d+) under base, on data with a vocabulary of 1000$/m;
  const [, axes, base] = said.exec(text)!;
  const db = freshDatabase();
  submitText(db, SWEEP.replace("base: {", `base: { ${base},`).replace(/axes:[\s\S]*/, `${axes}\n`));
  const plans = sqliteOf(db).prepare<[], { plan: string }>("SELECT plan FROM plans").all();
  expect(plans.length).toBe(3);
  for (const { plan } of plans)
    expect(JSON.parse(plan)).toMatchObject({
      shape: { layers: 3, d_head: 32, d_ffn: 160 },
      steps: 50,
      batch_size: 2,
    });
  expect(r.validation[1]).toBe(r.learning_rate);
});

it("has the runs to do trained as the curve that is carried over, in whatever else varied", () => {
  const file = SWEEP.replace("steps: 20, batch_size: 4", "batch_size: 4").replace(
    "  seed:",
    "  steps: [20, 40]\n  init_std: [0.02, 0.05]\n  clip_norm: [0.5, 1]\n  schedule: [cosine, constant]\n  seed:",
  );
  const best = { steps: 40, init_std: 0.05, clip_norm: 0.5, schedule: "cosine" };
  const isBest = (at: At): boolean => Object.entries(best).every(([name, value]) => at[name] === value);
  const db = trainedIn(file, (at) => ({ log2: -6, loss: isBest(at) ? 2 : 3 }));
  const plansOf = (target: Partial<Target>): RunPlan[] => {
    const r = recommend(db, "proxy", { width: 512, sparsity: 0, parameterization: "supar", ...target });
    const [, axes] = /In a sweep file: (axes: \{.*\})$/m.exec(recommendationText(r))!;
    const submitted = freshDatabase();
    submitText(submitted, file.replace(/axes:[\s\S]*/, `${axes}\n`));
    const stored = sqliteOf(submitted).prepare<[], { plan: string }>("SELECT plan FROM plans").all();
    expect(stored.length).toBe(r.validation.length);
    return [r.plan, ...stored.map(({ plan }) => JSON.parse(plan) as RunPlan)];
  };
  for (const target of [{}, { steps: 80 }]) {
    const [wanted, ...plans] = plansOf(target).map((plan) => {
      const { steps, clip_norm, schedule, groups } = plan as Plan;
      return { steps, clip_norm, schedule, stds: groups.map(({ init_std }) => init_std) };
    });
    for (const plan of plans) expect(plan).toEqual(wanted);
    expect(wanted).toMatchObject({ steps: 40, clip_norm: 0.5, schedule: { decay: "cosine" }, ...target });
  }
});

it("carries over that gradients were not clipped, which null says", () => {
  const file = SWEEP.replace("  seed:", "  clip_norm: [1, null]\n  seed:");
  const db = trainedIn(file, (at) => ({ log2: -6, loss: at.clip_norm === null ? 2 : 3 }));
  const r = recommend(db, "proxy", { width: 512, sparsity: 0 });
  expect(r.plan.clip_norm).toBe(null);
  expect(pytorchSnippet(r)).not.toContain("clip_grad_norm_");
  const text = recommendationText(r);
  expect(text).toContain("sparsity 0, clip_norm null of sweep proxy");
  expect(text).toMatch(/In a sweep file: axes: .* clip_norm: \[null\],/);
  // Beyond an edge, too: else it would be the run of another curve.
  const edge = trainedIn(file, () => ({ log2: 0, loss: 2 }));
  expect(parse(suggestionsYaml(suggest(edge, "proxy"))).axes).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ clip_norm: null, learning_rate: [0.25] }),
      expect.objectContaining({ clip_norm: 1, learning_rate: [0.25] }),
    ]),
  );
});

it("gives a sparse target a feed-forward width of its own, whatever its sparsity would leave of the proxy", () => {
  const text = SWEEP.replace("base: { width: 256,", "base: { width: 64,");
  const r = recommend(trained(text), "proxy", { width: 512, sparsity: 0.99, ffn_width: 2048 });
  // The proxy's own: 8/3 of 64.
  const down = r.resolved.rows.find((row) => row.group === "ffn_down")!;
  expect(down.multiplier).toBeCloseTo(1 / ((2048 / 171) * 0.01), 6);
});

it("says of a script's own model what another fan-in changes", () => {
  // By hand: std goes as 1/√fan-in and the rate as 1/fan-in; decay follows the rate by itself.
  expect(pytorchSnippet(ownRecommendation())).toContain(
    "init_std * (k / 16) ** -0.5, lr * (k / 16) ** -1.\n",
  );
});

describeWithTorch("the program that it prints", () => {
  it("runs where a β is a whole number, which AdamW wants as a float", { timeout: 120_000 }, () => {
    const text = SWEEP.replace("batch_size: 4", "batch_size: 4, optimizer: { beta1: 0 }");
    const r = recommend(trained(text), "proxy", { width: 256, sparsity: 0.75, layers: 1 });
    const program = pytorchSnippet(r)!;
    expect(program).toContain("betas=(0.0, 0.95)");
    expect(execFileSync(torchPython, ["-c", program], { encoding: "utf8" })).toMatch(/^step 1: loss \d/);
  });

  it("runs, draws what it says, and keeps the mask", { timeout: 120_000 }, () => {
    const directory = mkdtempSync(join(tmpdir(), "musweep-recommend-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const r = recommend(trained(), "proxy", { width: 256, sparsity: 0.75, layers: 1, steps: 10 });
    writeFileSync(join(directory, "model.py"), pytorchSnippet(r)!);
    const python = (...args: string[]): string =>
      execFileSync(torchPython, args, { cwd: directory, encoding: "utf8" });
    expect(python("model.py")).toMatch(/^step 1: loss \d+\.\d+\nstep 2: loss \d/);
    // The first step is one of a warm-up of one, the last is the schedule's last.
    const program = `
import torch
from model import *
model = Model()
optimizer = configure(model)
query = model.blocks[0].query.weight
kept = query != 0
model(torch.zeros(1, 8, dtype=torch.long)).sum().backward()
optimizer.step()
rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
# A model that is on another device already, as on a GPU: nothing is made elsewhere.
class Elsewhere(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        assert not isinstance(made, torch.Tensor) or made.device.type == "meta", function
        return made
with torch.device("meta"):
    there = Model()
with Elsewhere():
    configure(there)
print(int(kept.sum()), float(query.detach()[kept].std()), bool((query[~kept] == 0).all()), rates[id(query)], factor(0), factor(STEPS - 1))`;
    const [kept, std, masked, rate, first, last] = python("-c", program).trim().split(" ");
    const query = r.resolved.rows.find((row) => row.group === "attention_query")!;
    expect([kept, masked, first]).toEqual([String(256 * 64), "True", "1.0"]);
    expect(Number(std) / query.init_std!).toBeCloseTo(1, 1);
    expect(Number(rate) / query.learning_rate).toBeCloseTo(1, 4);
    expect(Number(last)).toBeCloseTo(0.1, 12);
  });
});

/** The paper's worked row (arXiv 2405.15743, Table 1): width 4096 and density 2^-6 over a dense proxy of width 256. */
const OWN_MODEL = `name: own
trainer: mine
model: { width: 256, layers: 1 }
training: { optimizer: { weight_decay: 0.1, decay_mode: constant } }
base: { width: 256, init_std: 0.08665602, alpha_input: 1, alpha_output: 1 }
axes:
  parameterization: [sp, supar]
  learning_rate: { multiples_of: 1.62e-2, log2: { from: -3, to: 3 } }
  seed: [1, 2, 3]
`;

/** What the printed program makes of a model, what musweep.py makes of it, and one step on no gradient. */
const COMPARE = `
import json, os, torch
from torch import nn
from roles import configure
import musweep

def model():
    embed, hidden, head = nn.Linear(16, 512, bias=False), nn.Linear(512, 512), nn.Linear(512, 4, bias=False)
    return nn.ModuleDict({"embed": embed, "hidden": hidden, "head": head})

def numbers(model, optimizer):
    """By parameter: rate, decay, epsilon, how many weights exist, their deviation."""
    group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    said = {}
    for name, p in model.named_parameters():
        group, existing = group_of[id(p)], p.detach()[p.detach() != 0]
        said[name] = [group["lr"], group["weight_decay"], group["eps"], len(existing), float(existing.std())]
    return said

torch.manual_seed(1)
printed = model()
optimizer = configure(printed)
from_program = numbers(printed, optimizer)
before = {name: p.detach().norm().item() for name, p in printed.named_parameters()}
for p in printed.parameters():
    p.grad = torch.zeros_like(p)
optimizer.step()
shrunk = {name: 1 - p.detach().norm().item() / before[name] for name, p in printed.named_parameters()}
optimizer.zero_grad()
# Where no weight is, none comes: not from a gradient either.
weight = printed["hidden"].weight
absent = weight == 0
printed["hidden"](torch.ones(1, 512)).sum().backward()
assert (weight.grad[absent] == 0).all() and (weight.grad[~absent] != 0).all()
run = musweep.start("plan.json")
own = model()
roles = {"embed.weight": "embedding", "hidden.weight": "hidden", "head.weight": "unembedding", "*.bias": "vector"}
optimizer = torch.optim.AdamW(run.apply(own, roles=roles), betas=(0.9, 0.95))
from_apply = numbers(own, optimizer)
with open("numbers.json", "w") as file:
    json.dump({"program": from_program, "shrunk": shrunk, "apply": from_apply, "logits": run.logits_multiplier}, file)
os._exit(0)  # no run: nothing is trained
`;

function ownRecommendation() {
  const db = trainedIn(OWN_MODEL, ({ parameterization }) => ({
    log2: Math.log2(1.62e-2),
    loss: parameterization === "sp" ? 3 : 2,
  }));
  return recommend(db, "own", { width: 4096, sparsity: 1 - 2 ** -6 });
}

/** Norms and what writes to the residual stream, under the names that patterns have by example, and a gain that has none. */
const NORMS = `
import torch
from torch import nn
from roles import GROUPS, configure

def model(gain):
    return nn.ModuleDict({
        "embed": nn.Linear(16, 512), "hidden": nn.Linear(512, 512), gain: nn.LayerNorm(512),
        "ln_1": nn.LayerNorm(512), "block": nn.ModuleDict({"down_proj": nn.Linear(512, 512)}),
        "final_norm": nn.LayerNorm(512), "head": nn.Linear(512, 4),
    })

torch.manual_seed(1)
made = model("input_layernorm")
optimizer = configure(made)
group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
for name in ("input_layernorm", "ln_1", "final_norm"):
    gain = made[name].weight
    assert (gain == 1).all() and (made[name].bias == 0).all(), name
    assert group_of[id(gain)]["weight_decay"] == 0 and group_of[id(gain)]["lr"] == GROUPS["vector"]["lr"], name
assert group_of[id(made["head"].bias)]["weight_decay"] == 0
deviation = lambda p: p.detach()[p.detach() != 0].std().item()
ratio = deviation(made["block"]["down_proj"].weight) / deviation(made["hidden"].weight)
try:
    configure(model("scale"))
except ValueError as error:
    print(ratio, error)
`;

describeWithTorch("the program for a script's own model", () => {
  it("leaves gains alone, and refuses one that only a pattern of matrices fits", { timeout: 120_000 }, () => {
    const directory = mkdtempSync(join(tmpdir(), "musweep-recommend-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    writeFileSync(join(directory, "roles.py"), pytorchSnippet(ownRecommendation())!);
    const said = execFileSync(torchPython, ["-c", NORMS], { cwd: directory, encoding: "utf8" });
    const [ratio, ...words] = said.trim().split(" ");
    // One layer: what writes to the residual stream begins √2 times smaller.
    expect(Number(ratio) * Math.SQRT2).toBeCloseTo(1, 1);
    expect(words.join(" ")).toMatch(/^scale\.weight is a gain or a bias, and hidden is for matrices/);
  });

  it("gives the paper's numbers, and those of run.apply, to every role", { timeout: 120_000 }, () => {
    const directory = mkdtempSync(join(tmpdir(), "musweep-recommend-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const r = ownRecommendation();
    expect(r.learning_rate / 1.62e-2).toBeCloseTo(1, 1);
    writeFileSync(join(directory, "roles.py"), pytorchSnippet(r)!);
    writeFileSync(join(directory, "plan.json"), JSON.stringify(r.plan));
    writeFileSync(join(directory, "compare.py"), COMPARE);
    execFileSync(torchPython, ["compare.py"], { cwd: directory, env: scriptEnvironment(), stdio: "pipe" });
    const said = JSON.parse(readFileSync(join(directory, "numbers.json"), "utf8")) as {
      program: Record<string, number[]>;
      shrunk: Record<string, number>;
      apply: Record<string, number[]>;
      logits: number;
    };
    const eta = r.learning_rate;
    // By hand: m_d = 16, m_d·m_ρ = 1/4. Hidden std 2σ = 0.1733 and rate 4η; weight decay λ at the role's own rate; α_out/m_d.
    const expected: Record<string, [rate: number, decay: number, std: number | null, kept: number]> = {
      "embed.weight": [eta, 0.1, 0.08665602, 16 * 512],
      "hidden.weight": [4 * eta, 0.1, 0.1733, (512 * 512) / 64],
      "hidden.bias": [eta, 0, null, 512],
      "head.weight": [eta, 0.1, 0.08665602, 512 * 4],
    };
    expect(said.logits).toBe(1 / 16);
    expect(pytorchSnippet(r)).toContain("logits × 0.0625");
    for (const [name, [rate, decay, std, kept]] of Object.entries(expected))
      for (const [source, numbers] of Object.entries({ program: said.program, apply: said.apply })) {
        const [lr, weight_decay, eps, existing, deviation] = numbers[name]!;
        const where = `${source} ${name}`;
        expect(lr! / rate, where).toBeCloseTo(1, 4);
        expect(weight_decay, where).toBeCloseTo(decay, 4);
        expect(eps, where).toBe(1e-8);
        expect(existing, where).toBe(kept);
        if (std !== null) expect(deviation! / std, where).toBeCloseTo(1, 1);
      }
    // AdamW, on no gradient, shrinks by rate times λ, and leaves what does not decay.
    expect(said.shrunk["hidden.weight"]! / (4 * eta * 0.1)).toBeCloseTo(1, 3);
    expect(said.shrunk["hidden.bias"]).toBe(0);
  });
});
