/** Which trainers a worker offers, from its options: resolved once, so that what cannot train says so before anything is claimed. */
import { availableParallelism } from "node:os";
import { parseArgsStringToArgv } from "string-argv";
import { MusweepError } from "../../schema/wire/errors.ts";
import { nativeLibrary } from "../../schema/wire/native-library.ts";
import { ENGINES, type Engine, type Need, needsMet, type TrainerOption } from "../../schema/wire/need.ts";
import { BUILT_IN_TRAINER, trainerNameSchema } from "../../schema/wire/plan.ts";
import { inOneLine } from "../../schema/wire/printable.ts";
import { shellLine } from "../../schema/wire/shell-line.ts";
import {
  deviceSchema,
  kindOfDevice,
  type OfferedTrainer,
  slotsOf,
  type WorkerConfig,
} from "../../schema/wire/worker.ts";
import { findTorch, installCommand, type TorchPython } from "../machine/find-python.ts";
import { say, sayCompiling } from "./common.ts";
import { type RegisteredTrainers, registeredTrainers } from "./trainers-file.ts";

export interface TrainerOptions {
  trainer?: string[];
  /** A file that registers trainers. */
  trainers?: string;
  python?: string;
  devices?: string;
  slots?: number;
}

/** What a worker of this host can train, and how many runs of it at once. */
export type Offer = Pick<WorkerConfig, "trainers" | "cpu_slots">;

const usage = (message: string, remedy: string): MusweepError =>
  new MusweepError("bad-option", message, { kind: "usage", remedy });

/** A trainer as an option names it. */
interface Named extends Pick<OfferedTrainer, "name" | "engine"> {
  /** As it was written. */
  option: string;
  start: "embedded" | "torch" | string[];
  python?: string | undefined;
  devices?: string | undefined;
}

/**
 * Those that --trainer names, by a command or as the file registers them; without --trainer all of the file, or the embedded one.
 * @param options dir: the state directory, which may hold that file
 * @throws MusweepError bad-option; trainers-file; no-torch where no Python has PyTorch; no-device where it sees no such device;
 *   trainer-not-compiled where the embedded trainer has to be compiled and cannot
 */
export async function resolveTrainers(options: TrainerOptions & { dir?: string }): Promise<Offer> {
  const registered = registeredTrainers(options);
  const inFile = registered.trainers.map(({ name }) => name);
  if (options.trainer === undefined && options.trainers === undefined && inFile.length > 0)
    say(`Trainers of ${registered.file}: ${inFile.join(", ")}.`);
  const wanted = options.trainer ?? (inFile.length > 0 ? inFile : [BUILT_IN_TRAINER]);
  const named = wanted.map((option): Named => {
    const { python, devices, ...trainer } = readTrainer(option, registered);
    return {
      ...trainer,
      python: options.python ?? python ?? process.env.MUSWEEP_PYTHON,
      devices: trainer.start === "embedded" ? undefined : (options.devices ?? devices),
    };
  });
  for (const [i, { name, engine, option }] of named.entries())
    if (named.findIndex((other) => other.name === name && other.engine === engine) < i)
      throw usage(`--trainer ${option}: this trainer is named twice`, "Name each once.");
  if (options.python !== undefined && !named.some(({ start }) => start === "torch"))
    throw usage("--python is for the trainer in PyTorch", "Add --trainer torch.");
  if (options.devices !== undefined && named.every(({ start }) => start === "embedded"))
    throw usage("--devices: the embedded trainer has the CPU alone", "Add --trainer torch.");
  if (named.some(({ start }) => start === "embedded")) nativeLibrary(sayCompiling);
  const torchOwn = named.find(({ start }) => start === "torch");
  const asksTorch = torchOwn ?? named.find(({ devices }) => devices === "all");
  const torch = asksTorch === undefined ? null : await torchOrExplain(asksTorch.python);
  const trainers = named.map(({ name, engine, start, devices }): OfferedTrainer => {
    if (start === "embedded") return { name, engine, start, devices: ["cpu"] };
    if (start === "torch")
      return { name, engine, start: { python: torch!.path }, devices: devicesOf(devices, torch!) };
    return { name, engine, start: { command: start }, devices: ownDevices(devices, torch) };
  });
  const gpus = slotsOf({ trainers, cpu_slots: 0 }).filter((device) => device !== "cpu");
  const hasCpu = trainers.some(({ devices }) => devices.includes("cpu"));
  if (!hasCpu && options.slots !== undefined && options.slots !== gpus.length)
    throw usage(
      `--slots ${options.slots}: each of the ${gpus.length} devices has one slot`,
      "Leave --slots out, or name other --devices.",
    );
  return { trainers, cpu_slots: hasCpu ? (options.slots ?? availableParallelism()) : 1 };
}

/** What runs may need for a worker with this offer to train them. */
export const needsMetBy = ({ trainers }: Offer): ReadonlySet<Need> => new Set(trainers.flatMap(needsMetWith));

const needsMetWith = (trainer: OfferedTrainer): Need[] =>
  trainer.devices.flatMap((device) => needsMet(trainer, kindOfDevice(device)));

/** Whether a run that needs this goes to the trainer. */
export const isFor = (trainer: OfferedTrainer, need: Need): boolean => needsMetWith(trainer).includes(need);

/** What is started, for people. */
export function programOf({ start }: OfferedTrainer): string {
  if (start === "embedded") return "the embedded trainer";
  return inOneLine(shellLine("python" in start ? [start.python, "-m", "musweep_torch"] : start.command));
}

const [EMBEDDED, TORCH] = ENGINES;
const ENGINE_OF: Readonly<Record<string, Engine>> = { torch: TORCH, [TORCH]: TORCH, [EMBEDDED]: EMBEDDED };

/** "musweep", "torch", a name that the file registers, or a name and a command. */
function readTrainer(option: string, { file, trainers }: RegisteredTrainers): Named {
  const at = option.indexOf("=");
  if (at >= 0) {
    const [name, command] = [option.slice(0, at), option.slice(at + 1)];
    if (ENGINE_OF[name] === undefined && !trainerNameSchema.safeParse(name).success)
      throw usage(
        `--trainer ${option}: "${name}" is no trainer's name`,
        "A name has up to 64 lower-case letters, digits, '.', '_' or '-'.",
      );
    return { option, ...whoseName(name), start: commandOf(command, `--trainer ${name}=`, name) };
  }
  const entry = trainers.find(({ name }) => name === option);
  if (entry?.command !== undefined) {
    const start = commandOf(entry.command, `${file}: ${option}`, option);
    return { option, ...whoseName(option), start, devices: entry.devices };
  }
  if (option === BUILT_IN_TRAINER) return { option, name: option, engine: EMBEDDED, start: "embedded" };
  if (option === "torch")
    return { option, ...whoseName(option), start: "torch", python: entry?.python, devices: entry?.devices };
  throw usage(
    `--trainer ${option}: there is no such trainer here`,
    `Say musweep or torch, ${file === undefined ? "" : `one that ${file} has, `}or how it is started: --trainer ${option}="python3 train.py".`,
  );
}

/** Of a trainer that is started by a command: an engine of the one that ships, or one of its own. */
function whoseName(name: string): Pick<Named, "name" | "engine"> {
  const engine = ENGINE_OF[name] ?? null;
  return { name: engine === null ? name : BUILT_IN_TRAINER, engine };
}

/** A program and its arguments as a shell splits them, quotes and all; no shell runs it. */
function commandOf(given: string | string[], where: string, name: string): string[] {
  const words = typeof given === "string" ? parseArgsStringToArgv(given) : given;
  if (words.length > 0 && words[0] !== "") return words;
  throw usage(
    `${where}: its command is empty`,
    `Give a program and its arguments: --trainer ${name}="python3 train.py".`,
  );
}

async function torchOrExplain(named: string | undefined): Promise<TorchPython> {
  const { found, unusable } = await findTorch(named);
  if (found !== undefined) return found;
  const tried = unusable.map(({ path, problem }) => `${path}: ${problem}`).join(" ");
  throw new MusweepError("no-torch", `no Python here can run the trainer in PyTorch. ${tried}`, {
    kind: "unavailable",
    remedy:
      named === undefined
        ? `python3 -m venv .venv && ${installCommand(".venv/bin/python")}; or name one that has PyTorch with --python.`
        : unusable[0]!.remedy,
  });
}

function devicesOf(option: string | undefined, { path, torch, gpus }: TorchPython): string[] {
  const seen = gpus.map(({ device }) => device);
  if (option === undefined) return seen.length > 0 ? seen : ["cpu"];
  const wanted = option === "all" ? seen : option.split(",");
  const unknown = wanted.filter((device) => device !== "cpu" && !seen.includes(device));
  if (wanted.length === 0 || unknown.length > 0)
    throw new MusweepError(
      "no-device",
      `--devices ${option}: torch ${torch} of ${path} sees ${seen.length === 0 ? "no GPU" : seen.join(", ")}`,
      {
        kind: "unavailable",
        remedy:
          "--devices cpu trains without one; nvidia-smi and CUDA_VISIBLE_DEVICES say what there is; a torch ending in +cpu sees none.",
      },
    );
  return eachOnce(option, wanted);
}

/** Of a program that musweep does not know: as they are named, for nobody here can see what it sees. */
function ownDevices(option: string | undefined, torch: TorchPython | null): string[] {
  if (option === undefined) return ["cpu"];
  if (option === "all") return devicesOf(option, torch!);
  const wanted = option.split(",");
  const wrong = wanted.find((device) => !deviceSchema.safeParse(device).success);
  if (wrong !== undefined)
    throw usage(`--devices ${option}: "${wrong}" is no device`, "Expected all, cpu, or cuda:0,cuda:1.");
  return eachOnce(option, wanted);
}

function eachOnce(option: string, devices: string[]): string[] {
  if (new Set(devices).size === devices.length) return devices;
  throw usage(`--devices ${option}: a device is named twice`, "Name each once.");
}

/** How a sweep file's comments start a trainer: the value of --trainer, quoted as it is there. */
export const trainerIn =
  (text: string): TrainerOption =>
  (name) => {
    const own = name.replaceAll(/[.-]/g, "\\$&");
    const value = `'${own}=[^'\n]+'|"${own}=[^"\n]+"|${own}=(?:"[^"\n]+"|'[^'\n]+'|[^\\s"']+)`;
    return new RegExp(`^\\s*#.*--trainer[ =](${value})`, "m").exec(text)?.[1];
  };
