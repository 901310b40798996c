/** Small programs that answer at once: one that does not, whatever it does with signals, is killed. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

/** A cold or a shared disk takes its time. */
const ANSWER_MS = 30_000;

export interface BrieflyOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** How long it may take. */
  timeout?: number;
}

/**
 * Runs a program to its end and gives what it has printed.
 * @throws as execFile; `killed` is true where it took too long
 */
export async function runBriefly(
  program: string,
  args: readonly string[],
  { timeout = ANSWER_MS, ...options }: BrieflyOptions = {},
): Promise<string> {
  const { stdout } = await run(program, args, { ...options, timeout, killSignal: "SIGKILL" });
  return stdout;
}
