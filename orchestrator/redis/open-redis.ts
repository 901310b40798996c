/**
 * The Redis of a state directory: the one that the user named, or a private server. While a private server runs, an
 * endpoint file tells other musweep processes of the same state directory where it is.
 */
import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { MusweepError } from "../../schema/wire/errors.ts";
import { isRunning, startOf } from "../machine/is-running.ts";
import { type PrivateOptions, startPrivateServer } from "./private-server.ts";
import { checkRedis, connected, probe, withoutPassword } from "./probe.ts";

export { checkRedis };

export interface OpenRedis {
  /** For connectRedis (schema/wire/redis.ts): a redis url, or the path of a unix socket. */
  readonly url: string;
  /** Whether it is ours: started here, stopped by close. */
  readonly private: boolean;
  /** For people; holds no password. */
  readonly describe: string;
  /** Resolves with the reason when a private server has died and cannot be started again; any other is waited for. */
  readonly lost: Promise<MusweepError>;
  /** Ends a private server once its data is on disk; leaves any other alone. */
  close(): Promise<void>;
}

export interface OpenRedisOptions extends PrivateOptions {
  /** What the user named: --redis, or REDIS_URL. */
  url?: string | undefined;
  /** Of the private server: its data, log, socket and endpoint file. */
  directory: string;
}

const endpointSchema = z.strictObject({
  version: z.literal(1),
  /** Path of the unix socket. */
  url: z.string(),
  host: z.string(),
  /** Process that owns the server, and when it was started: its id alone may be another's by now. */
  pid: z.int(),
  started: z.string().optional(),
});
type Endpoint = z.infer<typeof endpointSchema>;

const endpointFile = (directory: string): string => path.join(directory, "endpoint.json");

async function readEndpoint(directory: string): Promise<Endpoint | null> {
  try {
    return endpointSchema.parse(JSON.parse(await readFile(endpointFile(directory), "utf8")));
  } catch {
    return null;
  }
}

async function writeEndpoint(directory: string, url: string): Promise<void> {
  const endpoint: Endpoint = {
    version: 1,
    url,
    host: hostname(),
    pid: process.pid,
    started: startOf(process.pid),
  };
  const file = endpointFile(directory);
  const temporary = `${file}.${process.pid}`;
  await writeFile(temporary, `${JSON.stringify(endpoint)}\n`, { mode: 0o600 });
  await rename(temporary, file);
}

/**
 * The private Redis that another musweep process runs for this directory on this machine; null when there is none, a
 * leftover endpoint file included.
 */
export async function findRedis(directory: string): Promise<{ url: string; pid: number } | null> {
  const endpoint = await answering(directory);
  return endpoint === null ? null : { url: endpoint.url, pid: endpoint.pid };
}

async function answering(directory: string): Promise<Endpoint | null> {
  const endpoint = await readEndpoint(directory);
  if (endpoint === null || endpoint.host !== hostname()) return null;
  if (!(await isOwn(endpoint.url, directory))) return null;
  return (await probe(endpoint.url)) === "down" ? null : endpoint;
}

/** Where a socket lay in /tmp, another user may have put one of his own by now. */
async function isOwn(socket: string, directory: string): Promise<boolean> {
  const [found, owner] = await Promise.all([socket, directory].map((at) => stat(at).catch(() => null)));
  return found?.uid !== undefined && [owner?.uid, process.geteuid?.()].includes(found.uid);
}

/** A server without an owner ends by itself within moments, unless what should end it was killed too. */
const ALONE_SECONDS = 3;
/** Long enough to write what it holds. */
const SHUTDOWN_SECONDS = 30;

/**
 * Waits for the server of an owner that was killed to end, and ends it over its own socket when it does not. One whose owner
 * lives is not ours to share data with.
 */
async function endPrevious(directory: string, signal: AbortSignal | undefined): Promise<void> {
  let asked = false;
  for (let waited = 0; ; waited += 100) {
    signal?.throwIfAborted();
    const previous = await answering(directory);
    if (previous === null) return;
    const { pid, started, url } = previous;
    if (isRunning(pid) && startOf(pid) === (started ?? startOf(pid)))
      throw inUse(
        `The private Redis in ${directory} is already running, for process ${pid}`,
        "Stop that musweep first, or use another state directory (--dir).",
      );
    if (waited > SHUTDOWN_SECONDS * 1000)
      throw inUse(
        `The private Redis in ${directory} was left running by process ${pid}, and does not end`,
        `End it yourself (redis-cli -s ${url} shutdown), or use another state directory (--dir).`,
      );
    if (waited >= ALONE_SECONDS * 1000 && !asked) {
      asked = true;
      // It writes what it has first; the answer is that the connection ends.
      await connected(url, (redis) => redis.shutdown()).catch(() => undefined);
    }
    await sleep(100);
  }
}

const inUse = (message: string, remedy: string): MusweepError =>
  new MusweepError("redis-in-use", message, { kind: "conflict", remedy });

/**
 * @throws MusweepError (unavailable) when the named Redis cannot be used, or no private one can be had; (conflict) when
 * another process runs the private Redis of this directory
 */
export async function openRedis(options: OpenRedisOptions): Promise<OpenRedis> {
  const { url, signal } = options;
  if (url !== undefined) {
    const version = await checkRedis(url);
    return {
      url,
      private: false,
      describe: `Redis ${version} at ${withoutPassword(url)}`,
      lost: new Promise(() => undefined),
      close: async () => {},
    };
  }
  const directory = path.resolve(options.directory);
  await endPrevious(directory, signal);
  const server = await startPrivateServer(directory, options);
  try {
    await writeEndpoint(directory, server.socket);
  } catch (error) {
    await server.close();
    throw error;
  }
  return {
    url: server.socket,
    private: true,
    describe: `private Redis ${server.version} at ${server.socket}`,
    lost: server.lost,
    async close() {
      await rm(endpointFile(directory), { force: true });
      await server.close();
    },
  };
}
