/** What every command shares: its options, how it prints, and where its errors go. */
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { WriteStream } from "node:tty";
import { type Command, Option } from "commander";
import { MusweepError } from "../../schema/wire/errors.ts";
import { printable } from "../../schema/wire/printable.ts";
import { shellLine } from "../../schema/wire/shell-line.ts";
import { type Database, openDatabase, requireDatabase } from "../database/open.ts";
import { inBrackets, lockHolder, lockState } from "../database/state-lock.ts";
import { openState } from "../machine/open-state.ts";
import { type StateDirectory, stateDirectory } from "../machine/state-directory.ts";
import { hasPassword } from "../redis/probe.ts";
import { type Problem, warningLine } from "../sweep/problems.ts";
import { colouredAnswer } from "../terminal/colour.ts";

export interface CommonOptions {
  dir: string;
  shared?: string;
  json?: boolean;
}

/**
 * Adds --dir, --shared and --json, and examples to --help.
 * @param files none: it reads and writes none in the state directory, so that nobody need know where they lie
 */
export function common(command: Command, examples: string[], files: "own" | "none" = "own"): Command {
  return command
    .option(
      "--dir <path>",
      "state directory: database, data, checkpoints",
      process.env.MUSWEEP_DIR ?? ".musweep",
    )
    .addOption(
      new Option(
        "--shared <path>",
        "where data, checkpoints and weights lie, if not in --dir: a file system that several machines see",
      )
        .default(process.env.MUSWEEP_SHARED)
        .hideHelp(files === "none"),
    )
    .option("--json", "print one JSON value on standard output")
    .addHelpText("after", `\nExamples:\n${examples.map((e) => `  $ ${e}`).join("\n")}`);
}

export const withRedis = (command: Command): Command =>
  command.addOption(
    new Option("--redis <url>", "redis:// or rediss:// URL, or socket path")
      .argParser(withoutSecret)
      .default(process.env.REDIS_URL, "$REDIS_URL, else a private server"),
  );

/** Only for what is given as an argument. */
function withoutSecret(url: string): string {
  if (!hasPassword(url)) return url;
  throw new MusweepError("redis-password", "--redis shows its password to every user of this machine", {
    kind: "usage",
    remedy: "Leave it out of the url and set REDIS_PASSWORD, or set REDIS_URL instead of --redis.",
  });
}

/** A token is named by a file or by MUSWEEP_TOKEN: every user of this machine can read an argument. */
export const withToken = (command: Command): Command =>
  command.option(
    "--token-file <path>",
    "holds the dashboard's token (default: $MUSWEEP_TOKEN, else the file token in --dir)",
  );

/** Prints a value as JSON, or the text made of it. */
export function print(options: { json?: boolean }, value: unknown, text: () => string): void {
  process.stdout.write(printable(options.json ? `${JSON.stringify(value, null, 2)}\n` : `${text()}\n`));
}

/** The same for an answer, whose verdicts are in colour where the terminal has it. */
export function printAnswer(options: { json?: boolean }, value: unknown, text: () => string): void {
  if (options.json) print(options, value, text);
  else process.stdout.write(colouredAnswer(printable(`${text()}\n`)));
}

/** Data for other programs: into a file or a pipe goes what there is, byte for byte; a terminal would obey it. */
export const printData = (
  text: string,
  stream: Pick<WriteStream, "isTTY" | "write"> = process.stdout,
): void => void stream.write(stream.isTTY ? printable(text.replaceAll("\r\n", "\n")) : text);

/** This command as it was typed, to be typed again. */
export const commandLine = (words: readonly string[] = process.argv.slice(2)): string =>
  shellLine(["musweep", ...words]);

/** What a command on the same state directory is told. */
export const whereOf = ({ dir }: { dir: string }): string[] => (dir === ".musweep" ? [] : ["--dir", dir]);

/** Notes for the person at the terminal: standard error, so that standard output stays data. */
export const say = (text: string): void => void process.stderr.write(printable(`${text}\n`));

/** What is odd about a sweep file, before anything is done with it. */
export function sayWarnings({ file, warnings }: { file: string; warnings: readonly Problem[] }): void {
  for (const warning of warnings) say(warningLine(file, warning));
}

export const sayGone = (message: string): void => say(`${message}. What was prepared from it is used.`);

export const sayInstalling = (what: string): void => say(`Installing ${what} …`);

export const sayCompiling = (what: string): void => say(`Compiling ${what} …`);

export function parseCount(name: string, most = Number.POSITIVE_INFINITY): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value > 0 && value <= most) return value;
    const range = most === Number.POSITIVE_INFINITY ? "above 0" : `from 1 to ${most}`;
    throw new MusweepError("bad-option", `${name} wants a whole number ${range}, not "${text}"`, {
      kind: "usage",
    });
  };
}

export const parsePort = parseCount("--port", 65_535);

/** A timer of a longer time would go off at once: Node holds it in 31 bits of milliseconds. */
export const parseSeconds = (name: string): ((text: string) => number) =>
  parseCount(name, Math.floor((2 ** 31 - 1) / 1000));

export function parsePositive(name: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isFinite(value) && value > 0) return value;
    throw new MusweepError("bad-option", `${name} wants a number above 0, not "${text}"`, { kind: "usage" });
  };
}

/**
 * Runs `use` with the directory's database, brought up to date if it is an older version's, and closes it whatever happens.
 * @param mode mustExist: for what changes sweeps that are there; where none are, nothing is made
 */
export async function withDatabase<T>(
  options: CommonOptions,
  mode: { readonly: boolean; mustExist?: boolean },
  use: (db: Database, state: StateDirectory) => T | Promise<T>,
): Promise<T> {
  if (mode.mustExist) requireDatabase(stateDirectory(options).database);
  const state = mode.readonly ? stateDirectory(options) : openState(options);
  const db = await (mode.readonly ? openToRead(state) : openToWrite(state));
  try {
    return await use(db, state);
  } finally {
    db.close();
  }
}

/** @throws MusweepError (conflict) when an older musweep is at work on the database, which would be brought up to date under it */
async function openToWrite(state: StateDirectory): Promise<Database> {
  if (lockHolder(state) !== undefined && existsSync(state.database))
    try {
      (await openToRead(state)).close();
    } catch (error) {
      // One that is just being made is nobody's yet.
      if (!isError(error, "no-sweeps")) throw error;
    }
  return openDatabase(state.database);
}

/** An orchestrator that has just started brings the database up to date in less, as a rule. */
const UPDATE_MS = 3000;
const LOOK_MS = 50;

/** @throws MusweepError (conflict) when an older musweep is at work on the database: it would not know it any more */
async function openToRead(state: StateDirectory): Promise<Database> {
  for (const until = performance.now() + UPDATE_MS; ; )
    try {
      return openDatabase(state.database, { readonly: true });
    } catch (error) {
      if (!isError(error, "database-older")) throw error;
      const holder = lockHolder(state);
      if (holder === undefined) bringUpToDate(state);
      else if (performance.now() > until)
        throw new MusweepError("database-older", error.message, {
          kind: "conflict",
          remedy: `Another musweep${inBrackets(holder)} is still at work on it: stop that one, or read it with its own version. If that one has only just started, wait until it has brought it up to date, then try again.`,
        });
      else await sleep(LOOK_MS);
    }
}

function bringUpToDate(state: StateDirectory): void {
  const release = lockState(state);
  try {
    openDatabase(state.database).close();
  } finally {
    release();
  }
}

const isError = (error: unknown, code: string): error is MusweepError =>
  error instanceof MusweepError && error.code === code;
