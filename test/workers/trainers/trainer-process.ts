/** A real trainer process for tests: sends commands, and waits for events by condition. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { onTestFinished } from "vitest";
import { type Plan, runIdOf } from "../../../schema/wire/plan.ts";
import {
  type ModelRunCommand,
  type RunCommand,
  type TrainerCommand,
  type TrainerEvent,
  trainerEventSchema,
} from "../../../schema/wire/protocol.ts";
import type { TrainerCommandLine } from "../../../workers/trainer-commands.ts";

type EventOf<Type extends TrainerEvent["type"]> = Extract<TrainerEvent, { type: Type }>;

export const ENDINGS = ["finished", "diverged", "stopped", "failed"] as const;

/** A command that trains a plan and keeps nothing. */
export const runCommand = (
  plan: Plan,
  directory: string,
  options: Partial<ModelRunCommand> = {},
): ModelRunCommand => ({
  type: "run",
  run: runIdOf(plan),
  plan,
  data_directory: directory,
  checkpoint: null,
  weights_path: null,
  report_every_steps: 5,
  memory_limit_bytes: null,
  ...options,
});

export class TrainerProcess {
  /** Every event so far, each checked against the protocol's schema. */
  readonly events: TrainerEvent[] = [];
  stderr = "";
  readonly child: ChildProcessWithoutNullStreams;
  readonly #exited: Promise<unknown>;
  #next = 0;
  #wake = (): void => {};

  /** @param atEnd registers what ends the process: of a test, or afterAll of those that share it */
  constructor(
    { command, env }: TrainerCommandLine,
    atEnd: (end: () => Promise<void>) => void = onTestFinished,
  ) {
    const [program, ...args] = command;
    this.child = spawn(program!, args, { env: { ...process.env, ...env } });
    this.#exited = once(this.child, "close");
    this.child.stderr.on("data", (chunk) => {
      this.stderr += chunk;
    });
    createInterface({ input: this.child.stdout }).on("line", (line) => {
      this.events.push(trainerEventSchema.parse(JSON.parse(line)));
      this.#wake();
    });
    void this.#exited.then(() => this.#wake());
    atEnd(() => this.kill());
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

  /** Trains a run to its end; every event of it. */
  async train(command: RunCommand): Promise<TrainerEvent[]> {
    const before = this.events.length;
    this.send(command);
    await this.next(ENDINGS);
    return this.events.slice(before).filter((event) => event.type !== "ready");
  }

  /**
   * Trains a run until such an event, then stops it. A run that ended before the word came, because this process had to wait for its
   * turn, is begun again.
   */
  async stopAfter<Type extends TrainerEvent["type"]>(
    command: RunCommand,
    types: readonly Type[],
    condition?: (event: EventOf<Type>) => boolean,
  ): Promise<EventOf<"stopped">> {
    for (;;) {
      this.send(command);
      await this.next(types, condition);
      this.send({ type: "stop", run: command.run });
      const end = await this.next(ENDINGS);
      if (end.type === "stopped") return end;
      if (end.type !== "finished") throw new Error(JSON.stringify(end));
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
