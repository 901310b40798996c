/**
 * The Redis of a state directory: the one that the user named, or a private server. While a private server runs, an
 * endpoint file tells other musweep processes of the same state directory where it is.
 */
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { MusweepError } from "../../schema/errors.ts";
import { isRunning } from "../is-running.ts";
import type { InstallOptions } from "./install-server.ts";
import { startPrivateServer } from "./private-server.ts";
import { checkRedis, probe, withoutPassword } from "./probe.ts";

export { checkRedis };

export interface OpenRedis {
  /** For connectRedis (schema/redis.ts): a redis url, or the path of a unix socket. */
  readonly url: string;
  /** Whether it is ours: started here, stopped by close. */
  readonly private: boolean;
  /** For people; holds no password. */
  readonly describe: string;
  /** Ends a private server once its data is on disk; leaves any other alone. */
  close(): Promise<void>;
}

export interface OpenRedisOptions extends InstallOptions {
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
  /** Process that owns the server. */
  pid: z.int(),
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
  const endpoint: Endpoint = { version: 1, url, host: hostname(), pid: process.pid };
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
  const endpoint = await readEndpoint(directory);
  if (endpoint === null || endpoint.host !== hostname()) return null;
  return (await probe(endpoint.url)) === "down" ? null : { url: endpoint.url, pid: endpoint.pid };
}

const HANDOVER_SECONDS = 30;

/** A server whose owner was killed ends within moments; one whose owner lives is not ours to share data with. */
async function waitForPrevious(directory: string, signal: AbortSignal | undefined): Promise<void> {
  for (let waited = 0; ; waited += 100) {
    signal?.throwIfAborted();
    const previous = await findRedis(directory);
    if (previous === null) return;
    if (isRunning(previous.pid) || waited > HANDOVER_SECONDS * 1000) {
      throw new MusweepError(
        "redis-in-use",
        `The private Redis in ${directory} is already running, for process ${previous.pid}`,
        { kind: "conflict", remedy: "Stop that musweep first, or use another state directory (--dir)." },
      );
    }
    await sleep(100);
  }
}

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
      close: async () => {},
    };
  }
  const directory = path.resolve(options.directory);
  await waitForPrevious(directory, signal);
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
    async close() {
      await rm(endpointFile(directory), { force: true });
      await server.close();
    },
  };
}
