/** What a worker process is told, with everything below one directory. */
import { join } from "node:path";
import type { OfferedTrainer, WorkerConfig } from "../../schema/wire/worker.ts";

/** The embedded engine of the trainer that ships. */
export const EMBEDDED: OfferedTrainer = {
  name: "musweep",
  engine: "musweep-cpu",
  start: "embedded",
  devices: ["cpu"],
};

export const workerConfig = (
  directory: string,
  redis_url: string,
  config: Partial<WorkerConfig> = {},
): WorkerConfig => ({
  redis_url,
  trainers: [EMBEDDED],
  cpu_slots: 1,
  data_directory: join(directory, "data"),
  data_server: null,
  checkpoint_directory: join(directory, "checkpoints"),
  weights_directory: join(directory, "weights"),
  checkpoint_seconds: 60,
  threads_per_slot: 1,
  silence_seconds: 60,
  lock_seconds: 30,
  memory_bytes_per_slot: null,
  gives_back: true,
  grace_seconds: 10,
  until_empty: false,
  max_runs: null,
  ends_at: null,
  exit_with_stdin: false,
  ...config,
});
