/**
 * One trainer process, owned: started in its own process group, spoken to in JSON lines, watched for silence and garbage,
 * and ended as a group. Whatever goes wrong surfaces as a TrainerFailure, never as an exception elsewhere.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import {
  MAX_LINE_BYTES,
  PROTOCOL_VERSION,
  type RunCommand,
  type TrainerCommand,
  type TrainerEvent,
  trainerEventSchema,
} from "../schema/protocol.ts";

type ReadyEvent = Extract<TrainerEvent, { type: "ready" }>;
export type FinalEvent = Extract<TrainerEvent, { type: "finished" | "diverged" | "stopped" }>;

const LOG_TAIL_CHARACTERS = 8000;
const TERMINATE_GRACE_MS = 5000;

export class TrainerFailure extends Error {
  override readonly name = "TrainerFailure";
  /** trainer-start, trainer-exited, trainer-protocol, trainer-silent, or the trainer's own code. */
  readonly code: string;
  readonly retryable: boolean;
  /** The end of what the trainer wrote on stderr. */
  logTail = "";
  constructor(code: string, message: string, retryable = true) {
    super(message);
    this.code = code;
    this.retryable = retryable;
  }
}

/**
 * A trainer's environment: this process's, its threads, and large arrays in huge pages, which glibc decides as it starts:
 * 2 to 6% faster from there on, in no more memory.
 */
export const trainerEnvironment = (threads: number): NodeJS.ProcessEnv => ({
  GLIBC_TUNABLES: "glibc.malloc.hugetlb=1",
  ...process.env,
  MUSWEEP_THREADS: String(threads),
});

/** The built-in trainer's command line, from source (through tsx) and from dist/ alike. */
export function builtInTrainer(): string[] {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const main = fileURLToPath(new URL(`./trainers/onnx/main.${extension}`, import.meta.url));
  return extension === "ts" ? [process.execPath, "--import", "tsx", main] : [process.execPath, main];
}

interface Listener {
  onEvent(event: TrainerEvent): void;
  onFailure(failure: TrainerFailure): void;
}

export class TrainerProcess {
  readonly #child: ChildProcess;
  readonly #silenceMs: number;
  #ready: ReadyEvent | undefined;
  #listener: Listener | undefined;
  #silence: NodeJS.Timeout | undefined;
  #pending: Buffer = Buffer.alloc(0);
  #lines = 0;
  #logTail = "";
  /** The first reason wins: a kill that follows a protocol error must not be reported as an exit. */
  #failure: TrainerFailure | undefined;
  readonly #closed: Promise<unknown>;

  private constructor(command: string[], env: NodeJS.ProcessEnv, silenceMs: number) {
    this.#silenceMs = silenceMs;
    const [program, ...args] = command;
    this.#child = spawn(program!, args, { detached: true, stdio: ["pipe", "pipe", "pipe"], env });
    this.#closed = once(this.#child, "close").catch(() => undefined);
    this.#child.on("error", (error) =>
      this.#fail(new TrainerFailure("trainer-start", `cannot start ${program}: ${error.message}`, false)),
    );
    // A child that outlives it would hold its output open, and its end would go unnoticed.
    this.#child.on("exit", () => this.#signalGroup("SIGKILL"));
    this.#child.on("close", (code, signal) => {
      const how = signal ? `signal ${signal}` : `exit code ${code}`;
      const when = this.#ready ? "in the middle of its work" : "before it was ready";
      this.#fail(new TrainerFailure("trainer-exited", `the trainer ended by ${how} ${when}`));
    });
    // A trainer that is gone makes writes fail; its "close" tells the story.
    this.#child.stdin!.on("error", () => undefined);
    this.#child.stdout!.on("data", (chunk: Buffer) => this.#read(chunk));
    this.#child.stderr!.on("data", (chunk: Buffer) => {
      this.#logTail = (this.#logTail + chunk.toString("utf8")).slice(-LOG_TAIL_CHARACTERS);
    });
  }

  /** Starts the process and waits for its `ready`. */
  static async start(
    command: string[],
    options: { env: NodeJS.ProcessEnv; silenceMs: number },
  ): Promise<TrainerProcess> {
    const trainer = new TrainerProcess(command, options.env, options.silenceMs);
    try {
      await new Promise<void>((resolve, reject) => {
        trainer.#listen({
          onEvent: (event) =>
            event.type === "ready"
              ? resolve()
              : reject(
                  new TrainerFailure(
                    "trainer-protocol",
                    `the trainer's first line was "${event.type}", not "ready"`,
                    false,
                  ),
                ),
          onFailure: reject,
        });
      });
    } catch (error) {
      await trainer.end();
      throw trainer.#withLog(error);
    } finally {
      trainer.#unlisten();
    }
    if (trainer.ready.protocol !== PROTOCOL_VERSION) {
      await trainer.end();
      throw new TrainerFailure(
        "trainer-protocol",
        `the trainer speaks protocol ${trainer.ready.protocol}, this worker ${PROTOCOL_VERSION}`,
        false,
      );
    }
    return trainer;
  }

  get ready(): ReadyEvent {
    if (!this.#ready) throw new Error("trainer is not ready");
    return this.#ready;
  }

  get logTail(): string {
    return this.#logTail;
  }

  /** Whether the process can take another run. */
  get usable(): boolean {
    return this.#failure === undefined;
  }

  /**
   * Runs one plan to its end.
   * @returns the event that ended it
   * @throws TrainerFailure, after which the process must be ended
   */
  async run(command: RunCommand, onEvent: (event: TrainerEvent) => void): Promise<FinalEvent> {
    this.#logTail = "";
    try {
      return await new Promise<FinalEvent>((resolve, reject) => {
        this.#listen({
          onFailure: reject,
          onEvent: (event) => {
            if (event.type === "ready") return reject(this.#protocolFailure(`a second "ready"`));
            if (event.run !== command.run)
              return reject(this.#protocolFailure(`an event of another run, ${event.run}`));
            if (event.type === "failed")
              return reject(new TrainerFailure(event.code, event.message, event.retryable));
            if (event.type === "finished" || event.type === "diverged" || event.type === "stopped")
              return resolve(event);
            onEvent(event);
          },
        });
        this.send(command);
      });
    } catch (error) {
      throw this.#withLog(error);
    } finally {
      this.#unlisten();
    }
  }

  #withLog(error: unknown): unknown {
    if (error instanceof TrainerFailure) error.logTail = this.#logTail;
    return error;
  }

  send(command: TrainerCommand): void {
    this.#child.stdin!.write(`${JSON.stringify(command)}\n`);
  }

  /** Closes stdin, then SIGTERM, then SIGKILL to the whole group; resolves when the process is gone. */
  async end(): Promise<void> {
    this.#failure ??= new TrainerFailure("trainer-exited", "the trainer was ended");
    this.#child.stdin!.end();
    this.#signalGroup("SIGTERM");
    const kill = setTimeout(() => this.#signalGroup("SIGKILL"), TERMINATE_GRACE_MS);
    await this.#closed;
    clearTimeout(kill);
  }

  #signalGroup(signal: NodeJS.Signals): void {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, signal);
    } catch {
      // The group is gone.
    }
  }

  #listen(listener: Listener): void {
    this.#listener = listener;
    if (this.#failure) listener.onFailure(this.#failure);
    else this.#watchSilence();
  }

  #unlisten(): void {
    this.#listener = undefined;
    clearTimeout(this.#silence);
  }

  #watchSilence(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(
      () =>
        this.#fail(
          new TrainerFailure("trainer-silent", `the trainer said nothing for ${this.#silenceMs / 1000} s`),
        ),
      this.#silenceMs,
    );
  }

  #fail(failure: TrainerFailure): void {
    if (this.#failure) return;
    this.#failure = failure;
    this.#listener?.onFailure(failure);
  }

  #protocolFailure(what: string): TrainerFailure {
    return new TrainerFailure(
      "trainer-protocol",
      `the trainer broke the protocol: line ${this.#lines} of its output is ${what}`,
    );
  }

  #read(chunk: Buffer): void {
    // What comes until the process is gone is nobody's; a flood of it must not fill the memory.
    if (this.#failure) return;
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    for (let end = this.#pending.indexOf(10); end >= 0; end = this.#pending.indexOf(10)) {
      const line = this.#pending.subarray(0, end).toString("utf8");
      this.#pending = this.#pending.subarray(end + 1);
      this.#lines++;
      this.#readLine(line);
      if (this.#failure) return;
    }
    if (this.#pending.length > MAX_LINE_BYTES) {
      this.#lines++;
      this.#fail(this.#protocolFailure(`longer than ${MAX_LINE_BYTES} bytes`));
    }
  }

  #readLine(line: string): void {
    const event = this.#parse(line);
    if (event instanceof TrainerFailure) {
      this.#fail(event);
      return;
    }
    if (event.type === "ready") this.#ready = event;
    if (!this.#listener) return;
    this.#watchSilence();
    this.#listener.onEvent(event);
  }

  #parse(line: string): TrainerEvent | TrainerFailure {
    const shown = JSON.stringify(line.length > 120 ? `${line.slice(0, 120)}…` : line);
    let json: unknown;
    try {
      json = JSON.parse(line);
    } catch {
      return this.#protocolFailure(`not JSON: ${shown}`);
    }
    const parsed = trainerEventSchema.safeParse(json);
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0]!;
    const where = issue.path.length > 0 ? `${issue.path.join(".")}: ` : "";
    return this.#protocolFailure(`no known event (${where}${issue.message}): ${shown}`);
  }
}
