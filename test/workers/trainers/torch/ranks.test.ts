/** One run on several processes, as torchrun starts them: the same losses, one voice, one end. Here gloo on CPUs. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { TrainerEvent } from "../../../../schema/wire/protocol.ts";
import { embedded, inTorch, PATIENT, python } from "../engines.ts";
import { makePlan, type PlanOptions, temporaryDirectory, writeData } from "../support.ts";
import { runCommand, TrainerProcess } from "../trainer-process.ts";

const LIMIT = 1e-5;

/** The trainer on two ranks. */
function twoRanks() {
  const { command, env } = inTorch();
  const torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"];
  return { command: [command[0]!, ...torchrun, ...command.slice(1)], env: { ...env, OMP_NUM_THREADS: "1" } };
}

const prepare = (options: PlanOptions = {}) => {
  const directory = temporaryDirectory();
  return { directory, plan: makePlan({ hash: writeData(directory), ...options }) };
};

const points = (events: readonly TrainerEvent[]) =>
  events.flatMap((e) => {
    if (e.type === "step") return [[e.step, e.train_loss, e.gradient_norm!]];
    return e.type === "evaluation" ? [[e.step, e.validation_loss!]] : [];
  });

function expectAlike(actual: readonly TrainerEvent[], expected: readonly TrainerEvent[]): void {
  expect(actual.map((e) => e.type)).toEqual(expected.map((e) => e.type));
  const actualPoints = points(actual);
  for (const [i, numbers] of points(expected).entries())
    for (const [j, x] of numbers.entries()) {
      const where = `step ${numbers[0]}, number ${j}: ${x}`;
      expect(Math.abs(actualPoints[i]![j]! - x), where).toBeLessThan(LIMIT);
    }
}

describe.skipIf(python === undefined)("two ranks", PATIENT, () => {
  test("train as one process does, run after run, and end with it", async () => {
    const options: PlanOptions[] = [
      { density: 0.5, decayPerStep: 1e-3, plan: { evaluation: { every_steps: 5, sequences: 7 } } },
      { shape: { norm: "layernorm", tied_embeddings: false }, plan: { micro_batch_size: 1, seed: 9 } },
    ];
    // Losses in the tens: rounding grows with them, the verdict does not.
    const diverging: PlanOptions = {
      learningRate: 3,
      plan: { steps: 100, clip_norm: null, divergence: { patience_steps: 5 } },
    };
    const [one, two] = [new TrainerProcess(inTorch()), new TrainerProcess(twoRanks())];
    expect((await two.next(["ready"])).device).toMatch(/^2 × cpu, torch/);
    for (const o of options) {
      const { directory, plan } = prepare(o);
      const command = runCommand(plan, directory, { report_every_steps: 1 });
      expectAlike(await two.train(command), await one.train(command));
    }
    {
      const { directory, plan } = prepare(diverging);
      const [expected, actual] = [one, two].map((trainer) => trainer.train(runCommand(plan, directory)));
      const { type, step, reason } = (await expected!).at(-1) as Extract<TrainerEvent, { type: "diverged" }>;
      expect(type).toBe("diverged");
      expect((await actual!).at(-1)).toMatchObject({ type, step, reason });
    }
    // A batch that cannot be shared evenly, which both ranks notice.
    const { directory, plan } = prepare({ plan: { batch_size: 3 } });
    two.send(runCommand(plan, directory));
    expect(await two.next(["failed"])).toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("3"),
    });
    expect(await two.exit()).not.toBe(null);
  });

  test("stop together with a checkpoint that any trainer goes on from, and end when standard input closes", async () => {
    const { directory, plan } = prepare({ density: 0.5, plan: { steps: 200 } });
    const alone = new TrainerProcess(inTorch());
    const undisturbed = await alone.train(runCommand(plan, directory));
    const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1000 };
    const command = runCommand(plan, directory, { checkpoint });
    const ranks = new TrainerProcess(twoRanks());
    const stopped = await ranks.stopAfter(command, ["step"]);
    expect(stopped.step).toBeLessThan(plan.steps);

    const again = await ranks.train(command);
    expect(again[0]).toMatchObject({ type: "started", resumed_from_step: stopped.step, notes: [] });
    const elsewhere = await new TrainerProcess(embedded()).train(command);
    expect(elsewhere[0]).toMatchObject({ type: "started", resumed_from_step: stopped.step });
    const [wanted, ...reached] = [undisturbed, again, elsewhere].map((events) => {
      const end = events.at(-1)!;
      if (end.type !== "finished") throw new Error(JSON.stringify(end));
      return end.validation_loss;
    });
    for (const loss of reached) expect(Math.abs(loss - wanted!)).toBeLessThan(1e-4);

    ranks.child.stdin.end();
    expect(await ranks.exit()).toBe(0);
  });

  test("end in the middle of a run when standard input closes", async () => {
    const { directory, plan } = prepare({ plan: { steps: 1_000_000 } });
    const ranks = new TrainerProcess(twoRanks());
    ranks.send(runCommand(plan, directory));
    await ranks.next(["step"]);
    ranks.child.stdin.end();
    expect(await ranks.exit()).toBe(0);
  });
});
