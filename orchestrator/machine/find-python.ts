/** Finding a Python that has what the trainer in PyTorch needs, and what it can train on. */
import { lstatSync, statSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { torchPackages } from "../../schema/wire/package.ts";
import { shellWord } from "../../schema/wire/shell-line.ts";
import { deviceSchema } from "../../schema/wire/worker.ts";
import { findProgram } from "./find-server.ts";
import { holderOpenToOthers, openToOthers } from "./open-to-others.ts";
import { runBriefly } from "./run-briefly.ts";

/** What `python -m musweep_torch --probe` prints (workers/trainers/torch/musweep_torch/probe.py). */
const probeSchema = z.object({
  python: z.string(),
  torch: z.string().nullable(),
  devices: z.array(z.object({ device: deviceSchema, name: z.string(), memory_bytes: z.number() })),
  /** Why its GPUs train uncompiled; null when they do not. */
  uncompiled: z.string().nullable(),
  /** What is missing or too old; null when all is well. */
  problem: z.string().nullable(),
});

export interface TorchPython {
  /** The program, as it is started. */
  path: string;
  /** Versions. */
  python: string;
  torch: string;
  /** GPUs that PyTorch sees; it always has the CPU, too. */
  gpus: { device: string; name: string; memory_bytes: number }[];
  /** A sentence; null where runs on them are compiled. */
  uncompiled: string | null;
}

export interface UnusablePython {
  path: string;
  /** A sentence each. */
  problem: string;
  remedy: string;
}

/** Importing PyTorch from a cold or a shared disk takes its time. */
const PROBE_MS = 120_000;

/** Where an unnamed Python of the current directory is looked for. */
const HERE = [".venv", path.join(".venv", "bin"), path.join(".venv", "bin", "python")] as const;

const OTHER = "Name a Python that has torch 2.6 or newer.";

/** What to type to give a Python what is missing. */
export const installCommand = (python: string): string => `${shellWord(python)} -m pip install torch numpy`;

/**
 * The first Python that can train, and those before it that cannot. One that is named is the only one that counts.
 * @param named by --python or $MUSWEEP_PYTHON
 */
export async function findTorch(
  named: string | undefined,
): Promise<{ found?: TorchPython; unusable: UnusablePython[] }> {
  const onPath = await findProgram("python3");
  const candidates = named !== undefined ? [named] : [HERE[2], onPath ?? "python3"];
  const unusable: UnusablePython[] = [];
  for (const candidate of candidates) {
    const strange = named === undefined && candidate === HERE[2] ? strangeHere() : undefined;
    const found = strange ?? (await probe(candidate));
    if ("torch" in found) return { found, unusable };
    unusable.push(found);
  }
  return { unusable };
}

/** Another user may have put it there, for whoever calls musweep in that directory. */
function strangeHere(): UnusablePython | undefined {
  const program = HERE[2];
  try {
    for (const step of [".", ...HERE]) {
      const info = lstatSync(step);
      // A link has no mode of its own; what it leads to has.
      const link = info.isSymbolicLink() ? openToOthers({ ...info, mode: 0 }) : undefined;
      const why = link ?? (step === "." ? holderOpenToOthers : openToOthers)(statSync(step));
      if (why === undefined) continue;
      const problem = `${path.resolve(step)} ${why}; it is run only where it is named.`;
      return {
        path: program,
        problem,
        remedy: `If you trust it, name it with --python ${shellWord(program)}.`,
      };
    }
    return undefined;
  } catch (error) {
    return { path: program, problem: problemOf(error as ExecError), remedy: OTHER };
  }
}

async function probe(program: string): Promise<TorchPython | UnusablePython> {
  const env = { ...process.env, PYTHONPATH: torchPackages(), PYTHONDONTWRITEBYTECODE: "1" };
  let stdout: string;
  try {
    stdout = await runBriefly(program, ["-m", "musweep_torch", "--probe"], { env, timeout: PROBE_MS });
  } catch (error) {
    return { path: program, problem: problemOf(error as ExecError), remedy: OTHER };
  }
  const parsed = probeSchema.safeParse(parseJson(stdout));
  if (!parsed.success)
    return { path: program, problem: "It is no Python that runs musweep_torch.", remedy: OTHER };
  const { python, torch, devices, uncompiled, problem } = parsed.data;
  if (problem !== null || torch === null)
    return { path: program, problem: problem ?? "It has no torch.", remedy: `${installCommand(program)}.` };
  return { path: program, python, torch, gpus: devices, uncompiled };
}

interface ExecError extends NodeJS.ErrnoException {
  stderr?: string;
  killed?: boolean;
}

function problemOf(error: ExecError): string {
  if (error.code === "ENOENT") return "There is no such program.";
  if (error.killed === true) return `It says nothing for ${PROBE_MS / 1000} s.`;
  const said = error.stderr?.trim().split("\n").at(-1);
  return said === undefined || said === ""
    ? `It cannot be run: ${error.message.split("\n")[0]}.`
    : `${said}.`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
