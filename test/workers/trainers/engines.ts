/**
 * The engines that train musweep's own models, as commands. The one in PyTorch takes part where $MUSWEEP_PYTHON names a Python that has
 * it, as `npm run test:torch` does.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type TrainerCommandLine, torchTrainer } from "../../../workers/trainer-commands.ts";
import { trainerCommand } from "./cpu/trainer-process.ts";

/** Without it, tests of the trainer in PyTorch are skipped, and say so. */
export const python = process.env.MUSWEEP_PYTHON;
if (python === undefined)
  console.warn(
    "SKIPPED: the trainer in PyTorch, because MUSWEEP_PYTHON names no Python that has it. `npm run test:torch` tests it.",
  );

export const embedded = (): TrainerCommandLine => ({ command: trainerCommand, env: {} });

/** @param options more arguments of the process */
export function inTorch(...options: string[]): TrainerCommandLine {
  const { command, env } = torchTrainer(python!, "cpu");
  // One thread: the models are tiny, and the machine is busy with other tests. No __pycache__ beside the sources.
  const quiet = { MUSWEEP_THREADS: "1", PYTHONDONTWRITEBYTECODE: "1" };
  return { command: [...command, ...options], env: { ...env, ...quiet } };
}

/** What the Python that has PyTorch prints, with the trainer's package at hand. */
export async function askPython(args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<string> {
  const { command, env } = inTorch();
  const { stdout } = await promisify(execFile)(command[0]!, args, {
    env: { ...process.env, ...env, ...more },
  });
  return stdout.trim();
}

/** On a device that breaks: after so many steps the next ones fail with that message, so many times. */
export function inBreakingTorch(
  { steps, times = 1_000_000, message }: { steps: number; times?: number; message: string },
  ...options: string[]
): TrainerCommandLine {
  return inFixture("breaking.py", [`${steps}`, `${times}`, message], options);
}

/** Compiled, where passes of more than so many sequences do not fit, and PyTorch keeps so many versions of a function. */
export const inNarrowTorch = (sequences: number, versions: number): TrainerCommandLine =>
  inFixture("narrow.py", [`${sequences}`, `${versions}`], ["--compile", "on"]);

/** Through a program that changes something first. */
function inFixture(file: string, given: readonly string[], options: readonly string[]): TrainerCommandLine {
  const { command, env } = inTorch(...options);
  const fixture = fileURLToPath(new URL(`torch/${file}`, import.meta.url));
  const [program, , , ...rest] = command;
  return { command: [program!, fixture, ...given, ...rest], env };
}

/** What PyTorch says where the host has no more memory. */
export const NO_MEMORY = "[enforce fail] DefaultCPUAllocator: can't allocate memory";

/** Of tests that start several Pythons with PyTorch: each takes a second, on a busy machine many. */
export const PATIENT = { timeout: 240_000 };
