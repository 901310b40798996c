/** Phases in a sweep file: what they inherit, and every mistake in them at its own place. */
import { describe, expect, it } from "vitest";
import { expandPhase } from "../../../orchestrator/sweep/expand-sweep.ts";
import { needsOfPhase } from "../../../orchestrator/sweep/needs-of-phase.ts";
import { parseSweep, parseSweepFile } from "../../../orchestrator/sweep/parse-sweep.ts";
import { DATA } from "../../support/database.ts";
import { errorOf, marked } from "./small-sweep.ts";

const HEAD = `name: small
data: {corpus: moby-dick}
model: {width: 64, layers: 2, d_head: 16, sequence_length: 32}
training: {steps: 100, batch_size: 8, optimizer: {beta1: 0.8}}
base: {width: 64, learning_rate: 0.01}
`;
const PROXY =
  "{name: proxy, axes: {parameterization: [mup, supar], sparsity: [0, 0.5], learning_rate: [0.1, 0.2]}}";

function expectProblems(text: string, messages: RegExp[]): void {
  const { text: plain, places } = marked(text);
  const { problems } = errorOf(plain);
  expect(problems.map(({ line, column }) => ({ line, column }))).toEqual(places);
  for (const [i, message] of messages.entries())
    expect(`${problems[i]?.path}: ${problems[i]?.message}`).toMatch(message);
  expect(problems).toHaveLength(messages.length);
}

describe("a phase", () => {
  it("is trained where it says, else where the file says; where nobody could is a mistake", () => {
    const axes = "axes: {parameterization: [supar], learning_rate: [0.1]}";
    const { phases } = parseSweep(
      `${HEAD}device: cuda
phases:
  - {name: a, ${axes}}
  - {name: b, device: cpu, engine: musweep-cpu, ${axes}}
  - {name: c, device: any, training: {precision: bfloat16}, ${axes}}
  - {name: d, device: cpu, ${axes.replace("}", ", precision: [float32, bfloat16]}")}}
`,
      "small.yaml",
    );
    expect(phases.map(needsOfPhase)).toEqual([
      ["musweep@cuda"],
      ["musweep-cpu@cpu"],
      ["musweep-torch"],
      ["musweep@cpu", "musweep-torch@cpu"],
    ]);
    expect(phases.map((phase) => [...expandPhase(phase, DATA).cells()][0]!.run)[0]).toBe(
      [...expandPhase(phases[1]!, DATA).cells()][0]!.run,
    );
    expectProblems(
      `${HEAD}engine: musweep-cpu
phases:
  - {name: a, device: §cuda, ${axes}}
  - {name: b, engine: §musweep-cpu, training: {precision: bfloat16}, ${axes}}
  - {name: c, device: §tpu, ${axes}}
`,
      [
        /^phases\[0\]\.device: musweep-cpu has no GPUs; expected cpu, or engine: musweep-torch$/,
        /^phases\[1\]\.engine: musweep-cpu has no bfloat16; expected musweep-torch, or none$/,
        /^phases\[2\]\.device: expected cpu, cuda, any; got the text "tpu"; did you mean "cpu"\?$/,
      ],
    );
    expectProblems(`${HEAD}trainer: mine\n§engine: musweep-torch\n${axes}\n`, [
      /^engine: the trainer mine has no engines; remove engine$/,
    ]);
    expectProblems(`${HEAD}trainer: §torch\n${axes}\n`, [/^trainer: .*write engine: musweep-torch/]);
  });

  it("has the file's sections, with its own values over them; a file without phases is one phase, grid", () => {
    const { phases } = parseSweep(
      `${HEAD}phases:
  - name: proxy
    model: {width: 32, ffn: {width: 80}}
    training: {tokens: 5120, optimizer: {beta2: 0.9}}
    base: {ffn_width: 80, overrides: {supar: {alpha_input: 2}}}
    axes: {parameterization: [supar], learning_rate: [0.1]}
    extend: {max: 2}
  - name: target
    axes: {parameterization: [supar], learning_rate: {from: proxy}}
`,
      "small.yaml",
    );
    const [proxy, target] = phases;
    // 5120 tokens are 20 steps of 8 × 32; the file's own 100 steps are silenced.
    expect(
      [...expandPhase(proxy, { hash: "0123456789abcdef", vocab_size: 256 }).cells()][0]!.plan,
    ).toMatchObject({
      steps: 20,
      shape: { d_model: 32, d_ffn: 80, layers: 2 },
      optimizer: { beta1: 0.8, beta2: 0.9 },
      forward: { embedding_multiplier: 2 },
    });
    expect(proxy).toMatchObject({ name: "proxy", extend: { max: 2 }, allow_unbracketed: false });
    expect(target).toMatchObject({ name: "target", model: { width: 64 }, training: { steps: 100 } });
    expect(target).not.toHaveProperty("extend");
    const single = parseSweep(`${HEAD}axes: {parameterization: sp}\n`, "small.yaml").phases;
    expect(single).toMatchObject([{ name: "grid", model: { width: 64 } }]);
  });

  it("with what it takes known only later has its points counted: two rates or three, per parameterization", () => {
    const { phases } = parseSweep(
      `${HEAD}phases:
  - ${PROXY}
  - {name: a, axes: {parameterization: [mup, supar], learning_rate: {from: proxy, at: {sparsity: 0}}}}
  - {name: b, axes: {parameterization: [mup], width: [32, 64], learning_rate: {from: proxy, at: {density: 0.5}, multiples: [1, 2]}}}
`,
      "small.yaml",
    );
    const data = { hash: "0123456789abcdef", vocab_size: 256 };
    expect(phases.map((phase) => expandPhase(phase, data).counts().cells)).toEqual([8, 6, 4]);
  });
});

describe("mistakes in phases", () => {
  it("where values come from, and which", () => {
    expectProblems(
      `${HEAD}phases:
  - {name: first, axes: {parameterization: [mup], learning_rate: {from: §proxy}}}
  - ${PROXY}
  - name: target
    axes:
      - {parameterization: [supar], learning_rate: {from: §prxy}}
      - {parameterization: [supar], learning_rate: {from: §target}}
      - {parameterization: [supar], learning_rate: {from: §later}}
      - {parameterization: [supar], learning_rate: {from: proxy, at: {sparsity: §0.25}}}
      - {parameterization: [supar], learning_rate: {from: proxy, at: {§widht: 64, sparsity: 0}}}
      - {parameterization: [supar], learning_rate: {from: proxy, at: {§d_head: 16}}}
      - {parameterization: [supar], §learning_rate: {from: proxy}}
      - {parameterization: [sp], learning_rate: {from: §proxy, at: {sparsity: 0}}}
      - {parameterization: [supar], learning_rate: 0.1, init_std: {from: §proxy}}
      - {together: [{parameterization: supar}], §learning_rate: {from: proxy, at: {sparsity: 0}}}
      - {parameterization: [supar], learning_rate: {from: proxy, at: {sparsity: 0}, multiples: [§0]}}
  - ${PROXY.replace("proxy", "later")}
`,
      [
        /^phases\[0\]\.axes\.learning_rate\.from: phase "proxy" comes later; expected an earlier phase, and this is the first$/,
        /^phases\[2\]\.axes\[0\]\.learning_rate\.from: there is no phase "prxy"; did you mean "proxy"\?$/,
        /^phases\[2\]\.axes\[1\]\.learning_rate\.from: phase "target" would take from itself; expected an earlier phase: first, proxy$/,
        /^phases\[2\]\.axes\[2\]\.learning_rate\.from: phase "later" comes later; expected an earlier phase: first, proxy$/,
        /^phases\[2\]\.axes\[3\]\.learning_rate\.at\.sparsity: matches no curve of phase "proxy", whose sparsity is 0, 0\.5$/,
        /^phases\[2\]\.axes\[4\]\.learning_rate\.at\.widht: unknown key "widht"; did you mean "width"\?$/,
        /^phases\[2\]\.axes\[5\]\.learning_rate\.at\.d_head: phase "proxy" does not vary d_head; expected among parameterization, width, sparsity, layers$/,
        /^phases\[2\]\.axes\[6\]\.learning_rate: matches 2 supar curves of phase "proxy"; expected at: \{…\} to choose one by sparsity$/,
        /^phases\[2\]\.axes\[7\]\.learning_rate\.from: phase "proxy" has no sp; expected in its axes, or at: \{parameterization: …\} to take from another$/,
        /^phases\[2\]\.axes\[8\]\.init_std\.from: phase "proxy" does not vary init_std; expected an axis over it there$/,
        /^phases\[2\]\.axes\[9\]\.learning_rate: is taken per parameterization; expected parameterization as an axis of the same grid$/,
        /^phases\[2\]\.axes\[10\]\.learning_rate\.multiples\[0\]: expected more than 0; got 0$/,
      ],
    );
  });

  it("of their own sections, at the phase that has them or at the file", () => {
    expectProblems(
      `${HEAD.replace("width: 64", "width: §64").replace("d_head: 16", "d_head: 24")}phases:
  - name: proxy
    model: {width: 48, §widht: 3}
    axes: {parameterization: [mup], sparsity: [0, §§0.999]}
    extend: {max: §0}
  - name: §proxy
    axes: {parameterization: [mup]}
    §refine: {§budgt: 3}
    §allow: true
`,
      [
        /^model\.width: width 64 is not divisible by d_head 24/,
        /^phases\[0\]\.model\.widht: unknown key "widht"; did you mean "width"\?$/,
        /^phases\[0\]\.axes\.sparsity\[1\]: sparsity 0\.999 leaves neurons of the attention/,
        /^phases\[0\]\.axes\.sparsity\[1\]: sparsity 0\.999 leaves neurons of the feed-forward down/,
        /^phases\[0\]\.extend\.max: expected more than 0; got 0$/,
        /^phases\[1\]\.name: there is already a phase "proxy"$/,
        /^phases\[1\]: "budget" is missing|^phases\[1\]\.refine: "budget" is missing/,
        /^phases\[1\]\.refine\.budgt: unknown key "budgt"; did you mean "budget"\?$/,
        /^phases\[1\]\.allow: unknown key "allow"/,
      ],
    );
  });

  it("of what is tuned: an axis is missing; there is nothing of that name; several curves to take it from", () => {
    expectProblems(`${HEAD}tune: §init_std\naxes: {parameterization: [supar], learning_rate: [0.1, 0.2]}\n`, [
      /^tune: init_std is not varied; expected an axis over it$/,
    ]);
    expectProblems(`${HEAD}tune: §width\naxes: {parameterization: [supar], width: [64, 128]}\n`, [
      /^tune: expected learning_rate, init_std, alpha_input, alpha_output; any other number can be an axis beside/,
    ]);
    expectProblems(`${HEAD}tune: §learningrate\naxes: {parameterization: [supar], width: [64, 128]}\n`, [
      /; did you mean "learning_rate"\?$/,
    ]);
    expectProblems(
      `${HEAD}phases:
  - name: inits
    tune: init_std
    axes: {parameterization: [supar], sparsity: [0, 0.5], init_std: [0.1, 0.2], learning_rate: [0.1, 0.2]}
  - name: rates
    axes: {parameterization: [supar], §init_std: {from: inits, at: {sparsity: 0}}}
`,
      [/matches 2 supar curves of phase "inits"; expected at: \{…\} to choose one by learning_rate$/],
    );
  });

  it("what adds runs, and has no curves to add them to: no mistake, since it may come from the file", () => {
    const random = "random: {n: 3, distributions: {learning_rate: {log_uniform: {from: 0.01, to: 0.1}}}}";
    const { text, places } = marked(`${HEAD}§extend: {max: 2}
phases:
  - ${PROXY}
  - {name: one, axes: {parameterization: [supar], batch_size: [4, 8]}}
  - {name: taken, axes: {parameterization: [supar], learning_rate: {from: proxy, at: {sparsity: 0}}}}
  - {name: drawn, §refine: {budget: 9}, axes: {parameterization: sp, ${random}}}
`);
    const { warnings } = parseSweepFile(text, "small.yaml");
    expect(warnings.map(({ path, message }) => `${path}: ${message}`)).toEqual([
      "extend: adds nothing to phase one: without a second value of learning_rate there are no curves",
      "extend: adds nothing to phase drawn: learning rates that are drawn at random make no curves",
      "phases[3].refine: adds nothing to phase drawn: learning rates that are drawn at random make no curves",
    ]);
    expect(new Set(warnings.map(({ line, column }) => `${line}:${column}`))).toEqual(
      new Set(places.map(({ line, column }) => `${line}:${column}`)),
    );
  });

  it("axes beside phases, an axis that takes where there are no phases, no phases at all", () => {
    expectProblems(`${HEAD}§axes: {parameterization: sp}\nphases:\n  - ${PROXY}\n`, [
      /^axes: axes and phases are both given; expected one of them/,
    ]);
    expectProblems(`${HEAD}axes: {parameterization: [sp], learning_rate: {from: §proxy}}\n`, [
      /^axes\.learning_rate\.from: there is no phase "proxy"; expected an earlier phase, and this is the first$/,
    ]);
    expectProblems(`${HEAD}phases: §[]\n`, [/^phases: expected at least 1 value; the list is empty$/]);
  });
});
