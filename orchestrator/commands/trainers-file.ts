/**
 * trainers.yaml: which trainers a host offers, and how each is started. The file is the host's own, beside `--trainer` on its command
 * line; nothing that comes over the queue adds to it.
 */
import { lstatSync, realpathSync, type Stats, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { z } from "zod";
import { MusweepError } from "../../schema/wire/errors.ts";
import { BUILT_IN_TRAINER, trainerNameSchema } from "../../schema/wire/plan.ts";
import { readRegularSync } from "../../schema/wire/regular-file.ts";
import { shellWord } from "../../schema/wire/shell-line.ts";
import { holderOpenToOthers, openToOthers } from "../machine/open-to-others.ts";
import { explainIssues } from "../sweep/explain-issues.ts";
import { type Finding, inOrder, MAX_TOLD, type Problem, problemLines } from "../sweep/problems.ts";
import { readYaml } from "../sweep/read-yaml.ts";

const command = z.union([z.string(), z.array(z.string()).min(1)], {
  error: "a command: one text, or a list of a program and its arguments",
});
const entrySchema = z.union([
  z.string(),
  z.strictObject({
    command: command.optional(),
    python: z.string().min(1).optional(),
    devices: z.string().min(1).optional(),
  }),
]);
const fileSchema = z.record(z.string(), entrySchema);

/** A trainer as the file has it. */
interface RegisteredTrainer {
  name: string;
  /** As a shell would read it, or word by word; absent: one that ships. */
  command?: string | string[] | undefined;
  /** Of the trainer in PyTorch. */
  python?: string | undefined;
  /** As --devices has them. */
  devices?: string | undefined;
}

export interface RegisteredTrainers {
  /** Its path; undefined where there is none. */
  file: string | undefined;
  trainers: RegisteredTrainer[];
}

const FILE = "trainers.yaml";
const MAX_BYTES = 1 << 20;

/**
 * The file that is named, else the state directory's, if it has one.
 * @throws MusweepError trainers-file: every mistake at its place; trainers-file-open: others could write into it
 */
export function registeredTrainers({
  trainers,
  dir,
}: {
  trainers?: string;
  dir?: string;
}): RegisteredTrainers {
  const file = trainers ?? (dir === undefined ? undefined : join(resolve(dir), FILE));
  if (file === undefined || (trainers === undefined && !isThere(file)))
    return { file: undefined, trainers: [] };
  const text = readRegularSync(file, MAX_BYTES, (opened) => refuseOpen(file, opened));
  return { file, trainers: parseTrainers(text, file) };
}

const isThere = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

/** What stands in it is started: whoever else could write into it, or replace it, could run programs as this user. */
function refuseOpen(file: string, opened: Stats): void {
  for (const holder of [dirname(file), dirname(realpathSync(file))])
    refuse(holder, holderOpenToOthers(statSync(holder)));
  refuse(file, openToOthers(opened));
}

function refuse(path: string, why: string | undefined): void {
  if (why === undefined) return;
  throw new MusweepError("trainers-file-open", `${path} ${why}`, {
    kind: "usage",
    remedy: why.startsWith("belongs")
      ? "The programs in it would run as you: copy it, and look at what it says."
      : `The programs in it run as you: chmod go-w ${shellWord(path)}`,
  });
}

function parseTrainers(text: string, file: string): RegisteredTrainer[] {
  const { value, broken, problems, locate } = readYaml(text);
  if (broken) throw mistakes(file, problems);
  if (value === null || value === undefined)
    throw mistakes(file, [
      {
        line: 1,
        column: 1,
        path: "",
        message: "the file is empty; expected names of trainers with a command each",
      },
    ]);
  const parsed = fileSchema.safeParse(value, { reportInput: true });
  const trainers: RegisteredTrainer[] = Object.entries(parsed.data ?? {}).map(([name, entry]) => ({
    name,
    ...(typeof entry === "string" ? { command: entry } : entry),
  }));
  const findings = parsed.success
    ? trainers.flatMap(findingsOf)
    : explainIssues(fileSchema, value, parsed.error.issues);
  const told = [...problems, ...findings.slice(0, MAX_TOLD).map(locate)];
  if (told.length > 0) throw mistakes(file, told, Math.max(0, findings.length - MAX_TOLD));
  return trainers;
}

/** What the shapes alone do not say. */
function findingsOf({ name, command, python, devices }: RegisteredTrainer): Finding[] {
  const path = [name];
  const isTorch = name === "torch";
  const isEmbedded = name === BUILT_IN_TRAINER && command === undefined;
  return [
    ...(trainerNameSchema.safeParse(name).success
      ? []
      : [
          {
            path,
            atKey: true,
            message: "no trainer's name; expected up to 64 lower-case letters, digits, '.', '_' or '-'",
          },
        ]),
    ...(command === undefined && !isTorch && !isEmbedded
      ? [
          {
            path,
            atKey: true,
            message: 'its command is missing; expected for instance command: "python3 train.py"',
          },
        ]
      : []),
    ...(python !== undefined && (!isTorch || command !== undefined)
      ? [
          {
            path: [name, "python"],
            atKey: true,
            message:
              "only the trainer torch, without a command, is told its Python; expected it in the command",
          },
        ]
      : []),
    ...(devices !== undefined && isEmbedded
      ? [
          {
            path: [name, "devices"],
            atKey: true,
            message: "the embedded trainer has the CPU alone; leave it out",
          },
        ]
      : []),
  ];
}

/** @param untold mistakes that are not among them */
function mistakes(file: string, problems: readonly Problem[], untold = 0): MusweepError {
  return new MusweepError("trainers-file", problemLines(file, inOrder(problems), untold).join("\n"), {
    kind: "usage",
    remedy: "Correct the file; docs/own-model.md shows one. Nothing was started.",
  });
}
