/** Starts a worker as a process of its own: the orchestrator knows workers only by their configuration. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import type { WorkerConfig } from "../../schema/wire/worker.ts";
import { programAt } from "./program.ts";

/** The command line of a file under workers/. */
export const workerProgram = (name: string): string[] => programAt(`../../workers/${name}`);

export interface LocalWorker {
  /** Resolves with the exit code (null: a signal) when the process has ended, whoever ended it. */
  readonly ended: Promise<number | null>;
  /** Asks it to checkpoint, give its runs back, and end. @param signal SIGTERM, or another of those that it obeys */
  stop(signal?: NodeJS.Signals): Promise<void>;
  kill(): void;
}

/**
 * @param logFile where its log goes; undefined: this process's standard error
 */
export function startLocalWorker(config: WorkerConfig, logFile: string | undefined): LocalWorker {
  const stderr = logFile === undefined ? "inherit" : openSync(logFile, "a");
  const child: ChildProcess = spawn(process.execPath, workerProgram("main"), {
    // Its own group: Ctrl-C in a terminal must reach this process alone, which then stops the worker in order.
    detached: true,
    stdio: ["pipe", "ignore", stderr],
  });
  // Not as an argument: the url of Redis may hold a password.
  child.stdin!.on("error", () => undefined).write(`${JSON.stringify(config)}\n`);
  const ended = once(child, "close").then(([code]) => code as number | null);
  return {
    ended,
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      await ended;
    },
    kill() {
      child.kill("SIGKILL");
    },
  };
}
