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

  it("is not seen where a text is only wrong", () => {
    expect(ofAxes("learning_rate: fast")).not.toContain("list:");
    expect(problemsOf(sweepText({}).replace(/^name: .*$/m, "name: a,b")).join()).not.toContain("a list:");
  });
});
