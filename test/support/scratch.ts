/**
 * A directory of its own for a test, removed at its end, and the check that no process outlives it. Every process that a
 * test starts gets the scratch's mark in its environment and hands it down, so also a grandchild of a trainer is found.
 */
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished, vi } from "vitest";

const MARK = "MUSWEEP_TEST_MARK";
/** Longer than a trainer that ignores SIGTERM is given. */
const GONE_MS = 20_000;

export interface Scratch {
  readonly directory: string;
  /** For every process that is started: this machine's environment without the user's own musweep settings. */
  readonly env: NodeJS.ProcessEnv;
  /** Processes that carry the mark or work inside the directory, as "pid command line". */
  processes(): string[];
  /** Resolves when there is no such process. @throws with their command lines when some stay */
  expectNoProcess(): Promise<void>;
}

/**
 * @param atEnd registers the clean-up: of this test by default, or afterAll for a scratch that a file shares (made while the file
 *   is read: vitest does not hear an afterAll from inside a beforeAll)
 */
export function scratch(atEnd: (cleanUp: () => Promise<void>) => void = onTestFinished): Scratch {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "musweep-e2e-")));
  const mark = randomUUID();
  const settings = /^(?:REDIS|MUSWEEP)_/;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !settings.test(name)));
  const processes = (): string[] => marked(`${MARK}=${mark}`, directory);
  const self: Scratch = {
    directory,
    env: { ...env, [MARK]: mark },
    processes,
    expectNoProcess: () =>
      vi.waitFor(
        () => {
          const left = processes();
          if (left.length > 0) throw new Error(`processes left over:\n${left.join("\n")}`);
        },
        { timeout: GONE_MS, interval: 50 },
      ),
  };
  atEnd(async () => {
    try {
      await self.expectNoProcess();
    } finally {
      for (const line of processes()) end(Number.parseInt(line, 10));
      rmSync(directory, { recursive: true, force: true });
    }
  });
  return self;
}

/** By kill -9, unless it ended by itself before. */
export function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}

/** redis-server overwrites its environment with its title; its working directory, inside the scratch, gives it away. */
function marked(mark: string, directory: string): string[] {
  if (!existsSync("/proc/self/environ")) {
    return execFileSync("ps", ["axeww", "-o", "pid=,command="], { encoding: "utf8" })
      .split("\n")
      .filter((line) => line.includes(mark) || line.includes(directory))
      .filter((line) => Number.parseInt(line, 10) !== process.pid);
  }
  const found: string[] = [];
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      // Empty: ended, and not yet waited for.
      if (command === "") continue;
      const inside = readlinkSync(`/proc/${pid}/cwd`).startsWith(directory);
      if (inside || readFileSync(`/proc/${pid}/environ`, "utf8").includes(mark))
        found.push(`${pid} ${command}`);
    } catch {
      // It ended while it was looked at, or belongs to somebody else.
    }
  }
  return found;
}

/** Waits for a condition: `check` throws until it holds. */
export const until = <T>(check: () => T | Promise<T>, timeout = 120_000): Promise<T> =>
  vi.waitFor(check, { timeout, interval: 50 });
