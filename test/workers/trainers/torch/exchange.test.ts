/** What the two engines leave each other: checkpoints, verdicts, sizes of activations. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runIdOf } from "../../../../schema/wire/plan.ts";
import type { TrainerEvent } from "../../../../schema/wire/protocol.ts";
import type { TrainerCommandLine } from "../../../../workers/trainer-commands.ts";
import { embedded, inTorch, PATIENT, python } from "../engines.ts";
import { makePlan, type PlanOptions, temporaryDirectory, writeData } from "../support.ts";
import { runCommand, TrainerProcess } from "../trainer-process.ts";

const prepare = (options: PlanOptions = {}) => {
  const directory = temporaryDirectory();
  return { directory, plan: makePlan({ hash: writeData(directory), ...options }) };
};
const endOf = (events: readonly TrainerEvent[]) => events.at(-1)!;

describe.skipIf(python === undefined)("engines", PATIENT, () => {
  // The embedded one keeps a matrix of density up to ½ without its zeros; checkpoints have them.
  const bothWays: [string, number, () => TrainerCommandLine, () => TrainerCommandLine][] = [
    ["embedded to PyTorch", 0.5, embedded, inTorch],
    ["PyTorch to embedded", 0.1, inTorch, embedded],
    ["embedded to PyTorch, masked", 0.75, embedded, inTorch],
  ];
  test.each(bothWays)("go on from each other's checkpoints: %s", async (_name, density, before, after) => {
    const { directory, plan } = prepare({
      density,
      decayPerStep: 1e-3,
      eps: 1e-6,
      shape: { norm: "layernorm", tied_embeddings: false },
      plan: { steps: 300, evaluation: { every_steps: 50, sequences: 6 } },
    });
    const undisturbed = endOf(await new TrainerProcess(before()).train(runCommand(plan, directory)));
    const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1000 };
    const command = runCommand(plan, directory, { checkpoint });
    const first = new TrainerProcess(before());
    const { engine, engine_version } = await first.next(["ready"]);
    const stopped = await first.stopAfter(command, ["evaluation"]);
    expect(stopped.step).toBeLessThan(plan.steps);

    const events = await new TrainerProcess(after()).train(command);
    expect(events[0]).toMatchObject({
      resumed_from_step: stopped.step,
      notes: [expect.stringContaining(`is of engine ${engine} ${engine_version}, not musweep-`)],
    });
    // Said again by the other engine, as it was said.
    expect(events[1]).toEqual(first.events.find((e) => e.type === "step"));
    const end = endOf(events);
    if (end.type !== "finished" || undisturbed.type !== "finished") throw new Error(JSON.stringify(end));
    expect(Math.abs(end.validation_loss - undisturbed.validation_loss)).toBeLessThan(1e-3);
    expect(Math.abs(end.train_loss - undisturbed.train_loss)).toBeLessThan(1e-3);
  });

  // Verdicts that rounding cannot move: far above the initial loss at once, or beyond what a float32 holds.
  test.each<[string, PlanOptions]>([
    [
      "above its initial loss",
      { learningRate: 3, plan: { steps: 300, clip_norm: null, divergence: { patience_steps: 10 } } },
    ],
    ["weights overflow", { learningRate: 1e38, plan: { steps: 300, clip_norm: null } }],
    [
      "weights overflow in the only step",
      {
        learningRate: 1e39,
        plan: { steps: 1, schedule: { warmup_steps: 0, decay: "constant", final_fraction: 1 } },
      },
    ],
  ])("call a run diverged at the same step: %s", async (_name, options) => {
    const { directory, plan } = prepare(options);
    const [a, b] = await Promise.all(
      [embedded(), inTorch()].map((c) => new TrainerProcess(c).train(runCommand(plan, directory))),
    );
    const [expected, actual] = [endOf(a!), endOf(b!)];
    if (expected.type !== "diverged") throw new Error(JSON.stringify(expected));
    const { step, reason, tokens, flops } = expected;
    expect(actual).toMatchObject({ type: "diverged", run: runIdOf(plan), step, reason, tokens, flops });
  });

  test.each<[string, PlanOptions]>([
    ["with biases", { shape: { d_model: 24, d_head: 8 } }],
    [
      "without positions, a residual multiplier",
      { shape: { positions: "none", norm: "layernorm" }, density: 0.5 },
    ],
  ])("measure the same sizes of activations: %s", async (_name, options) => {
    const forward = {
      embedding_multiplier: 2,
      residual_multiplier: 0.4,
      attention_scale: 0.3,
      logits_multiplier: 0.8,
    };
    const { directory, plan } = prepare({
      ...options,
      plan: { steps: 4, coordinates: { steps: 3 }, forward },
    });
    const [a, b] = await Promise.all(
      [embedded(), inTorch()].map((c) => new TrainerProcess(c).train(runCommand(plan, directory))),
    );
    const sizes = (events: readonly TrainerEvent[]) =>
      events.flatMap((e) => (e.type === "coordinates" ? e.modules.map((m) => ({ step: e.step, ...m })) : []));
    const expected = sizes(a!);
    expect(expected).toHaveLength(4 * (2 + 3 * plan.shape.layers));
    expect(sizes(b!)).toEqual(
      expected.map(({ size, change, ...place }) => ({
        ...place,
        size: expect.closeTo(size!, 4),
        change: expect.closeTo(change!, 4),
      })),
    );
  });
});
