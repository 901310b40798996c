/** A script of somebody's own as a worker starts it: its stdin and stdout are the protocol's, whatever it prints. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { packageRoot } from "../../../schema/wire/package.ts";
import { trainerEventSchema } from "../../../schema/wire/protocol.ts";
import { torchPython } from "../../support/torch-python.ts";
import type { ScriptPlan } from "./script-plan.ts";

// biome-ignore lint/suspicious/noExplicitAny: events are checked against the schema as they arrive
export type ScriptEvent = Record<string, any> & { type: string };

export const scriptPath = (name: string): string =>
  fileURLToPath(new URL(`./scripts/${name}`, import.meta.url));
export const examplePath = (name: string): string => join(packageRoot(), "examples", name, "train.py");

/** One thread: what is tested are numbers, and several processes that fight for the cores take minutes. */
export const scriptEnvironment = (more: Record<string, string> = {}): NodeJS.ProcessEnv => ({
  ...process.env,
  PYTHONPATH: [join(packageRoot(), "workers", "python"), process.env.PYTHONPATH].filter(Boolean).join(":"),
  PYTHONDONTWRITEBYTECODE: "1",
  // What is printed is on its way at once, as in containers and under torchrun.
  PYTHONUNBUFFERED: "1",
  MUSWEEP_THREADS: "1",
  ...more,
});

export function runCommand(plan: ScriptPlan, run: string, more: Record<string, unknown> = {}): object {
  return {
    type: "run",
    run,
    plan,
    data_directory: "/nonexistent",
    checkpoint: null,
    weights_path: null,
    report_every_steps: 1,
    memory_limit_bytes: null,
    ...more,
  };
}

/** Fields that the protocol does not know, and modules that a script names, are not held against an event. */
function check(event: ScriptEvent): ScriptEvent {
  const issues = (trainerEventSchema.safeParse(event).error?.issues ?? []).filter(
    ({ code, path }) => code !== "unrecognized_keys" && !(path[0] === "modules" && path[2] === "module"),
  );
  if (issues.length > 0) throw new Error(`${JSON.stringify(event)}: ${JSON.stringify(issues)}`);
  return event;
}

export class ScriptProcess {
  readonly events: ScriptEvent[] = [];
  stderr = "";
  readonly child: ChildProcessWithoutNullStreams;
  readonly #closed: Promise<unknown>;
  #broken: unknown;
  #next = 0;
  #wake = (): void => {};

  /** @param command the program and its arguments; a script alone is run by the Python that has PyTorch */
  constructor(command: readonly string[], environment: Record<string, string> = {}) {
    const [program, ...args] = command[0]!.endsWith(".py") ? [torchPython, ...command] : command;
    this.child = spawn(program!, args, { env: scriptEnvironment(environment), detached: true });
    this.#closed = once(this.child, "close");
    this.child.stdin.on("error", () => undefined);
    this.child.stderr.on("data", (chunk) => {
      this.stderr += chunk;
    });
    createInterface({ input: this.child.stdout }).on("line", (line) => {
      try {
        this.events.push(check(JSON.parse(line)));
      } catch (error) {
        this.#broken ??= error;
      }
      this.#wake();
    });
    void this.#closed.then(() => this.#wake());
    onTestFinished(async () => {
      this.child.kill("SIGKILL");
      await this.#closed;
    });
  }

  send(command: object): void {
    this.write(`${JSON.stringify(command)}\n`);
  }

  write(text: string): void {
    this.child.stdin.write(text);
  }

  /** The next event, after those already returned, of one of these types. */
  async next(...types: string[]): Promise<ScriptEvent> {
    for (;;) {
      if (this.#broken !== undefined) throw this.#broken;
      while (this.#next < this.events.length) {
        const event = this.events[this.#next++]!;
        if (types.includes(event.type)) return event;
      }
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        throw new Error(`The script ended; events: ${JSON.stringify(this.events)}; stderr: ${this.stderr}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** A run's last event. */
  end = (): Promise<ScriptEvent> => this.next("finished", "diverged", "stopped", "failed");

  /** Type and step of each event since, in order. */
  story = (): string[] => this.events.map((e) => ("step" in e ? `${e.type} ${e.step}` : e.type));

  /** @returns the exit code; null after a signal */
  async exit(): Promise<number | null> {
    await this.#closed;
    return this.child.exitCode;
  }
}
