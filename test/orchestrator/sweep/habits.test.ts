/** What people write who come from other tools is refused with how it is written here. */
import { describe, expect, it } from "vitest";
import { parseSweep } from "../../../orchestrator/sweep/parse-sweep.ts";
import { SweepFileError } from "../../../orchestrator/sweep/problems.ts";
import { sweepText } from "./small-sweep.ts";

const problemsOf = (text: string): string[] => {
  try {
    parseSweep(text, "sweep.yaml");
  } catch (error) {
    if (error instanceof SweepFileError) return error.problems.map((p) => `${p.path}: ${p.message}`);
    throw error;
  }
  return [];
};
/** What is said where another tool's range does not say enough. */
const RANGES = /a grid is \{log2: \{from: -9, to: -5\}\}, .* under random$/;
const ofAxes = (axes: string) =>
  problemsOf(sweepText({ axes: `axes: {parameterization: sp, ${axes}}` })).join("\n");

describe("another tool's", () => {
  it.each([
    ["lr", "learning_rate"],
    ["n_embd", "width"],
    ["d_model", "width"],
    ["hidden_size", "width"],
    ["n_layer", "layers"],
    ["block_size", "sequence_length"],
    ["wd", "weight_decay"],
    ["max_iters", "steps"],
  ])("%s is called %s", (theirs, ours) => {
    expect(ofAxes(`${theirs}: 1`)).toContain(`unknown key "${theirs}"; did you mean "${ours}"?`);
  });

  it.each([
    ["", "init_std", "base.init_std or axes.init_std"],
    ["", "lr", "base.learning_rate or axes.learning_rate"],
    ["", "grad_clip", "training.clip_norm or axes.clip_norm"],
    ["", "density", "axes.density"],
    ["training", "init_std", "base.init_std or axes.init_std"],
    ["model", "weight_decay", "training.optimizer.weight_decay or axes.weight_decay"],
    ["phases", "n_embd", "model.width or axes.width"],
  ])("field in the wrong section: %s %s", (section, theirs, ours) => {
    const text = sweepText(
      section === "phases"
        ? { axes: `phases: [{name: a, axes: {parameterization: sp, width: 64, seed: 1}, ${theirs}: 1}]` }
        : {},
    );
    const misplaced =
      section === "" ? `${text}\n${theirs}: 1\n` : text.replace(`\n${section}: {`, `$& ${theirs}: 1,`);
    expect(problemsOf(misplaced).join("\n")).toContain(`unknown key "${theirs}"; did you mean ${ours}?`);
  });

  it.each([
    ["SP", "sp"],
    ["standard", "sp"],
    ["μP", "mup"],
    // The micro sign of keyboards.
    ["µP", "mup"],
    ["muP", "mup"],
    ["uP", "mup"],
    ["SμPar", "supar"],
    ["SuPar", "supar"],
    ["CompleteP", "completep"],
    ["'SμPar (init only)'", "supar-init-only"],
    ["'SμPar (LR only)'", "supar-lr-only"],
    ["'SP (embedding × width)'", "sp-embedding"],
    ["'SμPar × CompleteP (ours)'", "supar-completep"],
  ])("title %s is %s, wherever a parameterization is named", (title, name) => {
    const said = `did you mean "${name}"?`;
    expect(problemsOf(sweepText({ axes: `axes: {parameterization: [${title}]}` }))).toEqual([
      expect.stringContaining(said),
    ]);
    for (const section of [
      `coordinate_check: {parameterization: ${title}, width: [32, 64]}`,
      `base: {width: 256, learning_rate: 0.1, overrides: {${title}: {init_std: 0.02}}}`,
    ])
      expect(problemsOf(sweepText({ base: section })).join("\n")).toContain(said);
  });

  it("number of heads follows from the size of one", () => {
    expect(ofAxes("n_head: [2, 4]")).toContain("the number of heads is width ÷ d_head: set d_head");
  });

  it.each([
    ["learning_rate: {values: [0.1, 0.2]}", "got {values}; write the list itself: [0.1, 0.2]"],
    ["learning_rate: {value: 0.1}", "got {value}; write the value itself"],
    [
      "learning_rate: {min: 0.001, max: 0.1, distribution: log_uniform_values}",
      "a grid is {log2: {from: -10, to: -3}}; random draws are {log_uniform: {from: 0.001, to: 0.1}} under random.distributions",
    ],
    [
      "beta2: {min: 0.9, max: 0.99}",
      "random draws are {uniform: {from: 0.9, to: 0.99}} under random.distributions",
    ],
    ["learning_rate: '0.1,0.2'", 'got the text "0.1,0.2"; several values are a list: [0.1, 0.2]'],
    ["learning_rate: 'choice(0.1, 0.2)'", "several values are a list: [0.1, 0.2]"],
    ["learning_rate: 'interval(0.1, 0.2)'", "a grid is {log2:"],
    ["width: 'range(64, 256, 64)'", "{linear:"],
  ])("%s", (axes, hint) => {
    expect(ofAxes(axes)).toContain(hint);
  });

  it.each([
    ["learning_rate: {log2: {min: -9, max: -2}}", "a grid is {log2: {from: -9, to: -2}}"],
    [
      "learning_rate: {multiples_of: 3, log10: {from: -3, to: -1}}",
      "{multiples_of: 3, log2: {from: -10, to: -3}}",
    ],
    ["learning_rate: {log10: {start: -4, stop: -2, num: 5}}", "{log10: {from: -4, to: -2, step: 0.5}}"],
    ["beta2: {linear: {from: 0.9, to: 0.99, num: 4}}", "{linear: {from: 0.9, to: 0.99, step: 0.03}}"],
    // "steps" is not "step" mistyped: of 5 there would be one rate.
    ["learning_rate: {log10: {from: -4, to: -2, steps: 5}}", "{log10: {from: -4, to: -2, step: 0.5}}"],
    ["learning_rate: {log2: {from: -9, to: -5, n: 3}}", "{log2: {from: -9, to: -5, step: 2}}"],
    ["learning_rate: {log2: [-9, -8, -7]}", "a grid is {log2: {from: -9, to: -7}}"],
    ["learning_rate: {log10: [-4, -3.5, -3]}", "a grid is {log10: {from: -4, to: -3, step: 0.5}}"],
    ["learning_rate: {log2: [-9, -8, -7, -5]}", "write the list itself: [2^-9, 2^-8, 2^-7, 2^-5]"],
    ["width: {log2: [5, 6, 8]}", "write the list itself: [32, 64, 256]"],
    ["learning_rate: {multiples_of: 3, log2: [-3, -2, -1]}", "write the list itself: [0.375, 0.75, 1.5]"],
    ["learning_rate: {low: 0.001, high: 0.1, log: true}", "{log_uniform: {from: 0.001, to: 0.1}}"],
    ["learning_rate: {choices: [0.1, 0.2]}", "write the list itself: [0.1, 0.2]"],
    ["learning_rate: {grid_search: [0.1, 0.2]}", "write the list itself: [0.1, 0.2]"],
    ["learning_rate: {loguniform: [0.001, 0.1]}", "{log_uniform: {from: 0.001, to: 0.1}}"],
    ["learning_rate: {distribution: normal, mu: 0.1, sigma: 0.01}", "{uniform: {from: 0.08, to: 0.12}}"],
    ["learning_rate: {distribution: normal, mu: 0, sigma: 1}", "random draws stand under random"],
    [
      "learning_rate: {min: -9, max: -2, distribution: log_uniform}",
      "{log_uniform: {from: 0.00012341, to: 0.135335}}",
    ],
    ["learning_rate: 'tune.loguniform(1e-4, 1e-1)'", "{log_uniform: {from: 0.0001, to: 0.1}}"],
    [
      "learning_rate: 'trial.suggest_float(\"lr\", 1e-4, 1e-1, log=True)'",
      "{log_uniform: {from: 0.0001, to: 0.1}}",
    ],
    ["learning_rate: 'loguniform(1e-4, 1e-1)'", "{log_uniform: {from: 0.0001, to: 0.1}}"],
    ["learning_rate: 'np.logspace(-4, -1, 4)'", "{log10: {from: -4, to: -1, step: 1}}"],
    ["learning_rate: 'logspace(1e-4, 1e-1)'", "a grid is {log2: {from: -14, to: -3}}"],
    ["width: 'range(64, 256, 64)'", "{linear: {from: 64, to: 192, step: 64}}"],
    ["width: {min: 64, max: 256}", "random draws are {choice: [64, 128, 256]}"],
    ["beta2: {min: 0.9, max: 0.99}", "a grid is {linear: {from: 0.9, to: 0.99, step: 0.0225}}"],
    ["schedule: {values: [linear, cosine]}", "[linear, cosine]"],
    ["seed: {value: 3}", "write a list: [3]"],
    ["settings: {dropout: {values: [0, 0.1]}}", "[0, 0.1]"],
    [
      "random: {n: 2, distributions: {learning_rate: {values: [0.1, 0.2]}}}",
      "write the list under choice: {choice: [0.1, 0.2]}",
    ],
    [
      "random: {n: 2, distributions: {learning_rate: {min: 0.1, max: 0.2}}}",
      "write {uniform: {from: 0.1, to: 0.2}}",
    ],
    [
      "random: {n: 2, distributions: {learning_rate: 'loguniform(0.1, 0.2)'}}",
      "write {log_uniform: {from: 0.1, to: 0.2}}",
    ],
  ])("%s: what is suggested is valid in its place", (axes, hint) => {
    const problem = ofAxes(axes);
    expect(problem).toContain(hint);
    // One mistake is told as one.
    expect(problem.split("\n").filter((line) => line.includes("expected a map"))).toEqual([]);
    const key = axes.startsWith("random")
      ? "learning_rate"
      : axes.startsWith("settings")
        ? "dropout"
        : axes.split(":")[0];
    const [, said = ""] =
      /; ((?:write|a grid is|several values are|random draws are) .*)/.exec(problem) ?? [];
    let tried = 0;
    for (const part of said.replace(RANGES, "").split("; ")) {
      const [, suggested, under] =
        /^[^[{]*?((?:\[|\{).*?)(?: (under random\.distributions))?$/.exec(part) ?? [];
      if (suggested === undefined) continue;
      tried++;
      const isDraw = under !== undefined || axes.startsWith("random");
      const pasted = isDraw
        ? `random: {n: 2, distributions: {${key}: ${suggested}}}`
        : axes.startsWith("settings")
          ? `settings: {${key}: ${suggested}}`
          : `${key}: ${suggested}`;
      expect([
        pasted,
        ofAxes(pasted)
          .split("\n")
          .filter((line) => line.includes(`.${key}`)),
      ]).toEqual([pasted, []]);
    }
    expect(tried > 0).toBe(!hint.endsWith("under random"));
  });

  it.each([
    ["model", "width: [32, 64]", "several values stand under axes: width: [32, 64]"],
    ["model", "width: {values: [32, 64]}", "several values stand under axes: width: [32, 64]"],
    ["training", "steps: {value: 5}", "write the value itself: 5"],
    [
      "training",
      "steps: {min: 64, max: 256}",
      "several values stand under axes: a grid is {log2: {from: 6, to: 8}}",
    ],
    ["base", "learning_rate: [0.1, 0.2]", "several values stand under axes: learning_rate: [0.1, 0.2]"],
  ])("values in the section %s: %s", (section, theirs, hint) => {
    const text = sweepText({}).replace(new RegExp(`\n${section}: {[^\n]*`), `\n${section}: { ${theirs} }`);
    expect(problemsOf(text).join("\n")).toContain(hint);
  });

  it("values in a coordinate check", () => {
    const text = `${sweepText({})}\ncoordinate_check: {width: {values: [32, 64]}}\n`;
    expect(problemsOf(text).join("\n")).toContain(
      "coordinate_check.width: expected a whole number, or a list of such values",
    );
    expect(problemsOf(text).join("\n")).toContain("write the list itself: [32, 64]");
  });

  it.each([
    [
      "learning_rate: {log10: {from: 1e-4, to: 1e-2}}",
      "10^0.0001 and ends at 10^0.01",
      "{log10: {from: -4, to: -2}}",
    ],
    [
      "learning_rate: {log10: {from: 1e-4, to: 1}}",
      "10^0.0001 and ends at 10^1",
      "{log10: {from: -4, to: 0}}",
    ],
    [
      "learning_rate: {log2: {from: 0.001, to: 0.1}}",
      "2^0.001 and ends at 2^0.1",
      "{log2: {from: -10, to: -3}}",
    ],
    [
      "learning_rate: {multiples_of: 0.01, log2: {from: 0.125, to: 1}}",
      "2^0.125 and ends at 2^1",
      "{multiples_of: 0.01, log2: {from: -3, to: 0}}",
    ],
    ["width: {log2: {from: 64, to: 512}}", "2^64 and ends at 2^512", "{log2: {from: 6, to: 9}}"],
    ["density: {log2: {from: 0.125, to: 1}}", "2^0.125 and ends at 2^1", "{log2: {from: -3, to: 0}}"],
    [
      "settings: {noise: {log2: {from: 0.125, to: 0.5}}}",
      "2^0.125 and ends at 2^0.5",
      "{log2: {from: -3, to: -1}}",
    ],
  ])("values where exponents stand: %s", (axes, ends, suggested) => {
    expect(ofAxes(axes)).toContain(
      `from and to are exponents: the range begins at ${ends}; write ${suggested}`,
    );
    const pasted = axes.replace(/\{(multiples_of|log).*?\}\}/, suggested);
    expect(ofAxes(pasted)).not.toContain("exponents");
  });

  it.each([
    ["learning_rate: {log10: {from: 1, to: 1}}", true],
    ["alpha_input: {log2: {from: 0.25, to: 1, step: 0.25}}", true],
    ["alpha_input: {log2: {from: 0, to: 0.5, step: 0.5}}", true],
    // Nothing that could be suggested: 2^0 is no sparsity.
    ["sparsity: {log2: {from: 0.5, to: 0.9}}", false],
  ])("exponents that are meant, or mean nothing else: %s", (axes, isValid) => {
    expect(ofAxes(axes)).not.toContain("; write");
    expect(ofAxes(axes) === "").toBe(isValid);
  });

  it.each([
    ["learning_rate", "2**-8", "2^-8"],
    ["learning_rate", "2 ** (-8)", "2^-8"],
    ["learning_rate", "1/256", "2^-8"],
    ["init_std", "1/1000", "0.001"],
    ["learning_rate", "10^-3", "0.001"],
    ["sparsity", "75%", "0.75"],
    ["warmup_steps", "0.05k", "50"],
    ["batch_size", "1_000", "1000"],
    ["batch_size", "'1,000'", "1000"],
    ["width", "2^7", "128"],
    ["tied_embeddings", "yes", "true"],
  ])("%s: %s is written %s", (name, theirs, ours) => {
    for (const axes of [`${name}: ${theirs}`, `${name}: [${theirs}]`])
      expect(ofAxes(axes)).toMatch(new RegExp(`got the text "[^"]*"; write ${ours.replace("^", "\\^")}$`));
    expect(ofAxes(`${name}: ${ours}`)).toBe("");
  });

  it.each([
    ["learning_rate: -9", "got -9; if an exponent is meant, write 2^-9"],
    ["log2_lr: [-9, -8]", 'unknown key "log2_lr"; write learning_rate: {log2: {from: -9, to: -8}}'],
    ["log2_lr: [-9, -8, -5]", "write learning_rate: [2^-9, 2^-8, 2^-5]"],
    ["log2_learning_rate: {from: -9, to: -5}", "write learning_rate: {log2: {from: -9, to: -5}}"],
    ["log10_lr: -3", "write learning_rate: [0.001]"],
  ])("an exponent where its power is wanted: %s", (axes, end) => {
    expect(ofAxes(axes).split("\n")).toEqual([expect.stringContaining(end)]);
    expect(ofAxes(axes).slice(-end.length)).toBe(end);
    const suggested = end.replace(/.*write /, "");
    expect(ofAxes(suggested.includes(":") ? suggested : `learning_rate: ${suggested}`)).toBe("");
  });

  it.each([
    ["norm", "rms", "rmsnorm"],
    ["precision", "bf16-mixed", "bfloat16"],
    ["precision", "32", "float32"],
    ["schedule", "constant_with_warmup", "constant"],
  ])("word for %s: %s is %s", (name, theirs, ours) => {
    expect(ofAxes(`${name}: ${theirs}`)).toMatch(new RegExp(`; did you mean "${ours}"\\?$`));
  });

  it.each([
    ["training", "device: cuda", 'unknown key "device"; it stands at the top of the file'],
    ["axes", "extend: {max: 3}", 'unknown key "extend"; it stands at the top of the file'],
    ["", "optimizer: {beta2: 0.9}", 'unknown key "optimizer"; did you mean training.optimizer?'],
    ["", "ffn: {ratio: 4}", 'unknown key "ffn"; did you mean model.ffn?'],
    ["", "random: {n: 3}", 'unknown key "random"; did you mean axes.random?'],
    ["model", "mlp_ratio: 4", "a ratio is model.ffn.ratio, for all models; an axis is over widths"],
  ])("keys in the wrong section %s: %s", (section, key, hint) => {
    const text = sweepText({ axes: "axes: { parameterization: sp, learning_rate: 0.1 }" });
    const misplaced = section === "" ? `${text}\n${key}\n` : text.replace(`\n${section}: {`, `$& ${key},`);
    expect(problemsOf(misplaced).join("\n")).toContain(hint);
  });

  it.each([
    ["learning_rate: '1e-3'", "; write it without quotes: 1e-3"],
    ["width: ['64']", "; write it without quotes: 64"],
    ["tied_embeddings: 'true'", "; write it without quotes: true"],
    ["learning_rate: fast", 'got the text "fast"'],
    ["learning_rate: 2^x", 'got the text "2^x"'],
    // No width.
    ["width: 1/256", 'got the text "1/256"'],
    ["learning_rate: 0.1,0.2", 'unknown key "0.2"; several values are a list, in brackets, such as [1, 2]'],
  ])("quotes and signs: %s", (axes, end) => {
    expect(ofAxes(axes).slice(-end.length)).toBe(end);
  });

  it("text that looks like something else stands in quotes", () => {
    expect(problemsOf(sweepText({ name: "name: 123" }))).toEqual([
      'name: expected text; got 123; write it in quotes: "123"',
    ]);
    expect(problemsOf(sweepText({ name: 'name: "123"' }))).toEqual([]);
  });

  it.each([
    ["learning_rate: {values: [2**-8, 1/128]}", "write the list itself: [0.00390625, 0.0078125]"],
    ["learning_rate: '2^-8, 2^-7'", "several values are a list: [0.00390625, 0.0078125]"],
    ["learning_rate: {values: [0.1, fast]}", "; several values are a list, in brackets"],
    ["width: {value: '64'}", "write the value itself: 64"],
  ])("numbers in another tool's list: %s", (axes, hint) => {
    expect(ofAxes(axes).slice(-hint.length)).toBe(hint);
  });

  it.each([
    ["seed: range(3)", "write {count: 3}"],
    ["seed: {min: 1, max: 5}", "write {count: 5}"],
    ["seed: {min: 10, max: 12}", "write {count: 3, first: 10}"],
    ["seed: 'tune.randint(0,10)'", "write {count: 10}"],
    ["seed: {linear: {from: 1, to: 3, step: 1}}", "write {count: 3}"],
    ["seed: {n: 4}", "write {count: 4}"],
    ["seed: {values: ['1', 2]}", "write a list: [1, 2]"],
    ["seeds: 3", "write seed: {count: 3}"],
  ])("seeds: %s", (axes, hint) => {
    const problem = ofAxes(axes);
    expect(problem.split("\n")).toHaveLength(1);
    expect(problem.slice(-hint.length)).toBe(hint);
    const suggested = hint.replace(/^[a-z ]*:? ?(?=[{[]|seed:)/, "");
    expect(ofAxes(suggested.startsWith("seed") ? suggested : `seed: ${suggested}`)).toBe("");
  });

  it.each([
    ["seed: {distribution: q_uniform}", "; write {count: 3} for three seeds"],
    ["seed: {log2: {from: 1, to: 3}}", "; write {count: 3} for three seeds"],
    ["seeds: [1, 2]", '; did you mean "seed"?'],
  ])("seeds that are not counted: %s", (axes, end) => {
    expect(ofAxes(axes).slice(-end.length)).toBe(end);
  });

  it.each([
    ["model: {n_embd: 64, layers: 2, d_head: 16, block_size: 32}", 2],
    ["training: {max_iters: 100, batch: 8}", 2],
    ["training: {epochs: 3, batch_size: 8}", 1],
    ["base: {width: 256, lr: 0.1}", 1],
  ])("name is one mistake, and no hyperparameter is missing for it: %s", (text, mistakes) => {
    const problems = problemsOf(sweepText({ [text.split(":")[0]!]: text }));
    expect(problems).toHaveLength(mistakes);
    for (const problem of problems) expect(problem).toContain("unknown key");
  });

  it("what is left empty by a mistake is none", () => {
    expect(ofAxes("together: [{lr: 0.1}]").split("\n")).toHaveLength(1);
    expect(ofAxes("random: {n: 1, distributions: {lr: {choice: [0.1]}}}").split("\n")).toHaveLength(1);
    const own = `phases: [{name: a, axes: {parameterization: [μP], width: [x]}}]`;
    expect(problemsOf(sweepText({ axes: own }))).toHaveLength(2);
  });

  it.each([
    ["axes", "betas: 1", "each has a name: set beta1 and beta2"],
    ["training", "betas: 1", "each has a name: set training.optimizer.beta1 and training.optimizer.beta2"],
    ["training", "epochs: 3", "a run's length is not counted in epochs: set steps or tokens"],
    ["axes", "min_lr: 1e-5", "the last rate is a share of the peak: set final_fraction"],
    [
      "training",
      "warmup: 10",
      "a warm-up is so many steps, or a share of them: set warmup_steps or warmup_fraction",
    ],
    ["axes", "max_position_embeddings: 64", 'did you mean "sequence_length"?'],
    ["training", "adam_epsilon: 1e-8", "did you mean training.optimizer.eps or axes.eps?"],
    ["training", "lr_scheduler_type: cosine", 'did you mean "schedule"?'],
    ["training", "optimizer: {lr: 0.1}", "did you mean base.learning_rate or axes.learning_rate?"],
    ["axes", "optimizer.beta2: 0.9", 'did you mean "beta2"?'],
    ["axes", "training.batch_size: 8", 'did you mean "batch_size"?'],
    ["axes", "model.ffn.width: 8", 'did you mean "ffn_width"?'],
    ["axes", "base.width: 8", 'did you mean "base_width"?'],
    ["", "training.optimizer.beta2: 8", "write training: {optimizer: {beta2: …}}"],
  ])("key in %s: %s", (section, key, hint) => {
    const text = sweepText({});
    const misplaced =
      section === "" ? `${text}${key}\n` : text.replace(new RegExp(`\n${section}: \\{`), `$&${key}, `);
    expect(problemsOf(misplaced)).toEqual([expect.stringMatching(/unknown key "[^"]+"; /)]);
    expect(problemsOf(misplaced)[0]!.slice(-hint.length)).toBe(hint);
  });

  it.each([
    [
      "a sweep of Weights & Biases",
      "program: train.py\nmethod: bayes\nmetric: {name: val_loss, goal: minimize}\nparameters: {lr: {min: 1e-4, max: 0.1}}",
    ],
    [
      "a configuration of Hydra",
      "defaults: [_self_]\nhydra: {sweeper: {params: {lr: 'choice(1, 2)'}}}\nmodel: {dim: 3}",
    ],
  ])("whole file is said to be one: %s", (what, text) => {
    expect(problemsOf(text)).toEqual([expect.stringContaining(`this is ${what}; \`musweep init\` writes`)]);
  });

  it.each(["parameters", "hyperparameters", "grid"])(
    "axes may be called %s: what is in them is looked at",
    (key) => {
      const text = sweepText({
        axes: `${key}: {parameterization: sp, lr: [0.1], width: {values: [32, 64]}}`,
      });
      expect(problemsOf(text)).toEqual([
        `${key}: unknown key "${key}"; did you mean "axes"?`,
        `${key}.lr: unknown key "lr"; did you mean "learning_rate"?`,
        expect.stringMatching(new RegExp(`^${key}\\.width: .*write the list itself: \\[32, 64\\]$`)),
      ]);
    },
  );

  it.each([
    [
      "{from: 1e-4, to: 1e-2, scale: log}",
      "{log2: {from: -14, to: -6}}",
      "{log_uniform: {from: 0.0001, to: 0.01}}",
    ],
    [
      "{from: 1e-4, to: 1e-2, n: 5}",
      "{log10: {from: -4, to: -2, step: 0.5}}",
      "{uniform: {from: 0.0001, to: 0.01}}",
    ],
    ["{from: 0.001, to: 0.005, num: 5}", "{linear: {from: 0.001, to: 0.005, step: 0.001}}", "{uniform:"],
    // log10 of 0.0003 is −3.52288; of the way to −2 a quarter is 0.38072.
    [
      "{min: 3e-4, max: 1e-2, count: 5, type: log}",
      "{log10: {from: -3.52288, to: -2, step: 0.38072}}",
      "{log_uniform:",
    ],
    ["{from: 0.1, to: 0.3, step: 0.1}", "{linear: {from: 0.1, to: 0.3, step: 0.1}}", "{uniform:"],
    ["{from: -8, to: -4}", "{log2: {from: -8, to: -4}}", ""],
    ["{log: {from: 1e-4, to: 1e-2}}", "{log2: {from: -14, to: -6}}", "{log_uniform:"],
    ["{logspace: [-4, -1, 7]}", "{log10: {from: -4, to: -1, step: 0.5}}", ""],
    ["{logspace: {start: -4, stop: -1, num: 7}}", "{log10: {from: -4, to: -1, step: 0.5}}", ""],
    ["'np.logspace(-4, -1, 4, base=2)'", "{log2: {from: -4, to: -1, step: 1}}", ""],
    ["{linspace: [0.1, 0.5, 5]}", "{linear: {from: 0.1, to: 0.5, step: 0.1}}", ""],
    ["{geomspace: [1e-4, 1e-1, 4]}", "{log10: {from: -4, to: -1, step: 1}}", "{log_uniform:"],
    ["'np.geomspace(1e-4, 1e-1, 4)'", "{log10: {from: -4, to: -1, step: 1}}", "{log_uniform:"],
  ])("range %s: as many values as it says, in the spacing it says", (theirs, grid, drawn) => {
    const problems = ofAxes(`learning_rate: ${theirs}`).split("\n");
    expect(problems).toEqual([expect.stringContaining(`; a grid is ${grid}`)]);
    expect(problems[0]).toContain(drawn);
    expect(ofAxes(`learning_rate: ${grid}`)).toBe("");
  });

  it.each([
    ["learning_rate: {log2: {from: 2^-10, to: -4}}", "log2.from", "-10"],
    ["learning_rate: {log10: {from: -3, to: '1e-2'}}", "log10.to", "-2"],
    ["learning_rate: {multiples_of: 1e-3, log2: {from: 1/4, to: 2}}", "log2.from", "-2"],
  ])("a power where its exponent stands: %s", (axes, place, exponent) => {
    expect(ofAxes(axes)).toMatch(
      new RegExp(`^axes\\.learning_rate\\.${place}: .*; from and to are exponents: write ${exponent}$`),
    );
  });

  it("takes no longer for texts and ranges that nobody wrote by hand", () => {
    const calls = `${"tag(log,".repeat(50_000)}1${")".repeat(50_000)}`;
    expect(ofAxes(`learning_rate: '${calls}'`)).toContain("got the text");
    expect(ofAxes("learning_rate: {linear: {start: 1, stop: 2, num: 90000}}")).toContain(
      "a grid is {log2: {from: -9",
    );
  });

  it("is not seen where a text is only wrong", () => {
    expect(ofAxes("learning_rate: fast")).not.toContain("list:");
    expect(problemsOf(sweepText({}).replace(/^name: .*$/m, "name: a,b")).join()).not.toContain("a list:");
  });
});
