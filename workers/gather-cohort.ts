/**
 * How a run that is claimed comes to its trainer: one that was claimed first leads a cohort (cohort.ts), for which jobs of its shape are
 * taken from its queue (run-queues.ts); one that was taken along joins it.
 */
import type { RunPlan } from "../schema/wire/plan.ts";
import type { OfferedTrainer, WorkerConfig } from "../schema/wire/worker.ts";
import { type AttemptOptions, memoryLimit } from "./attempt.ts";
import { Cohort } from "./cohort.ts";
import type { Claim, RunQueues } from "./run-queues.ts";
import type { TrainerPool } from "./trainer-pool.ts";

export interface Gathering {
  config: WorkerConfig;
  pool: TrainerPool;
  queues: RunQueues;
  /** How many runs more this worker may take. */
  room(): number;
}

/** @param trainer who trains it if it leads */
export function gatherOrJoin(
  claim: Claim,
  plan: RunPlan,
  trainer: OfferedTrainer,
  { config, pool, queues, room }: Gathering,
): AttemptOptions["train"] {
  const { device, cohort } = claim;
  if (cohort !== undefined)
    return (training) => {
      const begun = cohort.join(training);
      claim.joined();
      return begun;
    };
  const led = new Cohort(plan, {
    pool,
    trainer,
    device,
    memoryLimit: memoryLimit(config, device),
    alike: (shape, most) => queues.alike(claim, shape, most),
    gather: (self, most) => queues.gather(claim, self, Math.min(most, room())),
  });
  return (training) => {
    claim.together.push(led.over);
    return led.lead(training);
  };
}
