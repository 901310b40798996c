/** How trainers are started: their command lines, and the environment that each needs. */
import { scriptPackages, torchPackages } from "../schema/wire/package.ts";
import type { OfferedTrainer } from "../schema/wire/worker.ts";
import { builtInTrainer } from "./trainer-process.ts";

export interface TrainerCommandLine {
  readonly command: string[];
  readonly env: NodeJS.ProcessEnv;
}

/** For people: what a worker trains with. */
export function describeTrainer({ name, start, devices }: OfferedTrainer): string {
  if (start === "embedded") return name;
  return "python" in start
    ? `torch on ${devices.join(", ")}`
    : `${name === "musweep" ? "" : `${name}: `}${start.command.join(" ")}`;
}

/** @param device "cpu" or "cuda:0" */
export function commandLineOf({ start }: OfferedTrainer, device: string): TrainerCommandLine {
  if (start === "embedded") return { command: builtInTrainer(), env: {} };
  return "python" in start
    ? torchTrainer(start.python, device)
    : { command: start.command, env: { ...onlyDevice(device), ...withPackages(scriptPackages()) } };
}

/**
 * The trainer in PyTorch, from beside package.json.
 * @param python path of a Python that has PyTorch; @param device "cpu" or "cuda:0"
 */
export function torchTrainer(python: string, device: string): TrainerCommandLine {
  return {
    command: [python, "-m", "musweep_torch", "--device", device],
    env: withPackages(torchPackages()),
  };
}

/** Of Python: what is imported from there, before what this process's own environment says. */
const withPackages = (directory: string): NodeJS.ProcessEnv => ({
  PYTHONPATH: [directory, process.env.PYTHONPATH].filter(Boolean).join(":"),
});

/** A program of somebody's own sees the one GPU of its slot, whichever of those that this process sees. */
function onlyDevice(device: string): NodeJS.ProcessEnv {
  const number = /^cuda:(\d+)$/.exec(device)?.[1];
  if (number === undefined) return {};
  const seen = process.env.CUDA_VISIBLE_DEVICES?.split(",");
  return { CUDA_VISIBLE_DEVICES: seen?.[Number(number)] ?? number };
}
