/**
 * One trainer process, owned: started in its own process group, spoken to in JSON lines, watched for silence and garbage,
 * and ended as a group. Whatever goes wrong surfaces as a TrainerFailure, never as an exception elsewhere.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { packageRoot } from "../schema/wire/package.ts";
import {
  MAX_LINE_BYTES,
  PROTOCOL_VERSIONS,
  type RunCommand,
  type TrainerCommand,
  type TrainerEvent,
} from "../schema/wire/protocol.ts";
import { endedByStop } from "../schema/wire/stop-signals.ts";
import { readPaced } from "./paced-reading.ts";
import { readEvent } from "./read-event.ts";
import { RunAccount } from "./run-account.ts";
import { TrainerFailure } from "./trainer-failure.ts";

export type ReadyEvent = Extract<TrainerEvent, { type: "ready" }>;
export type FinalEvent = Extract<TrainerEvent, { type: "finished" | "diverged" | "stopped" }>;

const LOG_TAIL_CHARACTERS = 8000;
const TERMINATE_GRACE_MS = 5000;
/** What a trainer has written is read to its end, but somebody it has left behind may hold the pipe open for ever. */
const PIPE_GRACE_MS = 1000;
/** Even SIGKILL does not end a process that waits in the kernel, for a lost file server say. */
const UNENDING_MS = 1500;
/** Types of events that nobody knows are told of; more would be a flood of another kind. */
const MAX_UNKNOWN_TYPES = 20;

/** A trainer's environment: this process's, and its threads. */
export const trainerEnvironment = (threads: number): NodeJS.ProcessEnv => ({
  ...process.env,
  MUSWEEP_THREADS: String(threads),
});

/**
 * A trainer's numbers are elsewhere, and what it holds is to be known beforehand: little garbage before it is collected, at times of its
 * own choice as well, and no threads of Node's with memory of their own.
 */
const NODE_OPTIONS = ["--max-semi-space-size=1", "--expose-gc", "--single-threaded"];

/** The built-in trainer's command line: as this code runs, from source (through tsx) or from dist/, or `built` in any case. */
export function builtInTrainer(built = import.meta.url.endsWith(".js")): string[] {
  const place = ["workers", "trainers", "cpu"];
  const main = built ? join("dist", ...place, "main.js") : join(...place, "main.ts");
  const loader = built ? [] : ["--import", "tsx"];
  return [process.execPath, ...NODE_OPTIONS, ...loader, join(packageRoot(), main)];
}

interface Listener {
  onEvent(event: TrainerEvent): void;
  /** An event of a type that this worker does not know. */
  onUnknown?(): void;
  onFailure(failure: TrainerFailure): void;
}

/** A run on its way to a trainer. */
export interface Training {
  command: RunCommand;
  /** Told what the trainer says of it, once and within what the run allows, and what trainer that is. */
  onEvent(event: TrainerEvent, trainer: ReadyEvent): void;
  account: RunAccount;
}

interface Open extends Training {
  resolve(end: FinalEvent): void;
  reject(error: unknown): void;
}

const LOG_TURNS = 4;
/** Characters of them that are said. */
const LAST_WORDS = 300;

export interface TrainerOptions {
  env: NodeJS.ProcessEnv;
  silenceMs: number;
  /** Ends the trainer while it starts. */
  signal?: AbortSignal;
  /** What is odd and does no harm. */
  onRemark?: (remark: string) => void;
}

export class TrainerProcess {
  readonly #child: ChildProcess;
  readonly #silenceMs: number;
  readonly #onRemark: (remark: string) => void;
  readonly #unknownTypes = new Set<string>();
  #ready: ReadyEvent | undefined;
  #listener: Listener | undefined;
  #silence: NodeJS.Timeout | undefined;
  #pending: Buffer = Buffer.alloc(0);
  #lines = 0;
  #logTail = "";
  /** The first reason wins: a kill that follows a protocol error must not be reported as an exit. */
  #failure: TrainerFailure | undefined;
  /** How often it was sent runs, and whether it has said anything since the last time. */
  #sent = 0;
  #isHeard = false;
  #onAnswer: () => void = () => undefined;
  /** Resolves when it has said anything of what it was sent last, or has failed. */
  answered: Promise<void> = Promise.resolve();
  readonly #closed: Promise<unknown>;

  private constructor(command: string[], { env, silenceMs, onRemark }: TrainerOptions) {
    this.#silenceMs = silenceMs;
    this.#onRemark = onRemark ?? (() => undefined);
    const [program, ...args] = command;
    this.#child = spawn(program!, args, { detached: true, stdio: ["pipe", "pipe", "pipe"], env });
    this.#closed = once(this.#child, "close").catch(() => undefined);
    this.#child.on("error", (error: NodeJS.ErrnoException) => {
      const why =
        error.code === "ENOENT"
          ? "no such program; is it on the PATH? (python3, not python?)"
          : error.message;
      this.#fail(new TrainerFailure("trainer-start", `cannot start ${program}: ${why}`, false));
    });
    let pipes: NodeJS.Timeout | undefined;
    this.#child.on("exit", () => {
      // A child that outlives it would hold its output open, and its end would go unnoticed.
      this.#signalGroup("SIGKILL");
      // One that has left the group still can.
      pipes = setTimeout(() => this.#closePipes(), PIPE_GRACE_MS);
    });
    this.#child.on("close", (code, signal) => {
      clearTimeout(pipes);
      const how = signal ? `signal ${signal}` : `exit code ${code}`;
      const when = this.#ready ? "in the middle of its work" : "before it was ready";
      // What it has finished is finished.
      if (this.usable && this.#listener === undefined && code !== 0)
        this.#onRemark(`a trainer that had nothing left to do ended by ${how}`);
      const why = this.#ready ? "" : this.#lastWords;
      const failure = new TrainerFailure("trainer-exited", `the trainer ended by ${how} ${when}${why}`);
      failure.byStopSignal = endedByStop(code, signal);
      this.#fail(failure);
    });
    // A trainer that is gone makes writes fail; its "close" tells the story.
    this.#child.stdin!.on("error", () => undefined);
    // What comes until a failed one is gone is nobody's; a flood of it must not fill the memory.
    const isHurried = (): boolean => this.#failure !== undefined;
    void readPaced(this.#child.stdout!, (chunk) => this.#read(chunk), isHurried);
    void readPaced(this.#child.stderr!, (chunk) => this.#log(chunk.toString("utf8")), isHurried);
  }

  /** Starts the process and waits for its `ready`. */
  static async start(command: string[], options: TrainerOptions): Promise<TrainerProcess> {
    const trainer = new TrainerProcess(command, options);
    const abort = (): void => void trainer.end(0);
    options.signal?.addEventListener("abort", abort);
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
        if (options.signal?.aborted) abort();
      });
    } catch (error) {
      await trainer.end();
      throw trainer.#withLog(error);
    } finally {
      options.signal?.removeEventListener("abort", abort);
      trainer.#unlisten();
    }
    if (!PROTOCOL_VERSIONS.includes(trainer.ready.protocol)) {
      await trainer.end();
      throw new TrainerFailure(
        "trainer-protocol",
        `the trainer speaks protocol ${trainer.ready.protocol}, this worker ${PROTOCOL_VERSIONS.join(" and ")}`,
        false,
      );
    }
    return trainer;
  }

  get ready(): ReadyEvent {
    if (!this.#ready) throw new Error("trainer is not ready");
    return this.#ready;
  }

  /** The end of its log, with what it wrote just before its last event: that comes by a pipe of its own, which is read in turns too. */
  async logTail(): Promise<string> {
    for (let turn = 0; turn < LOG_TURNS; turn++) await setImmediate();
    return this.#logTail;
  }

  /** Whether the process can take another run. */
  get usable(): boolean {
    return this.#failure === undefined;
  }

  /** Whether it was sent runs before those that it has. */
  get isWarm(): boolean {
    return this.#sent > 1;
  }

  /** Whether it ended without a word of what it was sent last: of what it did before, as far as anybody knows. */
  get diedUnheard(): boolean {
    return this.#failure?.code === "trainer-exited" && !this.#isHeard;
  }

  /** Runs of one shape that it may be sent together. */
  get mostRuns(): number {
    return this.ready.protocol >= 2 ? (this.ready.most_runs ?? 1) : 1;
  }

  /**
   * How many runs of the plan's shape to send together. Only between runs, and to one that may be sent several.
   * @throws TrainerFailure, after which the process must be ended
   */
  async capacity(question: Omit<Extract<TrainerCommand, { type: "capacity" }>, "type">): Promise<number> {
    try {
      return await new Promise<number>((resolve, reject) => {
        const hear = (event: TrainerEvent): void => {
          if (event.type !== "capacity")
            throw this.#protocolFailure(`a "${event.type}" in answer to "capacity"`);
          resolve(Math.min(event.runs, question.most));
        };
        this.#listen({ onFailure: reject, onEvent: (event) => this.#orFail(() => hear(event)) });
        this.send({ type: "capacity", ...question });
      });
    } finally {
      this.#unlisten();
    }
  }

  /** One run: as `train`. */
  run(
    command: RunCommand,
    onEvent: (event: TrainerEvent) => void,
    account = new RunAccount(command.plan, command.weights_path),
  ): Promise<FinalEvent> {
    return this.train([{ command, onEvent, account }])[0]!;
  }

  /**
   * Runs plans to their ends; several only up to `mostRuns`, and of one shape.
   * @returns per run the event that ends it. Rejects with a TrainerFailure, after which, once all have ended, the process must be ended
   */
  train(trainings: readonly Training[]): Promise<FinalEvent>[] {
    this.#logTail = "";
    this.#sent++;
    this.#isHeard = false;
    this.answered = new Promise((resolve) => {
      this.#onAnswer = resolve;
    });
    const open = new Map<string, Open>();
    const ends = trainings.map(
      (training) =>
        new Promise<FinalEvent>((resolve, reject) => {
          open.set(training.command.run, { ...training, resolve, reject });
        }),
    );
    const close = (run: string): void => {
      open.delete(run);
      if (open.size === 0) this.#unlisten();
    };
    const hear = (event: TrainerEvent): void => {
      this.#isHeard = true;
      this.#onAnswer();
      if (event.type === "ready") throw this.#protocolFailure(`a second "ready"`);
      if (event.type === "capacity") throw this.#protocolFailure(`a "capacity" that nobody asked for`);
      const training = open.get(event.run);
      if (training === undefined) throw this.#protocolFailure(`an event of another run, ${event.run}`);
      if (event.type === "failed") {
        close(event.run);
        training.reject(this.#withLog(new TrainerFailure(event.code, event.message, event.retryable)));
        return;
      }
      const said = training.account.hear(event);
      if (said === null) return;
      if (said.type !== "finished" && said.type !== "diverged" && said.type !== "stopped") {
        training.onEvent(said, this.ready);
        return;
      }
      close(event.run);
      training.resolve(said);
    };
    this.#listen({
      onFailure: (failure) => {
        for (const [run, { reject }] of [...open]) {
          close(run);
          reject(this.#withLog(failure));
        }
      },
      // What comes after a failure is not heard any more.
      onEvent: (event) => this.#orFail(() => hear(event)),
      onUnknown: () => this.#orFail(() => trainings[0]!.account.idle()),
    });
    const [first, ...others] = trainings.map(({ command }) => command);
    if (others.length === 0) this.send(first!);
    else this.send({ type: "cohort", runs: [first!, ...others].map(({ type: _type, ...fields }) => fields) });
    return ends;
  }

  /** The last line of its log, which says what a program that does not even start lacks. */
  get #lastWords(): string {
    const last = this.#logTail.trimEnd().split("\n").at(-1)!.trim();
    return last === "" ? "" : `: ${last.length > LAST_WORDS ? `${last.slice(0, LAST_WORDS)}…` : last}`;
  }

  #withLog(error: unknown): unknown {
    if (error instanceof TrainerFailure) error.logTail = this.#logTail;
    return error;
  }

  send(command: TrainerCommand): void {
    this.#child.stdin!.write(`${JSON.stringify(command)}\n`);
  }

  /**
   * Closes stdin, then SIGTERM, then SIGKILL to the whole group; resolves when the process is gone, or cannot be ended.
   * @param graceMs between the two signals
   */
  async end(graceMs = TERMINATE_GRACE_MS): Promise<void> {
    this.#fail(new TrainerFailure("trainer-ended", "the trainer was ended"));
    this.#child.stdin!.end();
    this.#signalGroup("SIGTERM");
    const kill = setTimeout(() => this.#signalGroup("SIGKILL"), graceMs);
    let unending: NodeJS.Timeout | undefined;
    const givenUp = new Promise<void>((resolve) => {
      unending = setTimeout(() => {
        this.#closePipes();
        resolve();
      }, graceMs + UNENDING_MS);
    });
    await Promise.race([this.#closed, givenUp]);
    clearTimeout(kill);
    clearTimeout(unending);
  }

  /** This end of the pipes, so that nothing that holds the other one keeps this process. */
  #closePipes(): void {
    for (const stream of [this.#child.stdin, this.#child.stdout, this.#child.stderr]) stream?.destroy();
    this.#child.unref();
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
    this.#onAnswer();
    this.#listener?.onFailure(failure);
  }

  /** Whatever goes wrong while an event is heard is the attempt's failure. */
  #orFail(hear: () => void): void {
    try {
      hear();
    } catch (error) {
      if (!(error instanceof TrainerFailure)) throw error;
      this.#fail(error);
    }
  }

  #protocolFailure(what: string): TrainerFailure {
    return new TrainerFailure(
      "trainer-protocol",
      `the trainer broke the protocol: line ${this.#lines} of its output is ${what}`,
    );
  }

  #read(chunk: Buffer): void {
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

  #log(text: string): void {
    this.#logTail = (this.#logTail + text).slice(-LOG_TAIL_CHARACTERS);
  }

  #readLine(line: string): void {
    const read = readEvent(line);
    if ("text" in read && this.#ready === undefined) {
      // What a program prints before it knows better is its log; it goes on being silent all the same.
      this.#log(`${line}\n`);
      return;
    }
    if ("mistake" in read) {
      this.#fail(this.#protocolFailure(read.mistake));
      return;
    }
    const event = "event" in read ? read.event : null;
    if ("unknown" in read) this.#remarkUnknown(read.unknown);
    if (event?.type === "ready") this.#ready = event;
    if (!this.#listener) return;
    this.#watchSilence();
    if (event === null) this.#listener.onUnknown?.();
    else this.#listener.onEvent(event);
  }

  #remarkUnknown(type: string): void {
    if (this.#unknownTypes.has(type) || this.#unknownTypes.size === MAX_UNKNOWN_TYPES) return;
    this.#unknownTypes.add(type);
    this.#onRemark(
      `the trainer writes events of type ${JSON.stringify(type)}, which this worker does not know and passes over`,
    );
  }
}
