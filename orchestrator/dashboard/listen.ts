/** Serves the dashboard of a running orchestrator on an address, until it is closed. */
import { type HttpBindings, serve as listen, type ServerType } from "@hono/node-server";
import type { Logger } from "pino";
import { MusweepError } from "../../schema/wire/errors.ts";
import { connectRedis } from "../../schema/wire/redis.ts";
import { forgetAddress, writeAddress } from "../machine/dashboard-address.ts";
import type { StateDirectory } from "../machine/state-directory.ts";
import { Queues } from "../queue/queues.ts";
import type { Service } from "../queue/service.ts";
import { inTime } from "../redis/in-time.ts";
import { createQueryRunner } from "../sql/query-runner.ts";
import { createApp } from "./app.ts";
import { Tickets } from "./keys.ts";

export interface Dashboard {
  readonly url: string;
  /** A link to a page of it that logs in, once. */
  link(path: string): string;
  /** Whatever is still open or under way is broken off. */
  close(): Promise<void>;
}

export interface Address {
  host: string;
  /** 0: one that is free. */
  port: number;
}

export interface DashboardOptions {
  token: string;
  /** See Keys (keys.ts). */
  ownerOnly: boolean;
  /** See Context (page.ts). */
  dataRoot?: string | undefined;
  log: Logger;
  limits?: Limits;
}

/** How long a connection may do nothing, and how many there may be. */
export interface Limits {
  /** Until a request's headers are there, from the connection's beginning on. */
  headersMs: number;
  /** Until all of a request is there. */
  requestMs: number;
  /** Until the client has taken something of its answer; live pages and downloads have something for it every minute. */
  stallMs: number;
  connections: number;
}

const LIMITS: Limits = { headersMs: 10_000, requestMs: 60_000, stallMs: 90_000, connections: 500 };
const CHECK_MS = 1000;
/** Closing waits so long for a Redis that does not answer. */
const CLOSE_MS = 1000;

const LOOPBACK = new Set(["127.0.0.1", "::1", "localhost"]);

/** @throws MusweepError (usage) for an address that others can reach, where the user has named no token */
export function checkAddress(host: string, named: string | undefined): void {
  if (LOOPBACK.has(host) || named !== undefined) return;
  throw new MusweepError("token-needed", `listening on ${host} needs a token`, {
    kind: "usage",
    remedy: "Set MUSWEEP_TOKEN, or name a file that holds one with --token-file; or listen on 127.0.0.1.",
  });
}

export async function serveDashboard(
  service: Service,
  state: StateDirectory,
  address: Address,
  { token, ownerOnly, dataRoot, log, limits = LIMITS }: DashboardOptions,
): Promise<Dashboard> {
  const connection = connectRedis(service.redis.url);
  const queues = new Queues(service.db, connection);
  const queries = createQueryRunner(state.database);
  const tickets = new Tickets();
  let server: ServerType | undefined;
  const close = async (): Promise<void> => {
    forgetAddress(state);
    await closed(server);
    queries.close();
    await inTime(queues.close(), CLOSE_MS);
    connection.disconnect();
  };
  try {
    const { db, eventLag } = service;
    const keys = { token, ownerOnly, tickets };
    const app = createApp({
      db,
      state,
      redis: connection,
      queues: () => queues.all(),
      eventLag,
      queries,
      keys,
      dataRoot,
      log,
    });
    const listening = await listenOn(app.fetch, address, limits);
    ({ server } = listening);
    const { port } = listening;
    if (ownerOnly) writeAddress(state, listening.address, port);
    const { host } = address;
    const url = `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
    return {
      url,
      link: (path) =>
        `${url}/login?ticket=${tickets.issue()}${path === "/" ? "" : `&next=${encodeURIComponent(path)}`}`,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const closed = (server: ServerType | undefined): Promise<void> =>
  new Promise((resolve) => {
    if (server === undefined) return resolve();
    server.close(() => resolve());
    if ("closeAllConnections" in server) server.closeAllConnections();
  });

type Fetch = (request: Request, env: HttpBindings) => Response | Promise<Response>;

function listenOn(
  fetch: Fetch,
  { host, port }: Address,
  limits: Limits,
): Promise<{ server: ServerType; port: number; address: string }> {
  /** From its answer on a client that takes nothing is cut off; while an answer is made, it may take its time. */
  const watched = async (request: Request, env: HttpBindings): Promise<Response> => {
    try {
      return await fetch(request, env);
    } finally {
      env.outgoing.setTimeout(limits.stallMs);
    }
  };
  return new Promise((resolve, reject) => {
    const server = listen(
      {
        fetch: (request, env) => watched(request, env as HttpBindings),
        hostname: host,
        port,
        serverOptions: {
          headersTimeout: limits.headersMs,
          requestTimeout: limits.requestMs,
          connectionsCheckingInterval: CHECK_MS,
        },
      },
      (info) => resolve({ server, port: info.port, address: info.address }),
    );
    server.maxConnections = limits.connections;
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const why = cause.code === "EADDRINUSE" ? "is in use" : cause.message;
      reject(
        new MusweepError("port", `cannot listen on ${host}:${port}: ${why}`, {
          kind: "unavailable",
          remedy: "Choose another with --port.",
          cause,
        }),
      );
    });
  });
}
