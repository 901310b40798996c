/** Every mistake in a sweep file is told at once, each at its own line and column, with what was expected. */
import { describe, expect, it } from "vitest";
import { parseSweep, parseSweepFile } from "../../../orchestrator/sweep/parse-sweep.ts";
import { errorOf, marked, smallSweep, sweepText } from "./small-sweep.ts";

/** Checks that exactly the marked places have a problem, with these messages in the order of the file. */
function expectProblems(text: string, messages: RegExp[]): void {
  const { text: plain, places } = marked(text);
  const { problems } = errorOf(plain);
  expect(problems.map(({ line, column }) => ({ line, column }))).toEqual(places);
  expect(problems).toHaveLength(messages.length);
  for (const [i, message] of messages.entries())
    expect(`${problems[i]?.path}: ${problems[i]?.message}`).toMatch(message);
}

describe("a file with many mistakes", () => {
  const text = `name: §my sweep
data:
  corpus: §moby-dik
  §tokeniser: bytes
model:
  §widht: 64
  layers: §2.5
  d_head: 64
  sequence_length: 32
  ffn: {ratio: 4, §width: 300}
training:
  steps: 30
  batch_size: §16
  micro_batch_size: 5
  warmup_steps: §40
  clip_norm: §0
  optimizer: {name: §sgd, weight_decay: §0.1}
base:
  width: 256
  overrides: {sp: {§alpha_input: 2}}
axes:
  - parameterization: [sp, §supr, supar]
    width: [§abc, 64, §100]
    sparsity: [0, §0.99, §1]
    learning_rate: {§log2: {from: -3}}
    seed: §3
    norm: [rmsnorm, §RMSnorm]
  - parameterization: mup
    together:
      - {width: 64, sparsity: 0.5}
      - §width: 128
    §sparsity: 0.5
    learning_rate: [§-0.5, 0.1]
`;

  it("names all of them", () => {
    expectProblems(text, [
      /^name: expected a name of up to 64 letters.*got the text "my sweep"$/,
      /^data\.corpus: expected state-of-the-union, moby-dick; got the text "moby-dik"; did you mean "moby-dick"\?$/,
      /^data\.tokeniser: unknown key "tokeniser"; did you mean "tokenizer"\?$/,
      /^model\.widht: unknown key "widht"; did you mean "width"\?$/,
      /^model\.layers: expected a whole number; got 2\.5$/,
      /^model\.ffn\.width: unknown key "width"; expected one of ratio, multiple_of$/,
      /^training\.batch_size: batch_size 16 is not divisible by micro_batch_size 5$/,
      /^training\.warmup_steps: the warm-up takes 40 steps, but the run has 30; expected fewer$/,
      /^training\.clip_norm: expected more than 0; got 0$/,
      /^training\.optimizer\.name: no learning-rate rule is derived for "sgd".*expected adamw$/,
      /^training\.optimizer\.weight_decay: weight_decay 0\.1 needs a decay_mode other than none/,
      /^base\.overrides\.sp\.alpha_input: unknown key "alpha_input"; expected one of learning_rate, init_std$/,
      /^axes\[0\]\.parameterization\[1\]: expected sp, .*got the text "supr"; did you mean "supar"\?$/,
      /^axes\[0\]\.width\[0\]: expected a whole number; got the text "abc"$/,
      /^axes\[0\]\.width\[2\]: width 100 is not divisible by d_head 64; the nearest that is: 128$/,
      /^axes\[0\]\.sparsity\[1\]: sparsity 0\.99 leaves neurons of the attention.*width 64 × density 0\.01 is 0\.64 weights per neuron; expected at least 1, so a sparsity of at most 0\.984375$/,
      /^axes\[0\]\.sparsity\[2\]: expected less than 1; got 1$/,
      /^axes\[0\]\.learning_rate\.log2: "to" is missing; expected a number$/,
      /^axes\[0\]\.seed: expected a list of seeds such as \[1, 2\], or \{count: 3\} for three of them; got 3$/,
      /^axes\[0\]\.norm\[1\]: .*got the text "RMSnorm"; did you mean "rmsnorm"\?$/,
      /^axes\[1\]\.together\[1\]: the row has no sparsity; every row sets the same names$/,
      /^axes\[1\]\.sparsity: sparsity is also in together; expected in one place$/,
      /^axes\[1\]\.learning_rate\[0\]: expected more than 0; got -0\.5$/,
    ]);
  });

  it("is an error of usage whose message has one line per mistake, ready to be clicked", () => {
    const error = errorOf(marked(text).text, "dir/my.yaml");
    expect(error).toMatchObject({ code: "sweep-file", kind: "usage", exitCode: 2, file: "dir/my.yaml" });
    const lines = error.message.split("\n");
    expect(lines).toHaveLength(23);
    expect(lines[0]).toMatch(/^dir\/my\.yaml:1:7: name: expected/);
    expect(lines[22]).toMatch(/^dir\/my\.yaml:33:21: axes\[1\]\.learning_rate\[0\]: expected more than 0/);
  });
});

describe("broken YAML", () => {
  it.each([
    ["an open bracket", "name: x\naxes: [1, 2§", /not valid YAML/],
    ["a tab", "§\tname: x", /not valid YAML: Tabs are not allowed/],
    ["two documents", "name: x\n§---\nname: y\n", /not valid YAML.*multiple documents/],
    [
      "a brace that is not closed",
      "name: x\nmodel: {width: 64\n§training: {steps: 1}\nbase: {width: 3}\n",
      /not valid YAML: expected "}" before this, for the "{" in line 2, column 8$/,
    ],
    [
      "a brace before a comment",
      "extend: {max: 3\n§# more\nname: x\n",
      /expected "}" before this, for the "{" in line 1, column 9$/,
    ],
    [
      "the inner one of two braces",
      "axes: {\n  a: {log2: {from: 1, to: 2},\n  b: 3\n§}\nname: x\n",
      /expected "}" before this, for the "{" in line 2, column 6$/,
    ],
    ["a bracket too many", "model: {width: 64}§}\n", /there is no "{" for this "}"$/],
    ["a bracket too few", "model: §width: 64 }\n", /expected "{" before this, for a "}" in the same line$/],
    [
      "no space after a colon",
      "model:\n  §width:64\n  layers: 2\n",
      /expected a key, ": " with its space, and a value$/,
    ],
    [
      "a line too far in",
      "model:\n  width: §64\n   layers: 2\n",
      /the keys of one map begin in the same column/,
    ],
    [
      "a line too far out",
      "model:\n   width: 64\n§  layers: 2\n",
      /the keys of one map begin in the same column/,
    ],
    ["no comma", "model: {width: §64 layers: 2}\n", /expected a comma before the next key/],
    [
      "a quotation mark",
      'name: "x\nmodel: 3\n§',
      /a quotation mark is not closed: the one in line 1, column 7$/,
    ],
    ["a sign of YAML's own", "name: §@x\n", /a text that begins with @ stands in quotes$/],
    [
      "a star",
      "data: {files: §*.txt}\n",
      /\*\.txt repeats an anchor .*; a text that begins with \* stands in quotes$/,
    ],
    ["a backslash", 'data: {file: "C:§\\data"}\n', /no such escape; between single quotes/],
    ["an empty file", "§", /the file is empty/],
    ["only a comment", "§# nothing here\n", /the file is empty/],
    ["a list", "§- 1\n", /expected a map of keys; got a list/],
    ["a bare value", "§sweep\n", /expected a map of keys; got the text "sweep"/],
  ])("%s", (_what, text, message) => expectProblems(text, [message]));

  it("a key given twice", () => {
    expectProblems(sweepText({ name: "name: one\n§name: two" }), [/this key is given twice; expected once/]);
    expectProblems(
      sweepText({ model: "model: {width: 64, layers: 2, d_head: 16, sequence_length: 32, §layers: §x}" }),
      [/given twice/, /model\.layers: expected a whole number/],
    );
  });

  it("a tag that YAML's core does not know", () => {
    expectProblems(sweepText({ name: "name: §!secret x" }), [/Unresolved tag/]);
  });

  it("a small text that would unfold to a huge value", () => {
    const bomb = ["a: &a [1,1,1,1,1,1,1,1,1]"];
    for (const [from, to] of ["ab", "bc", "cd", "de", "ef", "fg"].map((p) => [p[0], p[1]]))
      bomb.push(`${to}: &${to} [${Array(9).fill(`*${from}`).join(",")}]`);
    const { problems } = errorOf(bomb.join("\n"));
    expect(problems[0]?.message).toMatch(/Excessive alias count/);
  });

  it("values of YAML 1.1 that are text in 1.2", () => {
    expectProblems(
      sweepText({
        model: "model: {width: 64, layers: 2, d_head: 16, sequence_length: §1_000, tied_embeddings: §yes}",
      }),
      [
        /sequence_length: expected a whole number; got the text "1_000"/,
        /tied_embeddings: expected true or false; got the text "yes"/,
      ],
    );
  });
});

describe("a misspelt axis", () => {
  it("is told the nearest name, in the one grid of a file as in a list of grids", () => {
    const grid = "{parameterization: sp, §sparsty: [0], learning_rate: [0.01]}";
    for (const axes of [`axes: ${grid}`, `axes: [${grid}]`])
      expectProblems(sweepText({ axes }), [/unknown key "sparsty"; did you mean "sparsity"\?$/]);
  });
});

describe("what is missing", () => {
  it("the whole of it, at the start of the file", () => {
    expectProblems("§§§§§§§§§name: x\n", [
      /^: "data" is missing; expected \{corpus: state-of-the-union\}, \{file/,
      /^: "axes" is missing; expected a map of axes, or a list of such maps/,
      /axes: parameterization is missing; expected as an axis, such as \[sp, mup, supar\]/,
      /model: width is missing; expected under model, or as an axis/,
      /model: layers is missing/,
      /model: sequence_length is missing/,
      /training: batch_size is missing/,
      /training: steps or tokens is missing/,
      /base: learning_rate is missing/,
    ]);
  });

  it("a value that neither its section nor an axis gives, at the section", () => {
    expectProblems(
      sweepText({
        model: "§model: {layers: 2, d_head: 16, sequence_length: 32}",
        training: "§training: {batch_size: 8}",
        axes: "§axes: {seed: [1]}",
      }),
      [/width is missing/, /steps or tokens is missing/, /parameterization is missing; expected as an axis/],
    );
  });

  it("nothing, when an axis or an override gives it", () => {
    smallSweep({
      model: "model: {d_head: 16, sequence_length: 32}",
      training: "training: {}",
      axes: "axes: {parameterization: sp, width: [64], layers: 2, tokens: 5000, batch_size: 4}",
    });
    smallSweep({
      base: "base: {width: 256, overrides: {sp: {learning_rate: 0.1}, supar: {learning_rate: 0.2}}}",
    });
  });

  it("a learning rate that only one of two parameterizations has", () => {
    expectProblems(sweepText({ base: "§base: {width: 256, overrides: {sp: {learning_rate: 0.1}}}" }), [
      /learning_rate is missing/,
    ]);
  });

  it("a base, for a parameterization that scales from one", () => {
    expectProblems(
      sweepText({
        base: "base: {learning_rate: 0.01}",
        axes: "axes:\n  - parameterization: [sp, §mup]\n  - parameterization: §supar-lr-only",
      }),
      [
        /^axes\[0\]\.parameterization\[1\]: base\.width is missing; mup scales from a proxy model's width/,
        /^axes\[1\]\.parameterization: base\.width is missing; supar-lr-only/,
      ],
    );
    smallSweep({ base: "base: {learning_rate: 0.01}", axes: "axes: {parameterization: sp}" });
  });

  it("the base's feed-forward width, when the model's is a number", () => {
    const model = "model: {width: 64, layers: 2, d_head: 16, sequence_length: 32, ffn: {width: 256}}";
    expectProblems(sweepText({ model, axes: "axes: {parameterization: [sp, §supar]}" }), [
      /base\.ffn_width is missing; supar/,
    ]);
    expectProblems(sweepText({ axes: "axes: {parameterization: §supar, ffn_width: [128, 256]}" }), [
      /base\.ffn_width is missing/,
    ]);
    smallSweep({ model, base: "base: {width: 256, ffn_width: 1024, learning_rate: 0.01}" });
  });
});

describe("values that do not fit together", () => {
  it("the axis value is blamed, not the section's", () => {
    expectProblems(
      sweepText({
        axes: "axes: {parameterization: sp, d_head: [16, §24], batch_size: [8, §12], steps: [§9, 100]}",
        training: "training: {steps: 100, batch_size: 8, micro_batch_size: 8, warmup_steps: 9}",
      }),
      [
        /width 64 is not divisible by d_head 24/,
        /batch_size 12 is not divisible/,
        /warm-up takes 9 steps, but the run has 9/,
      ],
    );
  });

  it("in tied rows and ranges", () => {
    expectProblems(
      sweepText({
        axes: `axes:
  parameterization: sp
  together:
    - {width: 64, sparsity: 0.5}
    - {width: 32, sparsity: §0.98}
    - {width: §40, sparsity: 0}`,
      }),
      [/width 32 × density 0\.02 is 0\.64 weights per neuron/, /width 40 is not divisible by d_head 16/],
    );
    expectProblems(
      sweepText({ axes: "axes: {parameterization: sp, width: §{linear: {from: 16, to: 64, step: 8}}}" }),
      // 24, 40 and 56 have one place in the file.
      [/width 24 is not divisible by d_head 16; .*\(and 2 more such values here\)$/],
    );
    expectProblems(
      sweepText({
        axes: "axes: {parameterization: sp, random: {n: 50, distributions: {sparsity: §{uniform: {from: 0.985, to: 0.99}}}}}",
      }),
      [
        /leaves neurons of the attention and feed-forward input matrices without weights.*\(and \d+ more such values here\)$/,
      ],
    );
  });

  it("names the feed-forward down matrix when it is the narrow one", () => {
    expectProblems(
      sweepText({
        model:
          "model: {width: 64, layers: 2, d_head: 16, sequence_length: 32, ffn: {ratio: 0.5}, sparsity: §0.98}",
        axes: "axes: {parameterization: sp}",
      }),
      [/^model\.sparsity: .*feed-forward down matrix without weights: ffn_width 32 × density 0\.02 is 0\.64/],
    );
  });

  it("token ids that their type cannot hold", () => {
    expectProblems(sweepText({ data: "data: {tokens: a.bin, vocab_size: §70000}" }), [
      /data\.vocab_size: 70000 ids do not fit dtype uint16/,
    ]);
    smallSweep({ data: "data: {tokens: a.bin, vocab_size: 70000, dtype: uint32}" });
  });
});

describe("a section of the wrong shape", () => {
  const AXES = "parameterization: sp, learning_rate: [0.01, 0.02]";
  const TRAINING = "training: {steps: 100, batch_size: 8, ?}";
  it.each([
    ["extend: ?", "3", "{max: 3}"],
    ["refine: ?", "100", "{budget: 100}"],
    ["search: ?", "true", "{until: decided, budget: 50%}"],
    ["margin: ?", "1%", "{cost: 1%, octaves: 0.5}"],
    ["coordinate_check: ?", "true", "{width: [64, 128, 256], seeds: 3}"],
    ["model: ?", "3", "{width: 128, layers: 2, sequence_length: 128}"],
    ["training: ?", "3", "{steps: 300, batch_size: 16}"],
    [TRAINING.replace("?", "optimizer: ?"), "adam", "{name: adamw, beta2: 0.95}"],
    [TRAINING.replace("?", "evaluation: ?"), "100", "{every_steps: 100}"],
    [TRAINING.replace("?", "divergence: ?"), "100", "{patience_steps: 100}"],
    ["base: ?", "3", "{width: 256}"],
    ["base: {width: 256, learning_rate: 0.01, overrides: ?}", "[sp]", "{sp: {init_std: 0.02}}"],
    ["base: {width: 256, learning_rate: 0.01, overrides: {sp: ?}}", "0.02", "{init_std: 0.02}"],
    ["phases: ?", "{a: 1}", "[{name: proxy, axes: {parameterization: [sp], learning_rate: [0.01, 0.02]}}]"],
    ["phases: [?]", "1", "{name: proxy, axes: {parameterization: [sp], learning_rate: [0.01, 0.02]}}"],
    [`axes: {${AXES}, together: ?}`, "3", "[{width: 128, sparsity: 0}, {width: 256, sparsity: 0.75}]"],
    [
      "axes: {parameterization: sp, random: ?}",
      "3",
      "{n: 20, distributions: {learning_rate: {log_uniform: {from: 0.001, to: 0.1}}}}",
    ],
  ])("%s: %s is told one that is valid", (section, wrong, example) => {
    const key = section.slice(0, section.indexOf(":"));
    const textWith = (value: string): string => {
      const sections = { axes: `axes: {${AXES}}` };
      const own = section.replace("?", value);
      if (key === "phases") return sweepText({ axes: own });
      return ["extend", "refine", "search", "margin", "coordinate_check"].includes(key)
        ? `${sweepText(sections)}${own}\n`
        : sweepText({ ...sections, [key]: own });
    };
    const shape = example.startsWith("[") ? "a list" : "a map of keys";
    expect(errorOf(textWith(wrong)).problems.map(({ message }) => message)).toEqual([
      expect.stringContaining(`expected ${shape} such as ${example}; got `),
    ]);
    parseSweep(textWith(example), "small.yaml");
  });

  it("a share says that it wants its sign", () => {
    expectProblems(`${sweepText()}noise: §0.2\nmargin: {cost: §0.01}\n`, [
      /^noise: expected a percentage with its sign, above 0% and at most 20%, such as 1%; got 0\.2$/,
      /^margin\.cost: expected a percentage with its sign, .*; got 0\.01$/,
    ]);
  });

  it("a feed-forward width", () => {
    const model = "model: {width: 64, layers: 2, d_head: 16, sequence_length: 32, ffn: §4}";
    expectProblems(sweepText({ model }), [
      /ffn: expected \{ratio: 4\}, or \{width: 512\} for all models; got 4$/,
    ]);
  });

  it.each(["base: {§widht: 256, learning_rate: 0.1}", "base: {§d_model: 256, learning_rate: 0.1}"])(
    "what a misspelt key sets is not missing: %s",
    (base) => expectProblems(sweepText({ base }), [/did you mean "width"\?$/]),
  );
});

describe("data", () => {
  const KINDS =
    /^data: expected \{corpus: state-of-the-union\}, \{file: my\.txt\}, \{files: .*\} or \{tokens: train\.bin, vocab_size: 50257\}; got /;
  it.each([
    ["§{path: x.txt}", KINDS],
    ["§{dataset: openwebtext}", KINDS],
    ["§{fle: x.txt}", /got \{fle\}; did you mean "file"\?$/],
    ["{file: §'https://host/x.txt'}", /expected a file of this machine: nothing is downloaded; got/],
    ["{files: [a.txt, §'s3://bucket/x.txt']}", /expected a file of this machine: nothing is downloaded; got/],
    [
      "{file: §'~/x.txt'}",
      /expected a path from \/ or from the sweep file's directory: only a shell knows what ~ is; got/,
    ],
    ["{tokens: §'~/x.bin', vocab_size: 9}", /only a shell knows what ~ is; got/],
    ["{file: §notes.md}", /any other text, such as notes\.md, is read by \{files: notes\.md\}/],
  ])("%s", (data, message) => expectProblems(sweepText({ data: `data: ${data}` }), [message]));

  it("of any text is read by files", () => {
    smallSweep({ data: "data: {files: notes.md}" });
  });
});

describe("settings of a script's own", () => {
  const own = (sections: Parameters<typeof sweepText>[0]): string =>
    sweepText({ data: "trainer: mine", ...sections });
  it.each([
    ["axes", "axes: {parameterization: sp, §dropout: [0, 0.1]}", "settings.dropout", "dropout"],
    ["axes", "axes: {parameterization: sp, together: [{§dropout: 0.1}]}", "settings.dropout", "dropout"],
    [
      "training",
      "training: {steps: 100, §dropout: 0.1}",
      "settings.dropout, at the top of the file or under axes",
      "",
    ],
    [
      "base",
      "base: {width: 256, learning_rate: 0.1}\n§dropout: 0.1",
      "settings.dropout, here or under axes",
      "dropout",
    ],
  ])("have a place of their own: %s: %s", (section, text, place, key) => {
    expectProblems(own({ [section]: text }), [new RegExp(`; a setting of your own is ${place}$`)]);
    if (key !== "") parseSweep(own({ [section]: text.replace(`§${key}`, `settings.${key}`) }), "small.yaml");
  });

  it("are none of the model that ships", () => {
    const axes = "axes: {parameterization: sp, §dropout: [0, 0.1]}";
    expectProblems(sweepText({ axes }), [/unknown key "dropout"; expected one of parameterization/]);
  });

  it.each([
    ["[0, 0.1]", "settings.dropout: [0, 0.1]"],
    ["{values: [0, 0.1]}", "settings.dropout: [0, 0.1]"],
    ["{log2: {from: -3, to: -1}}", "settings.dropout: {log2: {from: -3, to: -1}}"],
  ])("several values stand under axes: %s", (value, axis) => {
    const message = `; several values stand under axes: ${axis}`;
    const { problems } = errorOf(
      own({ base: `base: {width: 256, learning_rate: 0.1}\nsettings: {dropout: ${value}}` }),
    );
    expect(problems.map((p) => p.message.slice(-message.length))).toEqual([message]);
    parseSweep(own({ axes: `axes: {parameterization: sp, ${axis}}` }), "small.yaml");
  });

  it("are warned of, where a text lists several values", () => {
    const text = `${own({ axes: "axes: {parameterization: sp, settings: {b: 'choice(1, 2)', c: one}}" })}settings: {a: "1,2"}\n`;
    expect(
      parseSweepFile(text, "small.yaml").warnings.map(({ path, message }) => `${path}: ${message}`),
    ).toEqual([
      'axes.settings.b: "choice(1, 2)" is one text; several values are a list: [1, 2]',
      'settings.a: "1,2" is one text; several values stand under axes: settings.a: [1, 2]',
    ]);
  });
});

describe("what excludes each other", () => {
  it("steps and tokens, both warm-ups, in the file", () => {
    expectProblems(
      sweepText({
        training:
          "training: {steps: 100, §tokens: 5000, batch_size: 8, warmup_steps: 5, §warmup_fraction: 0.1}",
      }),
      [/steps and tokens are both given/, /warmup_steps and warmup_fraction are both given/],
    );
  });

  it("the same as axes, and sparsity beside density", () => {
    expectProblems(
      sweepText({
        axes: `axes:
  - §§{parameterization: sp, steps: [10], tokens: [100], sparsity: [0.5], density: [0.5]}
  - {parameterization: sp, density: [0.5]}`,
      }),
      [/sparsity and density are both varied/, /steps and tokens are both varied/],
    );
  });

  it("an axis and a tied row or a random draw over the same name", () => {
    expectProblems(
      sweepText({
        axes: `axes:
  parameterization: sp
  §width: [32]
  §init_std: [0.02]
  together: [{width: 64, seed: 2}]
  random: {n: 2, distributions: {init_std: {choice: [0.1]}}}`,
      }),
      [/width is also in together/, /init_std is also in random/],
    );
    expectProblems(
      sweepText({
        axes: `axes:
  parameterization: sp
  §together: [{width: 64}]
  random: {n: 2, distributions: {width: {choice: [32]}}}`,
      }),
      [/width is also in random/],
    );
  });

  it("a search and what it does by itself, or has no use for", () => {
    const axes = "axes: {parameterization: sp, learning_rate: [0.01, 0.02]}";
    expectProblems(sweepText({ axes: `§extend: {max: 2}\nsearch: {until: decided, budget: 25%}\n${axes}` }), [
      /^extend: extend and search are both given; expected one of them/,
    ]);
    expectProblems(sweepText({ axes: `search: {until: decided, budget: §25 %}\n${axes}` }), [
      /^search\.budget: expected a number of runs, such as 60, or a share of the grid's FLOPs, such as 25%/,
    ]);
    const random = "random: {n: 3, distributions: {learning_rate: {log_uniform: {from: 0.01, to: 0.1}}}}";
    expectProblems(
      sweepText({ axes: `§search: {until: decided}\naxes: {parameterization: sp, ${random}}` }),
      [/^search: search needs curves; expected learning rates that are not drawn at random$/],
    );
  });

  it("an override that an axis silences", () => {
    expectProblems(
      sweepText({
        base: "base: {width: 256, learning_rate: 0.01, overrides: {sp: {§init_std: 0.02}}}",
        axes: "axes: {parameterization: [sp, supar], init_std: [0.02, 0.04]}",
      }),
      [/base\.overrides\.sp\.init_std: has no effect, because init_std is an axis for sp/],
    );
    smallSweep({
      base: "base: {width: 256, learning_rate: 0.01, overrides: {sp: {init_std: 0.02}}}",
      axes: "axes: [{parameterization: sp}, {parameterization: supar, init_std: [0.02, 0.04]}]",
    });
  });
});

describe("axes that give nothing, or far too much", () => {
  it("empty lists, rows, ranges and distributions", () => {
    expectProblems(
      sweepText({
        axes: `axes:
  - {parameterization: sp, width: §[]}
  - {parameterization: sp, together: §[{}]}
  - {parameterization: sp, learning_rate: §{log2: {from: -3, to: -5}}}
  - {parameterization: sp, learning_rate: {log2: {from: -3, to: -1, step: §0}}}
  - {parameterization: sp, §random: {n: 3, distributions: {}}}
  - {parameterization: sp, random: {n: 3, distributions: {init_std: §{uniform: {from: 2, to: 1}}}}}`,
      }),
      [
        /width: expected at least 1 value; the list is empty/,
        /together: the rows are empty/,
        /the range is empty: it goes from -3 to -5; expected from ≤ to/,
        /step: expected more than 0; got 0/,
        /no distributions; expected at least one/,
        /the distribution is empty: it goes from 2 to 1; expected from < to/,
      ],
    );
  });

  it("ranges and distributions that leave a hyperparameter's values", () => {
    expectProblems(
      sweepText({
        axes: `axes:
  - {parameterization: sp, sparsity: §{linear: {from: 0, to: 1, step: 0.25}}}
  - {parameterization: sp, width: §{log2: {from: 4, to: 5, step: 0.5}}}
  - {parameterization: sp, seed: §{count: 2, first: 4294967295}}
  - {parameterization: sp, random: {n: 3, distributions: {beta1: §{uniform: {from: 0.5, to: 1}}}}}`,
      }),
      [
        /a value that sparsity cannot take: expected less than 1; got 1/,
        /a value that width cannot take: expected a whole number; got 22\.6/,
        /a value that seed cannot take: expected at most 4294967295; got 4294967296/,
        /a value that beta1 cannot take: expected less than 1; got 1/,
      ],
    );
  });

  it("more points than a sweep may have", () => {
    expectProblems(
      sweepText({
        axes: `§axes:
  parameterization: [sp, supar]
  learning_rate: {log2: {from: -10, to: -1, step: 0.01}}
  seed: {count: 1000}`,
      }),
      [/1802000 points \(seed 1000 × parameterization 2 × learning_rate 901\); expected at most 1000000/],
    );
    expectProblems(
      sweepText({
        axes: "axes: {parameterization: sp, learning_rate: §{log2: {from: -9, to: 0, step: 0.00001}}}",
      }),
      [/the range has more than 100000 values; expected a larger step/],
    );
  });
});

describe("places", () => {
  it("are those of the file under aliases, comments and Windows line ends", () => {
    expectProblems(
      sweepText({
        model: "x: 1 # é and 😀\r\nmodel: {width: 64, layers: 2, d_head: 16, sequence_length: 32}",
      }).replace("x: 1", "§x: 1"),
      [/unknown key "x"/],
    );
    expectProblems(
      sweepText({
        axes: "axes:\n  - {parameterization: sp, width: &w [64, §40]}\n  - {parameterization: supar, width: *w}",
      }),
      [/width 40 is not divisible/],
    );
  });

  it("are right for list items that come after a wrong one", () => {
    expectProblems(sweepText({ axes: "axes: {parameterization: sp, width: [§-1, 32, §a, §40, 48, §56]}" }), [
      /width\[0\]: expected more than 0/,
      /width\[2\]: expected a whole number/,
      /width\[3\]: width 40/,
      /width\[5\]: width 56/,
    ]);
  });
});
