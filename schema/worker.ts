/** What a worker process is told when it starts: one JSON object as its only argument. */
import { z } from "zod";
import { CAPABILITIES } from "./queue.ts";

export const workerConfigSchema = z.strictObject({
  redis_url: z.string(),
  capability: z.enum(CAPABILITIES),
  slots: z.int().positive(),
  /** Where tokenized data sets lie (schema/data.ts). */
  data_directory: z.string(),
  /** Checkpoints, one folder per run. Workers that share it resume each other's runs. */
  checkpoint_directory: z.string(),
  weights_directory: z.string(),
  checkpoint_seconds: z.number().positive(),
  /**
   * The trainer to start: the built-in one, or a command line. It comes from this host's own command line only, never
   * from a job.
   */
  trainer: z.union([z.literal("onnx"), z.array(z.string()).min(1)]),
  threads_per_slot: z.int().positive(),
  /** A trainer that says nothing for this long is ended and its attempt fails. */
  silence_seconds: z.number().positive(),
  /** How long a dead worker's runs stay locked; a live worker renews well before. */
  lock_seconds: z.number().positive(),
  /** Per slot; a run estimated to need more is refused. Null: no limit. */
  memory_bytes_per_slot: z.number().positive().nullable(),
  /** Shut down when standard input closes: set by a parent that must not be outlived. */
  exit_with_stdin: z.boolean(),
});
export type WorkerConfig = z.infer<typeof workerConfigSchema>;
