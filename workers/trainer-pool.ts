/** Warm trainer processes, one per busy slot: a finished run's trainer takes the next run. */
import type { WorkerConfig } from "../schema/worker.ts";
import { builtInTrainer, TrainerProcess, trainerEnvironment } from "./trainer-process.ts";

export class TrainerPool {
  readonly #command: string[];
  readonly #env: NodeJS.ProcessEnv;
  readonly #silenceMs: number;
  readonly #idle: TrainerProcess[] = [];
  readonly #all = new Set<TrainerProcess>();

  constructor(config: WorkerConfig) {
    this.#command = config.trainer === "onnx" ? builtInTrainer() : config.trainer;
    this.#env = trainerEnvironment(config.threads_per_slot);
    this.#silenceMs = config.silence_seconds * 1000;
  }

  /** @throws TrainerFailure when none can be started */
  async take(): Promise<TrainerProcess> {
    while (true) {
      const warm = this.#idle.pop();
      if (!warm) break;
      if (warm.usable) return warm;
      await this.discard(warm);
    }
    const trainer = await TrainerProcess.start(this.#command, { env: this.#env, silenceMs: this.#silenceMs });
    this.#all.add(trainer);
    return trainer;
  }

  giveBack(trainer: TrainerProcess): void {
    this.#idle.push(trainer);
  }

  async discard(trainer: TrainerProcess): Promise<void> {
    await trainer.end();
    this.#all.delete(trainer);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all].map((trainer) => this.discard(trainer)));
  }
}
