/** The trainer as it is built, started and spoken to as a worker does it: what it holds, and how long it takes to begin. */
import { type Plan, runIdOf } from "../schema/wire/plan.ts";
import { type RunCommand, type TrainerEvent, trainerEventSchema } from "../schema/wire/protocol.ts";
import { builtInTrainer, trainerEnvironment } from "../workers/trainer-process.ts";
import { LineProcess } from "./line-process.ts";

export function startTrainer(threads: number): LineProcess {
  const [program, ...args] = builtInTrainer(true);
  return new LineProcess(program!, args, trainerEnvironment(threads));
}

/** A plan for a look at the trainer alone. */
export const shortened = (plan: Plan, seed = plan.seed): Plan => ({
  ...plan,
  seed,
  steps: 3,
  evaluation: { every_steps: null, sequences: 8 },
});

/** Trains a plan to its end; keeps nothing. @returns milliseconds until it started, and its own estimate of its memory */
export async function trainPlan(
  trainer: LineProcess,
  plan: Plan,
  dataDirectory: string,
): Promise<{ milliseconds: number; estimated: number }> {
  const begun = performance.now();
  const command: RunCommand = {
    type: "run",
    run: runIdOf(plan),
    plan,
    data_directory: dataDirectory,
    checkpoint: null,
    weights_path: null,
    report_every_steps: 1,
    memory_limit_bytes: null,
  };
  trainer.send(command);
  let milliseconds = 0;
  let estimated = 0;
  for (;;) {
    const event: TrainerEvent = trainerEventSchema.parse(await trainer.next());
    if (event.type === "started") {
      milliseconds = performance.now() - begun;
      estimated = event.estimated_memory_bytes;
    }
    if (event.type === "failed" || event.type === "diverged") throw new Error(JSON.stringify(event));
    if (event.type === "finished") return { milliseconds, estimated };
  }
}
