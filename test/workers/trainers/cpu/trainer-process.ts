/** The embedded trainer as a real process for tests, with one thread. */
import { builtInTrainer, trainerEnvironment } from "../../../../workers/trainer-process.ts";
import { TrainerProcess as AnyTrainer } from "../trainer-process.ts";

export class TrainerProcess extends AnyTrainer {
  constructor(environment: Record<string, string> = {}, command = builtInTrainer()) {
    super({ command, env: { ...trainerEnvironment(1), ...environment } });
  }
}
