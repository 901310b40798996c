/** Asks the trainer in PyTorch, through inspect_plans.py, what it starts from and what its first gradients are. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Plan } from "../../../../schema/wire/plan.ts";
import { readSafetensors } from "../../../../workers/trainers/common/safetensors.ts";
import { tensorSpecs } from "../../../../workers/trainers/common/tensors.ts";
import { inTorch } from "../engines.ts";

const PROGRAM = new URL("./inspect_plans.py", import.meta.url).pathname;

export interface Inspected {
  /** Nats per token of step 1's batch. */
  readonly loss: number;
  /** By canonical name, row-major. */
  readonly initial: Map<string, Float32Array>;
  readonly masks: Map<string, Float32Array>;
  readonly gradients: Map<string, Float32Array>;
}

/** One warm process; `inspect` may be called as often as one likes, one at a time. */
export class Inspector {
  readonly #child;
  readonly #lines;

  constructor() {
    const { command, env } = inTorch();
    this.#child = spawn(command[0]!, [PROGRAM], {
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** @param plans of one shape: one cohort; @param directory where files are exchanged */
  async inspect(
    plans: readonly Plan[],
    data_directory: string,
    directory: string,
    pad = 1,
  ): Promise<Inspected[]> {
    this.#child.stdin.write(`${JSON.stringify({ plans, data_directory, directory, pad })}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("inspect_plans.py has ended; see above");
    const losses = JSON.parse(value) as number[];
    return plans.map((plan, i) => {
      const specs = tensorSpecs(plan);
      const read = (file: string, names: readonly string[]): Map<string, Float32Array> => {
        const tensors = specs
          .filter((s) => names.includes(s.name))
          .map(({ name, shape, size }) => ({ name, shape, data: new Float32Array(size) }));
        readSafetensors(join(directory, String(i), `${file}.safetensors`), tensors);
        return new Map(tensors.map(({ name, data }) => [name, data]));
      };
      const all = specs.map((s) => s.name);
      const masked = specs.filter((s) => s.masked).map((s) => s.name);
      return {
        loss: losses[i]!,
        initial: read("initial", all),
        masks: read("masks", masked),
        gradients: read("gradients", all),
      };
    });
  }

  async close(): Promise<void> {
    const closed = once(this.#child, "close");
    this.#child.stdin.end();
    await closed;
  }
}
