/**
 * The state directory (--dir, default ./.musweep): where everything of one musweep lies, and the lock that keeps two
 * orchestrators from collecting into the same database.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { MusweepError } from "../schema/errors.ts";
import { isRunning } from "./is-running.ts";

export interface StateDirectory {
  readonly root: string;
  readonly database: string;
  /** Tokenized data sets, by content hash. */
  readonly data: string;
  readonly checkpoints: string;
  readonly weights: string;
  readonly logs: string;
  /** The private Redis. */
  readonly redis: string;
  readonly lock: string;
  /** Address of the running server, for submit and status. */
  readonly server: string;
}

/**
 * @param options dir: the state directory; shared: where data, checkpoints and weights lie instead, for machines that share
 *   a file system (SQLite itself wants a local disk)
 */
export function stateDirectory(options: { dir: string; shared?: string }): StateDirectory {
  const root = resolve(options.dir);
  const at = (name: string): string => join(root, name);
  const shared = (name: string): string => join(resolve(options.shared ?? root), name);
  return {
    root,
    database: at("musweep.db"),
    data: shared("data"),
    checkpoints: shared("checkpoints"),
    weights: shared("weights"),
    logs: at("logs"),
    redis: at("redis"),
    lock: at("orchestrator.lock"),
    server: at("server.json"),
  };
}

/** Process id of the orchestrator that holds the directory, or undefined. */
export function lockHolder(state: StateDirectory): number | undefined {
  let pid: number;
  try {
    pid = Number(readFileSync(state.lock, "utf8"));
  } catch {
    return undefined;
  }
  // Its own id is left from an earlier process: in a container every restart gets the same one.
  return Number.isInteger(pid) && pid > 0 && pid !== process.pid && isRunning(pid) ? pid : undefined;
}

/**
 * Takes the directory for this process.
 * @returns the release
 * @throws MusweepError (conflict) when another live orchestrator holds it
 */
export function lockState(state: StateDirectory): () => void {
  mkdirSync(state.root, { recursive: true });
  while (true) {
    try {
      writeFileSync(state.lock, String(process.pid), { flag: "wx" });
      return () => rmSync(state.lock, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = lockHolder(state);
    if (holder !== undefined) {
      throw new MusweepError(
        "state-locked",
        `${state.root} is in use by another musweep (process ${holder})`,
        {
          kind: "conflict",
          remedy: "Submit to it with `musweep submit`, stop it first, or use another --dir.",
        },
      );
    }
    rmSync(state.lock, { force: true });
  }
}
