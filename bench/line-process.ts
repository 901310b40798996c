/** A child process that answers lines with lines, each a JSON value. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

export class LineProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;
  readonly #command: string;

  constructor(program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    this.#command = `${program} ${args[0] ?? ""}`;
    this.#child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"], env });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** The next line that the process writes. */
  async next(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`${this.#command} ended early`);
    return JSON.parse(value);
  }

  send(message: unknown): void {
    this.#child.stdin.write(`${JSON.stringify(message)}\n`);
  }

  ask(message: unknown): Promise<unknown> {
    this.send(message);
    return this.next();
  }

  /** Resident memory: of now, VmRSS, or the most so far, VmHWM. Linux only. */
  residentBytes(field: "VmRSS" | "VmHWM"): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, "utf8");
    return 1024 * Number(new RegExp(`${field}:\\s*(\\d+) kB`).exec(status)![1]);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}
