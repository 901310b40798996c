/** Sweep files of a few hundred bytes to a few hundred kB that are made to keep whoever reads them busy for ever. */

const HEAD = `name: hostile
data: {corpus: moby-dick}
model: {layers: 1, sequence_length: 32}
training: {steps: 30, batch_size: 4}
base: {width: 32}
`;

const lines = (n: number, line: (i: number) => string): string =>
  `${Array.from({ length: n }, (_, i) => line(i)).join("\n")}\n`;
const list = (n: number, item: (i: number) => string): string =>
  `[${Array.from({ length: n }, (_, i) => item(i)).join(", ")}]`;

const POINT = "parameterization: mup, width: 32, d_head: 32";
const SOUND = `axes: {${POINT}, learning_rate: 0.01}\n`;
const THOUSAND = "{linear: {from: 1, to: 1000, step: 1}}";
const HUNDRED_THOUSAND = "{linear: {from: 1, to: 100000, step: 1}}";

/** By what they do. */
export const HOSTILE_SWEEPS = {
  "two axes of 100,000 that a rule compares": `${HEAD}axes: {parameterization: mup, learning_rate: 0.01, width: ${HUNDRED_THOUSAND}, d_head: ${HUNDRED_THOUSAND}}\n`,
  "two axes of 1,000 that hardly ever fit": `${HEAD}axes: {parameterization: mup, learning_rate: 0.01, width: ${THOUSAND}, d_head: ${THOUSAND}}\n`,
  "four axes of 1,000": `${HEAD}axes: {${POINT}, learning_rate: ${THOUSAND}, steps: ${THOUSAND}, batch_size: ${THOUSAND}, warmup_steps: ${THOUSAND}}\n`,
  "20 random grids of 100,000": `${HEAD}axes:\n${lines(20, (i) => `  - {${POINT}, random: {n: 100000, seed: ${i}, distributions: {learning_rate: {log_uniform: {from: 0.001, to: 0.1}}}}}`)}`,
  "random grids at the limit": `${HEAD}axes:\n${lines(2, (i) => `  - {${POINT}, seed: {count: 5}, random: {n: 83000, seed: ${i}, distributions: {learning_rate: {log_uniform: {from: 0.001, to: 0.1}}, init_std: {uniform: {from: 0.01, to: 0.1}}, alpha_input: {uniform: {from: 0.01, to: 0.1}}}}}`)}`,
  "200 grids of powers of two": `${HEAD}axes:\n${lines(200, (i) => `  - {${POINT}, learning_rate: {log2: {from: -90, to: 0, step: 0.0${100 + i}}}}`)}`,
  "ten grids at the limit, much the same": `${HEAD}axes:\n${lines(10, (i) => `  - {parameterization: [sp, mup, supar, completep], base_layers: 1, d_head: 32, width: {linear: {from: 32, to: 320, step: 32}}, sparsity: {linear: {from: 0, to: 0.49, step: 0.01}}, seed: {count: 5}, learning_rate: {log2: {from: -${14 + (i % 3)}, to: -${5 + (i % 3)}}}}`)}`,
  "more values of axes than points": `${HEAD}axes:\n${lines(200, (i) => `  - {${POINT}, learning_rate: {log2: {from: -10, to: 0, step: 0.00${10 + i}}}}`)}`,
  "2,000 phases": `${HEAD}phases:\n${lines(2000, (i) => `  - {name: p${i}, axes: {${POINT}, learning_rate: 0.01}}`)}`,
  "100 phases that each take from the one before": `${HEAD}phases:\n${lines(100, (i) => `  - {name: p${i}, model: {norm_eps: 0.00001}, axes: {parameterization: [sp, mup], d_head: 32, width: {linear: {from: 32, to: 320, step: 32}}, sparsity: {linear: {from: 0, to: 0.75, step: 0.25}}, learning_rate: ${i === 0 ? "[0.01, 0.02]" : `{from: p${i - 1}, at: {width: 64, sparsity: 0.25}}`}}}`)}`,
  "a source of 900,000 curves": `${HEAD}phases:\n  - {name: a, axes: {parameterization: mup, d_head: 1, width: ${THOUSAND}, sparsity: {linear: {from: 0, to: 0.9, step: 0.001}}, learning_rate: 0.01}}\n  - {name: b, axes: {parameterization: mup, learning_rate: {from: a, at: {width: 5, sparsity: 0.2}}}}\n`,
  "a coordinate check of 100,000 widths": `${HEAD}coordinate_check: {width: ${HUNDRED_THOUSAND}, layers: ${THOUSAND}, heads: 3}\n${SOUND}`,
  "20,000 unknown keys": `${HEAD}${SOUND}${lines(20_000, (i) => `key${i}: 1`)}`,
  "20,000 unknown keys within a section": `${HEAD.replace("{width: 32}", `{width: 32, overrides: {${Array.from({ length: 20_000 }, (_, i) => `k${i}: {}`).join(", ")}}}`)}${SOUND}`,
  "20,000 keys given again": `${HEAD}${SOUND}${lines(20_000, () => "name: again")}`,
  "50,000 wrong items": `${HEAD}axes: {${POINT}, learning_rate: ${list(50_000, () => "-1")}}\n`,
  "50,000 items": `${HEAD}axes: {${POINT}, learning_rate: ${list(50_000, (i) => `0.0${i + 1}`)}}\n`,
  "10,000 rows with unknown keys": `${HEAD}axes: {parameterization: mup, learning_rate: 0.01, together: ${list(10_000, (i) => `{wdth: ${i}}`)}}\n`,
  "10,000 wrong grids": `${HEAD}axes: ${list(10_000, () => "{wdth: 1, foo: {a: 1}, together: 3}")}\n`,
  "10,000 wrong phases": `${HEAD}phases: ${list(10_000, () => "{nme: 1, axs: {}}")}\n`,
  "more layers than atoms": `${HEAD}${SOUND.replace("}", ", layers: [9007199254740991, 1000000000]}")}`,
  "a name of 300 kB": `${HEAD.replace("hostile", "x".repeat(300_000))}${SOUND}`,
  "lists in lists, 100,000 deep": `a: ${"[".repeat(100_000)}${"]".repeat(100_000)}\n`,
  "broken maps in maps": `name: [${"{".repeat(50_000)}`,
  "20,000 lines that are no YAML": lines(20_000, (i) => `\t- : @${i}`),
  "aliases of aliases": `${HEAD}a: &a ${list(5000, () => "1")}\n${lines(5000, (i) => `k${i}: &b${i} [*a]`)}`,
} satisfies Record<string, string>;
