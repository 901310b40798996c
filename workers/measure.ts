/**
 * Measures how fast this machine trains given plans: starts as many trainers as a worker has slots, all at once as in a
 * sweep, lets each train for a moment, and prints one JSON line per plan: the tokens per second of one slot, or as a text why it does
 * not fit into the memory. The request is the first line of stdin; when stdin ends, nobody waits for the answer any more.
 */

import { z } from "zod";
import { type Plan, planSchema } from "../schema/wire/plan.ts";
import { keepDebuggerClosed } from "../schema/wire/stop-signals.ts";
import { firstLine } from "./first-line.ts";
import { TrainerFailure } from "./trainer-failure.ts";
import { builtInTrainer, TrainerProcess, trainerEnvironment } from "./trainer-process.ts";

const requestSchema = z.strictObject({
  plans: z.array(planSchema),
  data_directory: z.string(),
  slots: z.int().positive(),
  threads_per_slot: z.int().positive(),
  /** As a worker's slot has it. */
  memory_bytes_per_slot: z.number().positive(),
  /** A command line of this host's own; null: the built-in trainer. */
  trainer: z.array(z.string()).min(1).nullable(),
  /** Training time per plan, after its first report. */
  seconds: z.number().positive(),
});

keepDebuggerClosed();
const request = requestSchema.parse(JSON.parse(await firstLine(process.stdin)));

/** A run that nothing keeps, stopped once its speed is known. */
async function tokensPerSecond(trainer: TrainerProcess, plan: Plan): Promise<number> {
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
      data_directory: request.data_directory,
      checkpoint: null,
      weights_path: null,
      report_every_steps: 1,
      memory_limit_bytes: request.memory_bytes_per_slot,
    },
    (event) => {
      if (event.type !== "step") return;
      if (deadline === Number.POSITIVE_INFINITY) deadline = Date.now() + request.seconds * 1000;
      speed = event.tokens_per_second;
      if (Date.now() >= deadline) {
        deadline = Number.POSITIVE_INFINITY;
        trainer.send({ type: "cancel", run });
      }
    },
  );
  return speed;
}

/** A trainer that refuses a run for its memory is as good as new. */
const orUnfit = (error: unknown): string => {
  if (error instanceof TrainerFailure && error.code === "memory") return error.message;
  throw error;
};

const gone = new AbortController();
const options = {
  env: trainerEnvironment(request.threads_per_slot),
  silenceMs: 120_000,
  signal: gone.signal,
};
const starting = Array.from({ length: request.slots }, () =>
  TrainerProcess.start(request.trainer ?? builtInTrainer(), options),
);
const endAll = async (graceMs?: number): Promise<void> => {
  const started = await Promise.allSettled(starting);
  await Promise.all(started.map((trainer) => trainer.status === "fulfilled" && trainer.value.end(graceMs)));
};
// In the middle of a step they would not hear that their own stdin ends.
process.stdin
  .on("end", () => {
    gone.abort();
    void endAll(0).then(() => process.exit(1));
  })
  .resume();
try {
  const trainers = await Promise.all(starting);
  for (const plan of request.plans) {
    const speeds = await Promise.all(
      trainers.map((trainer) => tokensPerSecond(trainer, plan).catch(orUnfit)),
    );
    const unfit = speeds.find((speed) => typeof speed === "string");
    const sum = speeds.reduce<number>((total, speed) => total + Number(speed), 0);
    process.stdout.write(`${JSON.stringify(unfit ?? sum / speeds.length)}\n`);
  }
} catch (error) {
  if (!(error instanceof TrainerFailure)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
} finally {
  await endAll();
  process.stdin.destroy();
}
