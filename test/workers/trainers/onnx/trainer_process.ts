/** A real trainer process for tests: sends commands, and waits for events by condition. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { onTestFinished } from "vitest";
import { type TrainerCommand, type TrainerEvent, trainerEventSchema } from "../../../../schema/protocol.ts";

type EventOf<Type extends TrainerEvent["type"]> = Extract<TrainerEvent, { type: Type }>;

export class TrainerProcess {
  /** Every event so far, each checked against the protocol's schema. */
  readonly events: TrainerEvent[] = [];
  stderr = "";
  readonly child: ChildProcessWithoutNullStreams;
  readonly #exited: Promise<unknown>;
  #next = 0;
  #wake = (): void => {};

  constructor(environment: Record<string, string> = {}) {
    const main = new URL("../../../../workers/trainers/onnx/main.ts", import.meta.url).pathname;
    this.child = spawn(process.execPath, ["--import", "tsx", main], {
      env: { ...process.env, ...environment },
    });
    this.#exited = once(this.child, "close");
    this.child.stderr.on("data", (chunk) => {
      this.stderr += chunk;
    });
    createInterface({ input: this.child.stdout }).on("line", (line) => {
      this.events.push(trainerEventSchema.parse(JSON.parse(line)));
      this.#wake();
    });
    void this.#exited.then(() => this.#wake());
    onTestFinished(() => this.kill());
  }

  send(command: TrainerCommand): void {
    this.write(`${JSON.stringify(command)}\n`);
  }

  write(text: string): void {
    this.child.stdin.write(text);
  }

  /** The next event, after those already returned, that is of one of these types and satisfies the condition. */
  async next<Type extends TrainerEvent["type"]>(
    types: readonly Type[],
    condition: (event: EventOf<Type>) => boolean = () => true,
  ): Promise<EventOf<Type>> {
    for (;;) {
      while (this.#next < this.events.length) {
        const event = this.events[this.#next++]!;
        const wanted = types.find((type) => type === event.type);
        if (wanted !== undefined && condition(event as EventOf<Type>)) return event as EventOf<Type>;
      }
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        throw new Error(`The trainer exited; events: ${JSON.stringify(this.events)}; stderr: ${this.stderr}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** @returns the exit code; null after a signal */
  async exit(): Promise<number | null> {
    await this.#exited;
    return this.child.exitCode;
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.#exited;
  }
}
