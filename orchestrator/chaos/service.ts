/** A command that is started again whenever it ends, as a service manager would. */
import type { ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

export const RESTART_MS = 200;

export class Service {
  #child: ChildProcess;
  #ending = false;
  readonly #start: () => ChildProcess;
  #ended: Promise<void> = Promise.resolve();
  #beforeNext: () => void = () => undefined;

  constructor(start: () => ChildProcess) {
    this.#start = start;
    this.#child = this.#begin();
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** What is done once, before it is started again. */
  beforeNext(prepare: () => void): void {
    this.#beforeNext = prepare;
  }

  #begin(): ChildProcess {
    this.#beforeNext();
    this.#beforeNext = () => undefined;
    const child = this.#start();
    this.#ended = new Promise((resolve) => {
      child.once("error", () => resolve());
      child.once("exit", () => {
        resolve();
        if (!this.#ending)
          void sleep(RESTART_MS).then(() => {
            if (!this.#ending) this.#child = this.#begin();
          });
      });
    });
    return child;
  }

  /** In order. @returns the exit code; null where it was killed */
  async end(): Promise<number | null> {
    this.#ending = true;
    this.#child.kill("SIGCONT");
    this.#child.kill("SIGTERM");
    await this.#ended;
    return this.#child.exitCode;
  }
}
