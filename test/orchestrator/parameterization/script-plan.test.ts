/** Plans of scripts: the same rules as for the model that ships, held against numbers that are worked out by hand. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { NO_DATA } from "../../../orchestrator/parameterization/resolve-plan.ts";
import { expandPhase } from "../../../orchestrator/sweep/expand-sweep.ts";
import { parseSweep } from "../../../orchestrator/sweep/parse-sweep.ts";
import { titleOf } from "../../../orchestrator/sweep/title.ts";
import { packageRoot } from "../../../schema/wire/package.ts";
import { isScriptPlan, runIdOf, runPlanSchema, type ScriptPlan } from "../../../schema/wire/plan.ts";
import { scriptPlan } from "../../workers/python/script-plan.ts";

const cellsOf = (text: string) => [...expandPhase(parseSweep(text, "test.yaml").phases[0], NO_DATA).cells()];
const planOf = (text: string): ScriptPlan => {
  const [cell] = cellsOf(text);
  if (cell === undefined || !isScriptPlan(cell.plan)) throw new Error("no plan of a script");
  return cell.plan;
};

const HEAD = "name: t\ntrainer: mine\n";
const sweep = (axes: string, rest = "") => `${HEAD}model: { width: 64, layers: 2 }
base: { width: 32, init_std: 0.1, alpha_input: 2, alpha_output: 0.5 }
${rest}axes: { ${axes}, learning_rate: [0.0078125] }
`;
const TRAINING =
  "training: { steps: 20, warmup_steps: 2, schedule: linear, final_fraction: 0.1, clip_norm: 1 }\n";

describe("the numbers of every role", () => {
  it.each(["sp", "mup", "supar"] as const)(
    "%s, at twice the base's width and a quarter of its weights",
    (p) => {
      const plan = planOf(sweep(`parameterization: ${p}, sparsity: 0.75`, TRAINING));
      const expected = scriptPlan({ parameterization: p, density: 0.25, initStd: 0.1 });
      // SP has no alphas, and its embedding no multiplier.
      expect(plan).toEqual(JSON.parse(JSON.stringify(expected), near));
      expect(runPlanSchema.parse(plan)).toEqual(plan);
    },
  );

  it("independent decay is λ times the base rate in every matrix, none in vectors", () => {
    const rest = `${TRAINING.replace(" }", ", optimizer: { weight_decay: 0.1, decay_mode: independent } }")}`;
    const plan = planOf(sweep("parameterization: supar, sparsity: 0.75", rest));
    const expected = scriptPlan({ density: 0.25, weightDecay: 0.1 });
    expect(plan.roles).toEqual(JSON.parse(JSON.stringify(expected.roles), near));
  });

  /** What is worked out in another order may differ in the last bit. */
  const near = (_key: string, value: unknown): unknown =>
    typeof value === "number" && !Number.isInteger(value) ? expect.closeTo(value, 12) : value;
});

describe("what the file says", () => {
  it("is handed on; what it does not say is the script's own", () => {
    const plan = planOf(
      sweep("parameterization: sp", "settings: { dropout: 0.1, name: big, flag: true }\ndata_version: May\n"),
    );
    expect(plan.settings).toEqual({
      width: 64,
      layers: 2,
      seed: 1,
      learning_rate: 0.0078125,
      dropout: 0.1,
      name: "big",
      flag: true,
    });
    expect(plan).toMatchObject({ schedule: null, steps: null, clip_norm: null, data_version: "May" });
  });

  it("settings are axes: in curves, titles and runs of their own, in lists, ranges and tied rows", () => {
    const axes = "parameterization: sp, settings: { dropout: [0, 0.1], heads: { log2: { from: 1, to: 2 } } }";
    const cells = cellsOf(sweep(axes, "settings: { dropout: 0.5 }\n"));
    expect(cells.map(({ coordinates: c }) => [c["settings.dropout"], c["settings.heads"]])).toEqual([
      [0, 2],
      [0, 4],
      [0.1, 2],
      [0.1, 4],
    ]);
    expect(new Set(cells.map((cell) => cell.run)).size).toBe(4);
    const dotted = axes.replace(
      "settings: { dropout: [0, 0.1], heads: {",
      "settings.dropout: [0, 0.1], settings.heads: {",
    );
    expect(cellsOf(sweep(dotted.replace(/ }$/, ""), "settings.dropout: 0.5\n"))).toEqual(cells);
    expect(cells[3]!.curve).toContain('"settings.dropout":0.1');
    expect(titleOf(cells[3]!.coordinates)).toBe("SP d64 L2 s0 dropout 0.1 heads 4 lr 2^-7 seed 1");
    expect((cells[3]!.plan as ScriptPlan).settings).toMatchObject({ dropout: 0.1, heads: 4 });
    const tied = cellsOf(
      sweep(
        "parameterization: sp, together: [{ sparsity: 0, settings: { lr2: 1 } }, { sparsity: 0.5, settings: { lr2: 2 } }]",
      ),
    );
    expect(tied.map(({ coordinates: c }) => [c.sparsity, c["settings.lr2"]])).toEqual([
      [0, 1],
      [0.5, 2],
    ]);
  });

  it("a schedule, steps from tokens, and what a phase says over the file", () => {
    const plan = planOf(
      sweep(
        "parameterization: sp",
        "training: { tokens: 1000, batch_size: 2, warmup_fraction: 0.5 }\n",
      ).replace("layers: 2", "layers: 2, sequence_length: 50"),
    );
    expect(plan).toMatchObject({ steps: 10, schedule: { warmup_steps: 5 } });
    expect(plan.settings).toMatchObject({ steps: 10, batch_size: 2, sequence_length: 50 });
    expect(plan.settings).not.toHaveProperty("tokens");
  });

  it("SμPar at density 1 is μP: one run", () => {
    const cells = cellsOf(sweep("parameterization: [mup, supar]"));
    expect(cells[0]!.run).toBe(cells[1]!.run);
    expect(cells[0]!.run).toBe(runIdOf(cells[0]!.plan));
  });
});

describe("the examples", () => {
  it.each(["mlp", "nanogpt", "huggingface"])("%s: its sweep file makes plans for its script", (name) => {
    const text = readFileSync(join(packageRoot(), "examples", name, "sweep.yaml"), "utf8");
    const cells = cellsOf(text);
    expect(cells.length).toBeGreaterThan(10);
    for (const { plan } of cells) expect(runPlanSchema.parse(plan)).toEqual(plan);
  });

  it("the plan file of the MLP is that of one of its runs", () => {
    const read = (file: string) => readFileSync(join(packageRoot(), "examples", "mlp", file), "utf8");
    const text = read("sweep.yaml").replace("0.0884", String(Math.sqrt(2 / 256)));
    const run = cellsOf(text).find(
      ({ coordinates: c }) =>
        c.parameterization === "supar" && c.sparsity === 0.75 && c.learning_rate === 2 ** -7,
    );
    const plan = JSON.parse(read("plan.json")) as ScriptPlan;
    expect({ ...(run!.plan as ScriptPlan), data_version: null, clip_norm: 1 }).toEqual(plan);
  });
});

describe("mistakes, at their places", () => {
  it.each([
    [
      "no data for the trainer that ships",
      sweep("parameterization: sp").replace("trainer: mine\n", ""),
      /"data" is missing/,
    ],
    [
      "settings for the trainer that ships",
      `name: t\ndata: { corpus: moby-dick }\nsettings: { a: 1 }\naxes: { parameterization: sp }\n`,
      /3:1: settings: settings is for a trainer/,
    ],
    [
      "a setting that is a hyperparameter",
      sweep("parameterization: sp", "settings: { width: 3 }\n"),
      /5:\d+: settings\.width: width is a hyperparameter; expected model\.width/,
    ],
    [
      "a schedule over nobody knows how many steps",
      sweep("parameterization: sp", "training: { warmup_steps: 10 }\n"),
      /steps is missing; a schedule/,
    ],
    [
      "tokens without a batch",
      sweep("parameterization: sp", "training: { tokens: 1000 }\n"),
      /tokens without batch_size/,
    ],
    ["no width", sweep("parameterization: sp").replace("width: 64, ", ""), /width is missing/],
    [
      "a setting twice",
      sweep("parameterization: sp, settings: { a: 1 }, together: [{ settings: { a: 2 } }]"),
      /settings\.a is also in together/,
    ],
    [
      "what a script is not told of",
      sweep("parameterization: sp", "training: { evaluation: { every_steps: 5 }, micro_batch_size: 2 }\n"),
      /5:\d+: training\.evaluation: a script is not told of it; expected run\.evaluate[\s\S]*training\.micro_batch_size: a script/,
    ],
    [
      "a dotted setting at its place",
      sweep("parameterization: sp, settings.a: [1, [2]]"),
      /^test.yaml:5:47: axes\.settings\.a\[1\]: expected a number, true, false, or a text .* got a list$/,
    ],
    [
      "a setting that is given dotted and not",
      sweep("parameterization: sp, settings: { a: 1 }, settings.a: 2"),
      /this key is given twice/,
    ],
  ])("%s", (_what, text, message) => {
    expect(() => parseSweep(text, "test.yaml")).toThrow(message);
  });
});

it("the sweep file of docs/own-model.md gives the script of that page what it asks for", () => {
  const page = readFileSync(join(packageRoot(), "docs", "own-model.md"), "utf8");
  const [, file] = /```yaml\n(name: my-model\n[\s\S]*?)```/.exec(page)!;
  const plan = planOf(file!);
  // run.steps(), run.scheduler(optimizer), settings.batch_size
  expect(plan.steps).toBe(300);
  expect(plan.schedule).toMatchObject({ warmup_steps: 30 });
  expect(plan.settings).toMatchObject({ batch_size: 16, width: 512 });
});
