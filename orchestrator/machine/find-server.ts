/** Finding a Redis server program on this machine, and its version. */
import { access, constants } from "node:fs/promises";
import path from "node:path";
import { runBriefly } from "./run-briefly.ts";

export interface ServerProgram {
  path: string;
  version: string;
}

/** The oldest server that BullMQ is tested with. */
export const MINIMUM_VERSION = "6.2.0";

const PROGRAMS = ["redis-server", "valkey-server"];
/** Where packages put servers that a user's PATH often leaves out. */
const MORE_DIRECTORIES = [
  "/usr/bin",
  "/usr/local/bin",
  "/opt/homebrew/bin",
  "/home/linuxbrew/.linuxbrew/bin",
];

const VERSION_MS = 10_000;

/** @returns whether version a (major.minor.patch) is at least version b */
export function isAtLeast(a: string, b: string): boolean {
  const [x, y] = [a, b].map((version) => version.split(".").map(Number));
  for (let i = 0; i < 3; i += 1) {
    const difference = (x?.[i] ?? 0) - (y?.[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

/** The file that the shell would run for this name, or undefined. */
export async function findProgram(name: string): Promise<string | undefined> {
  const directories = [...(process.env.PATH ?? "").split(path.delimiter), ...MORE_DIRECTORIES];
  for (const directory of directories.filter((entry) => entry !== "")) {
    const file = path.join(directory, name);
    const executable = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (executable) return file;
  }
  return undefined;
}

/** The first server program that is new enough; `tooOld` holds one that is not, when there is nothing better. */
export async function findServer(): Promise<{ server?: ServerProgram; tooOld?: ServerProgram }> {
  let tooOld: ServerProgram | undefined;
  for (const name of PROGRAMS) {
    const file = await findProgram(name);
    if (file === undefined) continue;
    // "Redis server v=7.0.15 sha=…", "Valkey server v=8.1.1 sha=…"
    const said = await runBriefly(file, ["--version"], { timeout: VERSION_MS }).catch(() => "");
    const version = /\bv=(\d+\.\d+\.\d+)/.exec(said)?.[1];
    if (version === undefined) continue;
    if (isAtLeast(version, MINIMUM_VERSION)) return { server: { path: file, version } };
    tooOld ??= { path: file, version };
  }
  return tooOld === undefined ? {} : { tooOld };
}
