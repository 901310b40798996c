/** The examples that ship: each learns as a worker's trainer, its plan file runs alone, and SμPar keeps its promise on it. */
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { packageRoot } from "../../../schema/wire/package.ts";
import { describeWithTorch, torchPython } from "../../support/torch-python.ts";
import { temporaryDirectory } from "../trainers/support.ts";
import { type ScriptPlan, scriptPlan } from "./script-plan.ts";
import { examplePath, runCommand, ScriptProcess, scriptEnvironment } from "./script-process.ts";

const MINUTES = 600_000;
const example = (name: string): ScriptPlan =>
  JSON.parse(readFileSync(join(packageRoot(), "examples", name, "plan.json"), "utf8"));

const gpt = {
  width: 64,
  baseWidth: 32,
  density: 0.25,
  layers: 2,
  steps: 60,
  alphaInput: 4,
  alphaOutput: 1,
  schedule: { warmup_steps: 5, decay: "linear", final_fraction: 0.1 },
  settings: { sequence_length: 64, batch_size: 16, d_head: 16 },
};
const mlp = {
  width: 256,
  baseWidth: 256,
  density: 0.25,
  layers: 3,
  steps: 200,
  initStd: Math.sqrt(2 / 256),
  alphaInput: 0.5,
  alphaOutput: 1,
  schedule: { warmup_steps: 5, decay: "linear", final_fraction: 0.1 },
  settings: { batch_size: 128 },
};
const named = (name: string, options: typeof gpt | typeof mlp): ScriptPlan =>
  scriptPlan({ ...options, plan: { trainer: { name, revision: "1" } } });

describeWithTorch("the examples", () => {
  test("the plan files follow the rules of the paper's table", () => {
    expect(example("nanogpt")).toEqual(JSON.parse(JSON.stringify(named("nanogpt", gpt))));
    expect(example("mlp")).toEqual(JSON.parse(JSON.stringify(named("mlp", mlp))));
  });

  test("nanogpt learns the text, without a word on what it left out", { timeout: MINUTES }, async () => {
    const script = new ScriptProcess([examplePath("nanogpt")]);
    script.send(runCommand(example("nanogpt"), "r1", { report_every_steps: 10 }));
    const { parameters, nonzero_parameters, notes } = await script.next("started");
    // Embeddings 256·64 and 64·64, two blocks of 12·64² and 2·64, the last norm; a quarter of the blocks' matrices exists.
    expect(parameters).toBe(256 * 64 + 64 * 64 + 2 * (12 * 64 * 64 + 2 * 64) + 64);
    expect(parameters - nonzero_parameters).toBe((2 * 12 * 64 * 64 * 3) / 4);
    expect(notes).toEqual([]);
    const finished = await script.next("finished");
    // Bytes at random: ln 256 = 5.5.
    expect(finished.validation_loss).toBeLessThan(3.3);
    expect(finished).toMatchObject({ tokens: 60 * 16 * 64, flops: 60 * 6 * parameters * 16 * 64 });
    expect(script.stderr).not.toContain("musweep:");
    expect(await script.exit()).toBe(0);
  });

  test("the script of docs/own-model.md trains, masks and all", { timeout: MINUTES }, async () => {
    const page = readFileSync(join(packageRoot(), "docs", "own-model.md"), "utf8");
    const file = join(temporaryDirectory(), "train.py");
    writeFileSync(file, /```python\n(import musweep .*?)```/s.exec(page)![1]!);
    const script = new ScriptProcess([file]);
    script.send(runCommand(scriptPlan({ density: 0.25, steps: 60, settings: { batch_size: 64 } }), "r1"));
    expect(await script.next("started")).toMatchObject({
      parameters: 64 * 16 + 64 * 64 + 64 + 2 * 64,
      nonzero_parameters: 64 * 16 + (64 * 64) / 4 + 64 + 2 * 64,
      notes: [],
    });
    // Heads or tails: ln 2 = 0.69.
    expect((await script.next("finished")).validation_loss).toBeLessThan(0.3);
    // It has one hidden layer, whatever the plan says of layers, and that is said.
    expect(script.stderr.match(/musweep: .*/g)).toEqual([
      "musweep: Not read by the script so far: layers. What it never reads changes nothing.",
    ]);
  });

  test("the MLP learns the digits, and stays warm", { timeout: MINUTES }, async () => {
    const script = new ScriptProcess([examplePath("mlp")]);
    const losses: number[] = [];
    for (const run of ["r1", "r2"]) {
      script.send(runCommand(example("mlp"), run, { report_every_steps: 50 }));
      expect(await script.next("evaluation")).toMatchObject({
        run,
        step: 200,
        metrics: { accuracy: expect.closeTo(0.85, 1) },
      });
      losses.push((await script.next("finished")).validation_loss);
    }
    // One of ten at random: ln 10 = 2.3. The second run is the first again.
    expect(losses[0]).toBeLessThan(0.6);
    expect(losses[1]).toBe(losses[0]);
    expect(script.stderr).not.toContain("musweep:");
  });

  test("alone, an example says in words what it does", { timeout: MINUTES }, async () => {
    const file = join(temporaryDirectory(), "plan.json");
    writeFileSync(file, JSON.stringify({ ...example("mlp"), steps: 4, schedule: null }));
    const run = (...args: string[]) =>
      promisify(execFile)(torchPython, [examplePath("mlp"), ...args], { env: scriptEnvironment() });
    await expect(run("--musweep-plan", join(file, "nowhere.json"))).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/PlanError: cannot read the plan .*nowhere.json/),
    });
    // A schedule that the plan does not have is asked for: an error, not a run at another rate.
    await expect(run(`--musweep-plan=${file}`)).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/ScriptError: the sweep file gives no schedule/),
    });
    writeFileSync(
      file,
      JSON.stringify({ ...example("mlp"), steps: 4, settings: { ...example("mlp").settings, steps: 4 } }),
    );
    const { stderr } = await run("--musweep-plan", file);
    expect(stderr).toMatch(/musweep: hidden.0.weight +256×256 +hidden +0.1768 +0.03125 +0 +0.25\n/);
    expect(stderr).toMatch(/musweep: step 4 {2}validation loss [\d.]+ {2}accuracy [\d.]+\n/);
    expect(stderr).toMatch(/musweep: step 4 {2}finished {2}train loss /);
  });

  test("along density, hidden activations keep their size under SμPar and shrink under SP", {
    timeout: MINUTES,
  }, async () => {
    const script = new ScriptProcess([examplePath("mlp")]);
    const STEPS = 5;
    /** log2 of the mean |activation| of the last hidden layer, mean over the initial network and 5 steps, and over 3 seeds. */
    const size = async (parameterization: "sp" | "supar", density: number): Promise<number> => {
      let sum = 0;
      for (const seed of [1, 2, 3]) {
        const plan = {
          schedule: { warmup_steps: 0, decay: "constant", final_fraction: 1 },
          learningRate: 2 ** -9,
        };
        const options = {
          ...mlp,
          ...plan,
          parameterization,
          density,
          seed,
          steps: STEPS,
          plan: { coordinates: { steps: STEPS } },
        };
        script.send(runCommand(scriptPlan(options), `r-${parameterization}-${density}-${seed}`));
        const steps = [];
        for (let step = 0; step <= STEPS; step++) {
          const event = await script.next("coordinates");
          expect(event.step).toBe(step);
          expect(
            event.modules.map(
              ({ module, layer }: { module: string; layer: number | null }) => `${module} ${layer}`,
            ),
          ).toEqual([...["hidden 0", "hidden 1", "hidden 2", "logits null"]]);
          steps.push(event.modules[2]);
        }
        await script.next("finished");
        expect(steps[0].change).toBe(0);
        expect(steps[STEPS].change).toBeGreaterThan(0);
        sum += steps.reduce((total, { size }) => total + Math.log2(size), 0) / steps.length / 3;
      }
      return sum;
    };
    const slope = async (parameterization: "sp" | "supar"): Promise<number> =>
      ((await size(parameterization, 1)) - (await size(parameterization, 1 / 16))) / 4;
    // Three masked layers, each √density: 3/2 in the initial network.
    expect(await slope("sp")).toBeGreaterThan(1);
    expect(Math.abs(await slope("supar"))).toBeLessThan(0.25);
  });
});
