/** transformers.Trainer as a trainer of runs: its loop, losses and evaluation are the run's, and a stop ends it. */
import { expect, test } from "vitest";
import { describeWithTorch } from "../../support/torch-python.ts";
import { scriptPlan } from "./script-plan.ts";
import { examplePath, runCommand, ScriptProcess, scriptPath } from "./script-process.ts";

describeWithTorch("transformers.Trainer", () => {
  const plan = (steps: number) =>
    scriptPlan({
      steps,
      density: 0.25,
      alphaInput: 4,
      alphaOutput: 1,
      settings: { batch_size: 8, sequence_length: 64, d_head: 16 },
    });

  test("trains a run, and is stopped between steps", { timeout: 600_000 }, async () => {
    const script = new ScriptProcess([examplePath("huggingface")]);
    script.send(runCommand(plan(12), "r1"));
    const { parameters, nonzero_parameters, notes } = await script.next("started");
    // A tied embedding of 256·64; per block q, k, v, o of 64², gate, up and down of 256·64, two norms; the last norm.
    expect(parameters).toBe(256 * 64 + 2 * (4 * 64 * 64 + 3 * 256 * 64 + 2 * 64) + 64);
    expect(parameters - nonzero_parameters).toBe((2 * (4 * 64 * 64 + 3 * 256 * 64) * 3) / 4);
    expect(notes).toEqual([]);
    const finished = await script.next("finished");
    expect(await script.exit()).toBe(0);
    expect(script.story().slice(2)).toEqual([
      ...Array.from({ length: 12 }, (_, i) => `step ${i + 1}`),
      "evaluation 12",
      "finished 12",
    ]);
    const steps = script.events.filter(({ type }) => type === "step");
    // Bytes at random: ln 256 = 5.5.
    expect(finished.validation_loss).toBeLessThan(steps[0]!.train_loss - 0.5);
    expect(steps[0]!.gradient_norm).toBeGreaterThan(0);
    expect(script.stderr).not.toMatch(/^musweep:/m);

    const stopped = new ScriptProcess([examplePath("huggingface")]);
    const checkpoint = { directory: "/nonexistent", every_seconds: 3600 };
    stopped.send(runCommand(plan(100_000), "r2", { checkpoint }));
    expect((await stopped.next("started")).notes).toEqual([
      "The script has no run.checkpoint: stopped, it starts anew.",
    ]);
    await stopped.next("step");
    stopped.send({ type: "stop", run: "r2" });
    expect(await stopped.end()).toMatchObject({ type: "stopped", checkpoint: null });
    expect(await stopped.exit()).toBe(0);
  });

  test("a loss that is not a number is divergence, and not the 0 that it would be logged as", {
    timeout: 600_000,
  }, async () => {
    const script = new ScriptProcess([scriptPath("huggingface_nan.py")]);
    script.send(runCommand(scriptPlan({ steps: 10 }), "r1"));
    expect(await script.end()).toMatchObject({ type: "diverged", step: 3, reason: "non-finite" });
  });
}, ["transformers", "accelerate"]);
