/**
 * Opening a state directory to write into it. It is its owner's alone: directories have mode 0700 and files 0600, what an older
 * version made under another umask included. Only what musweep itself makes is touched: --dir may name a directory that holds
 * other things as well, and --shared often does; such a directory stays as open as it is, and what is musweep's in it is closed.
 */
import { chmodSync, lstatSync, readdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { MusweepError } from "../../schema/wire/errors.ts";
import { pathError } from "../../schema/wire/path-error.ts";
import { makeDirectory } from "./new-path.ts";
import { type StateDirectory, stateDirectory } from "./state-directory.ts";

const OTHERS = 0o077;

/** What musweep makes in the directory itself. */
const FILES = ["", "-wal", "-shm", "-journal"]
  .map((end) => `musweep.db${end}`)
  .concat("token", "token.new", "dashboard.url", "orchestrator.lock");
const DIRECTORIES = ["logs", "redis", "data", "checkpoints", "weights"];

/** For whoever writes into it: there, and closed to others with all that is made in it from now on. */
export function openState(options: Parameters<typeof stateDirectory>[0]): StateDirectory {
  keepFilesPrivate();
  const state = stateDirectory(options);
  closeToOthers(state);
  return state;
}

/**
 * What this process, and all that it starts, make is for this user alone.
 * @returns ends that, for files that the user asked for elsewhere
 */
export function keepFilesPrivate(): () => void {
  const before = process.umask(OTHERS);
  return () => void process.umask(before);
}

/**
 * Makes the directory where there is none, and closes what is open in it.
 * @throws MusweepError (conflict) when it belongs to another user, who could put into it what he likes
 */
function closeToOthers(state: StateDirectory): void {
  try {
    makeDirectory(state.root, 0o700);
  } catch (cause) {
    const why = pathError(cause, state.root) ?? (cause as Error);
    throw new MusweepError("state-directory", `cannot make ${state.root}: ${why.message}`, {
      kind: "unavailable",
      remedy: "Choose another directory with --dir.",
      cause,
    });
  }
  const { uid } = lstatSync(realpathSync(state.root));
  const own = process.geteuid?.() ?? uid;
  if (uid !== own && uid !== 0 && own !== 0)
    throw new MusweepError("state-owner", `${state.root} belongs to another user`, {
      kind: "conflict",
      remedy: "Use a directory of your own (--dir).",
    });
  closeDirectory(state.root, { test: (name) => FILES.includes(name) }, DIRECTORIES);
  for (const name of FILES) closeOne(join(state.root, name));
  closeDirectory(state.logs, /^(?:worker|orchestrator)\.log(?:\.1)?$/);
  closeDirectory(state.redis, /./);
  closeDirectory(state.data, /^(?:[0-9a-f]{32}|index|sources|\.preparing-.*)$/);
  closeDirectory(state.checkpoints, /^r[0-9a-f]{20}$/);
  closeDirectory(state.weights, /^r[0-9a-f]{20}\.safetensors/);
}

/**
 * With all in it, where everything in it is ours; what is ours in it, where other things are there too.
 * @param apart ours as well, and closed by itself
 */
function closeDirectory(path: string, ours: { test(name: string): boolean }, apart: string[] = []): void {
  try {
    // The user may have put it elsewhere, behind a link.
    const directory = realpathSync(path);
    // What lies in a directory that is closed already cannot be reached, and may be much.
    if (!isOpen(directory)) return;
    const names = readdirSync(directory).filter((name) => !apart.includes(name));
    const own = names.filter((name) => ours.test(name));
    if (own.length === names.length && !isForAll(directory)) closeOne(directory);
    for (const name of own) closeTree(join(directory, name));
  } catch {
    // Not made yet, or unreadable: then whoever needs it says so.
  }
}

/** Such as /tmp, which is everybody's even while it is empty. */
const isForAll = (path: string): boolean => (lstatSync(path).mode & 0o1000) !== 0;

const isOpen = (path: string): boolean => (lstatSync(path).mode & OTHERS) !== 0;

function closeTree(path: string): void {
  if (!closeOne(path) || !lstatSync(path).isDirectory()) return;
  for (const name of readdirSync(path)) closeTree(join(path, name));
}

/** @returns whether it was open to others; a link leads elsewhere, and is left alone, as what belongs to others is */
function closeOne(path: string): boolean {
  try {
    const info = lstatSync(path);
    if (info.isSymbolicLink() || (info.mode & OTHERS) === 0) return false;
    chmodSync(path, info.mode & 0o700);
    return true;
  } catch {
    // Gone meanwhile, as SQLite's files come and go; or not ours to close.
    return false;
  }
}
