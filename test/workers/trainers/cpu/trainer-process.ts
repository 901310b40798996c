/** The embedded trainer as a real process for tests, with one thread. */
import { builtInTrainer, trainerEnvironment } from "../../../../workers/trainer-process.ts";
import { isBuilt } from "../../../support/built.ts";
import { TrainerProcess as AnyTrainer } from "../trainer-process.ts";

/** From dist/ where that is made of these sources. */
export const trainerCommand = builtInTrainer(isBuilt("workers/trainers/cpu/main.js", ["workers", "schema"]));

export class TrainerProcess extends AnyTrainer {
  constructor(environment: Record<string, string> = {}, command = trainerCommand) {
    super({ command, env: { ...trainerEnvironment(1), ...environment } });
  }
}
