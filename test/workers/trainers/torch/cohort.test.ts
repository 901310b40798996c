/** Runs of one shape in one program: each as if it were alone. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { type Plan, planSchema, runIdOf } from "../../../../schema/wire/plan.ts";
import { type RunCommand, type TrainerEvent, trainerEventSchema } from "../../../../schema/wire/protocol.ts";
import { inTorch, PATIENT, python } from "../engines.ts";
import { makePlan, type PlanOptions, temporaryDirectory, writeData } from "../support.ts";
import { runCommand, TrainerProcess } from "../trainer-process.ts";
import { Inspector } from "./inspect.ts";

const PROGRAM = new URL("./train_cohort.py", import.meta.url).pathname;
const LIMIT = 1e-3;

async function trainCohort(
  commands: readonly RunCommand[],
  asked: { type: "stop" | "cancel"; run: string; step: number } | null,
): Promise<Map<string, TrainerEvent[]>> {
  const { command, env } = inTorch();
  const child = spawn(command[0]!, [PROGRAM], {
    env: { ...process.env, ...env },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const closed = once(child, "close");
  child.stdin.end(JSON.stringify({ commands, asked }));
  const lines = (await text(child.stdout)).trim().split("\n");
  expect((await closed)[0]).toBe(0);
  const events = lines.map((line) => trainerEventSchema.parse(JSON.parse(line)));
  return new Map(commands.map(({ run }) => [run, events.filter((e) => "run" in e && e.run === run)]));
}

/** Everything that is not shape differs from plan to plan. */
function differentPlans(hash: string): Plan[] {
  const options: PlanOptions[] = [
    { density: 0.5 },
    { learningRate: 0.003, plan: { seed: 11 } },
    { density: 0.25, plan: { seed: 12, mask: "bernoulli", clip_norm: null } },
    { density: 0.0625, decayPerStep: 0.003, plan: { seed: 13, clip_norm: 0.1 } },
    // Diverges while the others train.
    { learningRate: 3, plan: { seed: 14, clip_norm: null, divergence: { patience_steps: 8 } } },
    { eps: 1e-2, initStd: 0.05, plan: { seed: 15, optimizer: { name: "adamw", beta1: 0.5, beta2: 0.99 } } },
    { plan: { seed: 16, schedule: { warmup_steps: 0, decay: "cosine", final_fraction: 0 } } },
    {
      plan: {
        seed: 17,
        forward: {
          embedding_multiplier: 0.7,
          residual_multiplier: 0.3,
          attention_scale: 1,
          logits_multiplier: 2,
        },
      },
    },
    // Ends before the others do.
    { plan: { seed: 18, steps: 40 } },
    // Evaluated and measured when others are not.
    { plan: { seed: 19, evaluation: { every_steps: 25, sequences: 6 }, coordinates: { steps: 2 } } },
  ];
  return options.map(({ plan, ...rest }) =>
    planSchema.parse(
      makePlan({
        hash,
        ...rest,
        plan: { steps: 60, evaluation: { every_steps: 20, sequences: 6 }, ...plan },
      }),
    ),
  );
}

/** Numbers of an event that training determines, in a fixed order. */
function numbersOf(event: TrainerEvent): (number | null)[] {
  switch (event.type) {
    case "step":
      return [event.step, event.train_loss, event.gradient_norm];
    case "evaluation":
      return [event.step, event.validation_loss];
    case "coordinates":
      return [event.step, ...event.modules.flatMap((m) => [m.size, m.change])];
    case "finished":
      return [event.step, event.train_loss, event.validation_loss, event.tokens];
    case "diverged":
      return [event.step, event.last_finite_loss, event.tokens];
    case "started":
      return [event.parameters, event.nonzero_parameters];
    default:
      return [];
  }
}

function expectAlike(actual: readonly TrainerEvent[], expected: readonly TrainerEvent[]): void {
  expect(actual.map((e) => e.type)).toEqual(expected.map((e) => e.type));
  actual.forEach((event, i) => {
    const wanted = numbersOf(expected[i]!);
    numbersOf(event).forEach((x, j) => {
      const where = `${event.type} ${wanted[0]}, number ${j}`;
      if (wanted[j] === null || x === null) expect(x, where).toBe(wanted[j]);
      else expect(Math.abs(x - wanted[j]!), where).toBeLessThan(LIMIT * Math.max(1, Math.abs(wanted[j]!)));
    });
  });
}

describe.skipIf(python === undefined)("a cohort", PATIENT, () => {
  test("trains each of its runs as if it were alone; one that diverges or is cancelled touches no other", async () => {
    const directory = temporaryDirectory();
    const plans = differentPlans(writeData(directory));
    const commands = plans.map((plan) => runCommand(plan, directory, { report_every_steps: 1 }));
    const alone = new TrainerProcess(inTorch());
    const expected = new Map<string, TrainerEvent[]>();
    for (const command of commands) expected.set(command.run, await alone.train(command));

    const cancelled = commands[2]!.run;
    const together = await trainCohort(commands, { type: "cancel", run: cancelled, step: 30 });
    for (const [run, events] of together) {
      if (run !== cancelled) expectAlike(events, expected.get(run)!);
      else {
        const end = events.at(-1)!;
        if (end.type !== "stopped") throw new Error(JSON.stringify(end));
        expect(end.step).toBe(32);
        expectAlike(events.slice(0, -1), expected.get(run)!.slice(0, events.length - 1));
      }
    }
    const ends = [...together.values()].map((events) => events.at(-1)!.type);
    expect(ends.filter((type) => type === "diverged")).toHaveLength(1);
    expect(ends.filter((type) => type === "finished")).toHaveLength(plans.length - 2);
  });

  test("starts each of its runs from its own draw, with its own gradients", async () => {
    const directory = temporaryDirectory();
    const plans = differentPlans(writeData(directory));
    const inspector = new Inspector();
    const together = await inspector.inspect(plans, directory, join(directory, "inspected"));
    for (const [i, plan] of plans.entries()) {
      const [alone] = await inspector.inspect([plan], directory, join(directory, "alone"));
      expect(together[i]!.initial).toEqual(alone!.initial);
      expect(together[i]!.masks).toEqual(alone!.masks);
      expect(together[i]!.loss).toBeCloseTo(alone!.loss, 5);
    }
    await inspector.close();
  });

  test("takes up runs that stand at different steps, each where it was", async () => {
    const directory = temporaryDirectory();
    const plans = differentPlans(writeData(directory)).slice(0, 3);
    const commands = plans.map((plan) =>
      runCommand(plan, directory, {
        report_every_steps: 1,
        checkpoint: { directory: join(directory, "checkpoints", runIdOf(plan)), every_seconds: 1000 },
      }),
    );
    const alone = new TrainerProcess(inTorch());
    const undisturbed = new Map<string, TrainerEvent[]>();
    for (const c of commands) undisturbed.set(c.run, await alone.train({ ...c, checkpoint: null }));
    for (const [i, command] of commands.slice(0, 2).entries())
      await trainCohort([command], { type: "stop", run: command.run, step: 10 + 20 * i });
    const together = await trainCohort(commands, null);
    const resumed = [...together.values()].map(([e]) => (e!.type === "started" ? e.resumed_from_step : -1));
    // A step says its loss when the next is under way, and is asked when the one after that is.
    expect(resumed).toEqual([12, 32, 0]);
    for (const [run, events] of together) expectAlike(events, undisturbed.get(run)!);
  });
});
