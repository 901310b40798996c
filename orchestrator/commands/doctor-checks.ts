/**
 * What `musweep doctor` finds out: one row per thing that musweep needs from this machine, found, needed, and what to do
 * where they differ. Every check looks only; nothing is installed or changed.
 */
import { access, constants, mkdtemp, rm, statfs } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import path from "node:path";
import { MusweepError } from "../../schema/wire/errors.ts";
import { nativeLibrary } from "../../schema/wire/native-library.ts";
import { packageRoot, withDocPaths } from "../../schema/wire/package.ts";
import { openDatabase, sqliteVersion } from "../database/open.ts";
import { findTorch, installCommand } from "../machine/find-python.ts";
import { findServer, isAtLeast, MINIMUM_VERSION } from "../machine/find-server.ts";
import { runBriefly } from "../machine/run-briefly.ts";
import { usableMemory } from "../machine/slot-memory.ts";
import type { StateDirectory } from "../machine/state-directory.ts";
import { checkRedis, findRedis } from "../redis/open-redis.ts";
import { withoutPassword } from "../redis/probe.ts";
import { sayCompiling } from "./common.ts";

export interface DoctorRow {
  name: string;
  status: "ok" | "warn" | "fail";
  found: string;
  needed: string;
  /** Where something is wrong or missing. */
  remedy: string | null;
}

const GIB = 2 ** 30;
const MINIMUM_NODE = "20.20.0";

const gib = (bytes: number): string => `${(bytes / GIB).toFixed(1)} GiB`;
const reasonOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
const ok = (name: string, found: string, needed: string): DoctorRow => ({
  name,
  status: "ok",
  found,
  needed,
  remedy: null,
});

function checkNode(): DoctorRow {
  const found = process.versions.node;
  const row = ok("node", found, `${MINIMUM_NODE} or newer`);
  return isAtLeast(found, MINIMUM_NODE)
    ? row
    : { ...row, status: "fail", remedy: "Install Node 20.20, 22 or 24." };
}

/** Opens a new database, which loads the native binding and applies every migration. */
async function checkSqlite(): Promise<DoctorRow> {
  const needed = "the native binding loads";
  const directory = await mkdtemp(path.join(tmpdir(), "musweep-doctor-"));
  try {
    const db = openDatabase(path.join(directory, "musweep.db"));
    const version = sqliteVersion(db);
    db.close();
    return ok("sqlite", version, needed);
  } catch (error) {
    const remedy =
      error instanceof MusweepError && error.remedy !== undefined
        ? error.remedy
        : "Remove node_modules and install again with this Node.";
    return { name: "sqlite", status: "fail", found: reasonOf(error), needed, remedy };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** The trainer's C, loaded in a process of its own: a library that does not fit the machine can end the process. */
async function checkCompiledCode(): Promise<DoctorRow> {
  const row = { name: "compiled code", needed: "the trainer's C, compiled at build or first use" };
  try {
    const library = nativeLibrary(sayCompiling);
    const program = `console.log(require("koffi").load(${JSON.stringify(library)}).func("str kernels_here()")())`;
    const stdout = await runBriefly(process.execPath, ["-e", program], { cwd: packageRoot() });
    return ok(row.name, `kernels for ${stdout.trim()}`, row.needed);
  } catch (error) {
    const stderr = (error as { stderr?: string }).stderr ?? "";
    return {
      ...row,
      status: "fail",
      found: /Error: .*/.exec(stderr)?.[0] ?? reasonOf(error),
      remedy:
        (error instanceof MusweepError ? error.remedy : undefined) ??
        "Install a C compiler (Debian, Ubuntu: apt-get install gcc libc6-dev); in a clone, then npm run build.",
    };
  }
}

async function checkNamedRedis(url: string): Promise<DoctorRow> {
  const needed = `reachable, ${MINIMUM_VERSION} or newer`;
  try {
    return ok("redis", `${await checkRedis(url)} at ${withoutPassword(url)}`, needed);
  } catch (error) {
    const remedy = error instanceof MusweepError ? (error.remedy ?? null) : null;
    return { name: "redis", status: "fail", found: reasonOf(error), needed, remedy };
  }
}

async function checkServerProgram(state: StateDirectory): Promise<DoctorRow> {
  const needed = `redis-server or valkey-server ${MINIMUM_VERSION} or newer`;
  const { server, tooOld } = await findServer();
  if (server !== undefined) {
    const running = (await findRedis(state.redis)) === null ? "" : ", running for this state directory";
    return ok("redis", `${server.version} (${server.path})${running}`, needed);
  }
  if (tooOld !== undefined) {
    const remedy = "Install a newer one, or set REDIS_URL.";
    return { name: "redis", status: "fail", found: `${tooOld.version} (${tooOld.path})`, needed, remedy };
  }
  return {
    name: "redis",
    status: "warn",
    found: "none",
    needed,
    remedy:
      "`musweep run` installs it where that needs no question (root, passwordless sudo, brew); " +
      "otherwise: sudo apt-get install redis-server, or set REDIS_URL.",
  };
}

/** The directory itself, or the nearest one above it that exists. */
async function nearestExisting(directory: string): Promise<string> {
  for (let current = directory; ; current = path.dirname(current)) {
    const exists = await access(current).then(
      () => true,
      () => false,
    );
    if (exists || current === path.dirname(current)) return current;
  }
}

/** A small sweep writes megabytes; checkpoints of many large runs, tens of gigabytes. */
const LITTLE_DISK = 2 * GIB;
const NO_DISK = GIB / 10;

async function checkState(state: StateDirectory): Promise<DoctorRow> {
  const needed = `writable, ${gib(LITTLE_DISK)} free`;
  const row = ok("state directory", state.root, needed);
  const existing = await nearestExisting(state.root);
  try {
    // The dot: a file is no directory, whatever its permissions.
    await access(`${existing}${path.sep}.`, constants.W_OK | constants.X_OK);
  } catch {
    return {
      ...row,
      status: "fail",
      found: `${state.root} cannot be written`,
      remedy: "Choose another with --dir.",
    };
  }
  const { bavail, bsize } = await statfs(existing);
  const free = bavail * bsize;
  const found = `${state.root}, ${gib(free)} free`;
  if (free >= LITTLE_DISK) return { ...row, found };
  return {
    ...row,
    status: free < NO_DISK ? "fail" : "warn",
    found,
    remedy: "Free some space, or choose another --dir.",
  };
}

function checkMachine(): DoctorRow {
  const cores = availableParallelism();
  const memory = usableMemory();
  const row = ok("machine", `${cores} cores, ${gib(memory)} memory`, "1 core and 1 GiB for each worker slot");
  return memory >= cores * GIB
    ? row
    : { ...row, status: "warn", remedy: "Start fewer worker slots than cores (--slots)." };
}

/** PyTorch is an optional engine: its absence is no fault, unless somebody has named a Python for it. */
async function checkTorch(): Promise<DoctorRow> {
  const row = ok("pytorch", "", "optional, for GPUs: Python 3.10 with torch 2.6, or newer");
  const named = process.env.MUSWEEP_PYTHON;
  const { found, unusable } = await findTorch(named);
  if (found !== undefined) {
    const devices = found.gpus.map((g) => `${g.device} ${g.name}, ${gib(g.memory_bytes)}`);
    const where = `${found.path}, Python ${found.python}`;
    const what = `${found.torch} (${where}): ${devices.join("; ") || "no GPU, the CPU alone"}`;
    if (found.uncompiled === null) return { ...row, found: what };
    const remedy = withDocPaths(
      "Debian, Ubuntu: apt-get install gcc libc6-dev python3-dev; docs/gpu.md says what else.",
    );
    return { ...row, status: "warn", found: `${what}. ${found.uncompiled}`, remedy };
  }
  return {
    ...row,
    status: named === undefined ? "ok" : "warn",
    found: unusable.map(({ path, problem }) => `${path}: ${problem}`).join(" "),
    remedy:
      named === undefined
        ? `Where it is wanted: python3 -m venv .venv && ${installCommand(".venv/bin/python")}.`
        : unusable[0]!.remedy,
  };
}

/** @param redisUrl what --redis or REDIS_URL names */
export async function examine(state: StateDirectory, redisUrl: string | undefined): Promise<DoctorRow[]> {
  return [
    checkNode(),
    ...(await Promise.all([
      checkSqlite(),
      checkCompiledCode(),
      redisUrl === undefined ? checkServerProgram(state) : checkNamedRedis(redisUrl),
      checkState(state),
      checkTorch(),
    ])),
    checkMachine(),
  ];
}
