/**
 * Work for other people in a process of its own, which is ended when it takes too long, needs too much memory, or nobody waits for
 * it any more: a thread that computes cannot be interrupted otherwise. The program reads its order from standard input and answers
 * with a JSON value a line on standard output.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { MusweepError } from "../../schema/wire/errors.ts";
import { programAt } from "./program.ts";
import { splitLines } from "./split-lines.ts";

const MEMORY_LOOK_MS = 50;
const COMPLAINT_CHARACTERS = 2000;
/** A longer line of an answer would be held several times over while it is read. */
const MAX_LINE_BYTES = 64 << 20;

export interface Limits {
  seconds: number;
  /** Resident, while it runs. */
  memoryBytes: number;
  tooSlow: () => MusweepError;
  tooLarge: () => MusweepError;
  /** It ended by itself, before its answer did. @param complaint the end of its standard error */
  broken: (complaint: string) => Error;
}

export interface LimitedProcess {
  /** The next value of its answer. @throws why there is none: it was ended, in the middle of a line perhaps, or it broke */
  next(): Promise<unknown>;
  stop(): void;
  readonly ended: Promise<void>;
  /** So far, in seconds. */
  elapsed(): number;
}

/** @param program as programAt takes it */
export function startLimited(program: string, order: string, limits: Limits): LimitedProcess {
  const started = performance.now();
  const child = spawn(process.execPath, programAt(program), { stdio: ["pipe", "pipe", "pipe"] });
  /** The first reason wins. */
  let reason: MusweepError | undefined;
  const stop = (why?: MusweepError): void => {
    reason ??= why;
    child.kill("SIGKILL");
    // What it had written and nobody has read would keep it from being closed.
    child.stdout.destroy();
  };
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(-COMPLAINT_CHARACTERS);
  });
  child.stdin.on("error", () => undefined).end(order);
  const timer = setTimeout(() => stop(limits.tooSlow()), limits.seconds * 1000);
  const memory = setInterval(() => {
    if (residentBytes(child.pid) > limits.memoryBytes) stop(limits.tooLarge());
  }, MEMORY_LOOK_MS);
  const ended = new Promise<void>((resolve) => {
    child.on("error", (error) => {
      complaint = error.message;
      resolve();
    });
    child.on("close", () => resolve());
  }).finally(() => {
    clearTimeout(timer);
    clearInterval(memory);
  });
  // Read as it is asked for: while nobody asks, the program waits at its own write.
  const lines = splitLines(child.stdout, MAX_LINE_BYTES, limits.tooLarge);
  return {
    async next() {
      try {
        const { value, done } = await lines.next();
        if (!done) return JSON.parse(value.line.toString("utf8"));
      } catch (error) {
        stop(error instanceof MusweepError ? error : undefined);
      }
      await ended;
      throw reason ?? limits.broken(complaint.trim());
    },
    stop: () => stop(),
    ended,
    elapsed: () => (performance.now() - started) / 1000,
  };
}

/** Where the system tells; elsewhere the time limit has to do. */
function residentBytes(pid: number | undefined): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(/^VmRSS:\s*(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
