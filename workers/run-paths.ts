/**
 * Where a run's files lie on this host. A run's id comes through Redis, which others may write to, and these paths are written
 * and deleted: they are built here alone, from an id of the right shape, and lie inside the directories of this host's own
 * configuration.
 */
import { join, resolve, sep } from "node:path";
import { runIdSchema } from "../schema/wire/plan.ts";
import type { WorkerConfig } from "../schema/wire/worker.ts";

/** The run's own checkpoints; removed with everything in it when the run has ended. */
export const checkpointDirectory = (config: WorkerConfig, run: string): string =>
  inside(config.checkpoint_directory, runIdSchema.parse(run));

/** Its trained weights, where they are kept. */
export const weightsPath = (config: WorkerConfig, run: string): string =>
  inside(config.weights_directory, `${runIdSchema.parse(run)}.safetensors`);

function inside(directory: string, name: string): string {
  const path = join(directory, name);
  if (!resolve(path).startsWith(resolve(directory) + sep))
    throw new Error(`${path} is not inside ${directory}`);
  return path;
}
