/**
 * Measures how fast this machine trains given plans: starts as many trainers as a worker has slots, all at once as in a
 * sweep, lets each train for a moment, and prints one JSON line per plan with the tokens per second of one slot. The request is
 * the first line of stdin; when stdin ends, nobody waits for the answer any more.
 */

import { z } from "zod";
import { type Plan, planSchema } from "../schema/wire/plan.ts";
import { firstLine } from "./first-line.ts";
import { TrainerFailure } from "./trainer-failure.ts";
import { builtInTrainer, TrainerProcess, trainerEnvironment } from "./trainer-process.ts";

const requestSchema = z.strictObject({
  plans: z.array(planSchema),
  data_directory: z.string(),
  slots: z.int().positive(),
  threads_per_slot: z.int().positive(),
  /** A command line of this host's own; null: the built-in trainer. */
  trainer: z.array(z.string()).min(1).nullable(),
  /** Training time per plan, after its first report. */
  seconds: z.number().positive(),
});

/** A run that nothing keeps, stopped once its speed is known. */
async function tokensPerSecond(
  trainer: TrainerProcess,
  plan: Plan,
  dataDirectory: string,
  seconds: number,
): Promise<number> {
  let speed = 0;
  let deadline = Number.POSITIVE_INFINITY;
  const run = "measure";
  // No schedule, no evaluation, no end in sight: training steps alone.
  const endless = { ...plan, steps: 1_000_000, evaluation: { every_steps: null, sequences: 1 } };
  await trainer.run(
    {
      type: "run",
      run,
      plan: endless,
      data_directory: dataDirectory,
      checkpoint: null,
      weights_path: null,
      report_every_steps: 1,
      memory_limit_bytes: null,
    },
    (event) => {
      if (event.type !== "step") return;
      if (deadline === Number.POSITIVE_INFINITY) deadline = Date.now() + seconds * 1000;
      speed = event.tokens_per_second;
      if (Date.now() >= deadline) {
        deadline = Number.POSITIVE_INFINITY;
        trainer.send({ type: "cancel", run });
      }
    },
  );
  return speed;
}

const request = requestSchema.parse(JSON.parse(await firstLine(process.stdin)));
// Its trainers end with it, as their own stdin does.
process.stdin.on("end", () => process.exit(1)).resume();
const env = trainerEnvironment(request.threads_per_slot);
const trainers = await Promise.all(
  Array.from({ length: request.slots }, () =>
    TrainerProcess.start(request.trainer ?? builtInTrainer(), { env, silenceMs: 120_000 }),
  ),
);
try {
  for (const plan of request.plans) {
    const speeds = await Promise.all(
      trainers.map((trainer) => tokensPerSecond(trainer, plan, request.data_directory, request.seconds)),
    );
    process.stdout.write(`${JSON.stringify(speeds.reduce((a, b) => a + b, 0) / speeds.length)}\n`);
  }
} catch (error) {
  if (!(error instanceof TrainerFailure)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
} finally {
  await Promise.all(trainers.map((trainer) => trainer.end()));
  process.stdin.destroy();
}
