/** What every command shares: its options, how it prints, and where its errors go. */
import type { Command } from "commander";
import { MusweepError } from "../../schema/errors.ts";
import { type Database, openDatabase } from "../database/open.ts";
import { lockHolder, lockState, type StateDirectory, stateDirectory } from "../state.ts";

export interface CommonOptions {
  dir: string;
  shared?: string;
  json?: boolean;
}

/** Adds --dir and --json, and examples to --help. */
export function common(command: Command, examples: string[]): Command {
  return command
    .option(
      "--dir <path>",
      "state directory: database, data, checkpoints",
      process.env.MUSWEEP_DIR ?? ".musweep",
    )
    .option(
      "--shared <path>",
      "where data, checkpoints and weights lie, if not in --dir: a file system that several machines see",
      process.env.MUSWEEP_SHARED,
    )
    .option("--json", "print one JSON value on standard output")
    .addHelpText("after", `\nExamples:\n${examples.map((e) => `  $ ${e}`).join("\n")}`);
}

export const withRedis = (command: Command): Command =>
  command.option(
    "--redis <url>",
    "redis:// URL or socket path (default: $REDIS_URL, else a private server)",
    process.env.REDIS_URL,
  );

/** Prints a value as JSON, or the text made of it. */
export function print(options: { json?: boolean }, value: unknown, text: () => string): void {
  process.stdout.write(options.json ? `${JSON.stringify(value, null, 2)}\n` : `${text()}\n`);
}

/** Notes for the person at the terminal: standard error, so that standard output stays data. */
export const say = (text: string): void => void process.stderr.write(`${text}\n`);

export const sayInstalling = (what: string): void => say(`Installing ${what} …`);

export function parseCount(name: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value > 0) return value;
    throw new MusweepError("bad-option", `${name} wants a whole number above 0, not "${text}"`, {
      kind: "usage",
    });
  };
}

/** Runs `use` with the directory's database, brought up to date if it is an older version's, and closes it whatever happens. */
export async function withDatabase<T>(
  options: CommonOptions,
  mode: { readonly: boolean },
  use: (db: Database, state: StateDirectory) => T | Promise<T>,
): Promise<T> {
  const state = stateDirectory(options);
  const db = mode.readonly ? openToRead(state) : openDatabase(state.database);
  try {
    return await use(db, state);
  } finally {
    db.close();
  }
}

/** @throws MusweepError (conflict) when an older musweep is at work on the database: it would not know it any more */
function openToRead(state: StateDirectory): Database {
  try {
    return openDatabase(state.database, { readonly: true });
  } catch (error) {
    if (!(error instanceof MusweepError && error.code === "database-older")) throw error;
    const holder = lockHolder(state);
    if (holder !== undefined)
      throw new MusweepError("database-older", error.message, {
        kind: "conflict",
        remedy: `Process ${holder} is still at work on it: stop that one, then try again, or read it with its own version.`,
      });
    const release = lockState(state);
    try {
      openDatabase(state.database).close();
    } finally {
      release();
    }
    return openDatabase(state.database, { readonly: true });
  }
}
