/**
 * A Redis server that belongs to one musweep process. It listens on a unix socket that only this user can open, keeps an
 * append-only file in its directory, and runs in a session of its own, so Ctrl-C in the terminal does not reach it: it is
 * stopped by close(), after everything that needs it.
 *
 * A small shell process stands between: it ends the server when its standard input closes, which happens however the
 * parent ends, kill -9 included. A server that dies by itself is started again on the same socket and data, and clients
 * reconnect.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { chmod, lstat, mkdir, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { MusweepError } from "../../schema/wire/errors.ts";
import { pathError } from "../../schema/wire/path-error.ts";
import { moveAppendOnlyAside, saysDamaged } from "../machine/append-only.ts";
import { ensureServer, type InstallOptions } from "./install-server.ts";
import { probe } from "./probe.ts";

export interface PrivateServer {
  /** Absolute path. */
  readonly socket: string;
  readonly version: string;
  /** Resolves with the reason when it has died, and does not start again. */
  readonly lost: Promise<MusweepError>;
  close(): Promise<void>;
}

/**
 * Arguments: the directory to remove at the end ("" for none), then the server and its arguments. The watcher holds the
 * only copy of standard input (as 3), so that neither server nor shell keeps it open. The watcher is ended before the
 * shell leaves: it must never signal a process number that was given to somebody else. Where it has ended by itself, the
 * owner is done with the server; the directory of one that has died by itself stays, for its successor: its name is known
 * by now, and another user could make one like it.
 */
const SUPERVISOR = `
exec 3<&0 0</dev/null
remove=$1
shift
"$@" 3<&- &
server=$!
{ cat <&3 >/dev/null; trap '' TERM; kill -TERM "$server"; exit 0; } 2>/dev/null &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null && [ -n "$remove" ] && rm -rf "$remove"
exit "$status"
`;

/** A unix socket's path must fit into 104 bytes on macOS and 108 on Linux, its final zero included. */
const MAX_SOCKET_PATH = 103;
const POLL_MS = 25;
const RESTART_MS = 500;
/** Starts in a row that came to nothing. */
const RESTARTS = 5;
/** Longer than any start-up without a file to load; a server that loads one is waited for without a limit. */
const START_SECONDS = 30;
const STOP_SECONDS = 20;

async function chooseSocket(directory: string): Promise<{ socket: string; temporary: string }> {
  const socket = path.join(directory, "redis.sock");
  if (Buffer.byteLength(socket) <= MAX_SOCKET_PATH) return { socket, temporary: "" };
  for (const base of [tmpdir(), "/tmp"]) {
    const example = path.join(base, "musweep-XXXXXX", "redis.sock");
    if (Buffer.byteLength(example) > MAX_SOCKET_PATH) continue;
    const temporary = await mkdtemp(path.join(base, "musweep-"));
    return { socket: path.join(temporary, "redis.sock"), temporary };
  }
  throw new MusweepError("redis-start", `No room for a unix socket: ${directory} is too long a path`, {
    kind: "unavailable",
    remedy: "Choose a shorter state directory with --dir, or set TMPDIR to a short path.",
  });
}

/** The temporary directory is there and this user's alone, as mkdtemp made it. @throws MusweepError */
async function keepTemporary(directory: string): Promise<void> {
  const made = await mkdir(directory, { mode: 0o700 }).then(
    () => true,
    () => false,
  );
  if (made) return;
  const info = await lstat(directory);
  const isOwn = info.isDirectory() && info.uid === (process.geteuid?.() ?? info.uid);
  if (!isOwn || (info.mode & 0o777) !== 0o700)
    throw startFailed(`${directory} is not this user's alone any more`);
}

async function startError(log: string, reason: string): Promise<MusweepError> {
  const text = await readFile(log, "utf8").catch(() => "");
  const tail = text.trim().split("\n").slice(-5).join("\n");
  return startFailed(`${reason}\n${tail}`, `Its whole log is ${log}.`);
}

const startFailed = (why: string, remedy?: string): MusweepError =>
  new MusweepError("redis-start", `The private Redis did not start: ${why}`, {
    kind: "unavailable",
    ...(remedy === undefined ? {} : { remedy }),
  });

interface Launched {
  child: ChildProcess;
  /** Resolves when the supervisor has ended. */
  ended: Promise<unknown>;
}

function launch(
  program: string,
  directory: string,
  socket: string,
  temporary: string,
  log: string,
): Launched {
  const settings: Record<string, string> = {
    port: "0",
    unixsocket: socket,
    unixsocketperm: "700",
    dir: directory,
    appendonly: "yes",
    appendfsync: "everysec",
    save: "",
    "maxmemory-policy": "noeviction",
    daemonize: "no",
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  const output = openSync(log, "a", 0o600);
  try {
    const child = spawn("/bin/sh", ["-c", SUPERVISOR, "musweep-redis", temporary, program, ...args], {
      cwd: directory,
      detached: true,
      stdio: ["pipe", output, output],
    });
    // A parent that forgets to close must still be able to end; its end closes the pipe.
    child.unref();
    (child.stdin as unknown as { unref(): void }).unref();
    child.stdin?.on("error", () => {});
    return { child, ended: once(child, "exit") };
  } finally {
    closeSync(output);
  }
}

/** Waits until the server answers. */
async function waitUntilReady(
  { child }: Launched,
  socket: string,
  log: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let waited = 0; ; ) {
    signal?.throwIfAborted();
    if (child.exitCode !== null || child.signalCode !== null) {
      throw await startError(log, `it ended with ${child.signalCode ?? `exit code ${child.exitCode}`}`);
    }
    const state = await probe(socket);
    if (state === "ready") return;
    if (state === "down") waited += POLL_MS;
    if (waited > START_SECONDS * 1000) throw await startError(log, `no answer for ${START_SECONDS} s`);
    await sleep(POLL_MS);
  }
}

async function waitUntilGone(socket: string): Promise<boolean> {
  for (let waited = 0; waited < STOP_SECONDS * 1000; waited += POLL_MS) {
    if ((await probe(socket)) === "down") return true;
    await sleep(POLL_MS);
  }
  return false;
}

/** Asks the server to save and end; kills its whole session when it does not. */
async function stop({ child, ended }: Launched): Promise<void> {
  child.stdin?.destroy();
  const limit = new AbortController();
  const late = sleep(STOP_SECONDS * 1000, "late", { signal: limit.signal, ref: false }).catch(
    () => "in time",
  );
  // Referenced again: whoever awaits close() must not find the process ended under it.
  child.ref();
  if ((await Promise.race([ended, late])) === "late" && child.pid !== undefined) {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended since.
    }
    await ended;
  }
  limit.abort();
}

const sizeOf = (file: string): Promise<number> =>
  stat(file).then(
    ({ size }) => size,
    () => 0,
  );

export interface PrivateOptions extends InstallOptions {
  /** Told where what the server could not read is now: it has started empty. */
  onDamage?: ((aside: string) => void) | undefined;
}

/**
 * @param directory the server's own: data, log, socket; made with mode 0700
 * @throws MusweepError (unavailable) when there is no server program or it does not start
 */
export async function startPrivateServer(
  directory: string,
  options: PrivateOptions = {},
): Promise<PrivateServer> {
  const program = await ensureServer(options);
  const { signal } = options;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
  const log = path.join(directory, "redis.log");
  const { socket, temporary } = await chooseSocket(directory);
  const removeTemporary = async (): Promise<void> => {
    if (temporary !== "") await rm(temporary, { recursive: true, force: true });
  };
  const start = async (): Promise<Launched> => {
    const launched = launch(program.path, directory, socket, temporary, log);
    try {
      await waitUntilReady(launched, socket, log, signal);
      return launched;
    } catch (error) {
      await stop(launched);
      throw error;
    }
  };
  const startWhole = async (): Promise<Launched> => {
    const before = await sizeOf(log);
    try {
      return await start();
    } catch (error) {
      if (!saysDamaged((await readFile(log)).subarray(before).toString("utf8"))) throw error;
      const aside = moveAppendOnlyAside(directory);
      if (aside === undefined) throw error;
      options.onDamage?.(aside);
      if (temporary !== "") await keepTemporary(temporary);
      return await start();
    }
  };
  let closing = false;
  let current: Launched;
  try {
    current = await startWhole();
  } catch (error) {
    await removeTemporary();
    throw error;
  }

  let tellLost: (error: MusweepError) => void = () => undefined;
  const lost = new Promise<MusweepError>((resolve) => {
    tellLost = resolve;
  });

  const keepAlive = async (): Promise<void> => {
    for (let failed = 0; ; ) {
      await current.ended;
      if (closing) return;
      if (failed === RESTARTS) {
        tellLost(await startError(log, "it has died, and ends again at once"));
        return;
      }
      // Had only the supervisor died, the watcher now ends the server: two must not share one append-only file.
      current.child.stdin?.destroy();
      await waitUntilGone(socket);
      await sleep(RESTART_MS, undefined, { ref: false });
      if (temporary !== "") await keepTemporary(temporary);
      // Nothing may wait between this check and the launch: close() stops what is current.
      if (closing) return;
      current = launch(program.path, directory, socket, temporary, log);
      try {
        await waitUntilReady(current, socket, log, undefined);
        failed = 0;
      } catch {
        await stop(current);
        failed++;
      }
    }
  };
  const kept = keepAlive().catch((error: Error) =>
    tellLost(pathError(error, log) ?? startFailed(error.message)),
  );

  return {
    socket,
    version: program.version,
    lost,
    async close() {
      closing = true;
      await stop(current);
      await kept;
      await removeTemporary();
    },
  };
}
