/** Serves the dashboard of a running orchestrator on an address, until it is closed. */
import { rmSync, writeFileSync } from "node:fs";
import { serve as listen, type ServerType } from "@hono/node-server";
import { Queue } from "bullmq";
import { MusweepError } from "../../schema/errors.ts";
import { CAPABILITIES, queueName } from "../../schema/queue.ts";
import { connectRedis } from "../../schema/redis.ts";
import type { Service } from "../service.ts";
import { createQueryRunner } from "../sql/run-query.ts";
import type { StateDirectory } from "../state.ts";
import { createApp } from "./app.ts";
import { sweepPath } from "./components.ts";

export interface Dashboard {
  readonly url: string;
  /** Where a sweep's page is. */
  sweepUrl(sweep: string): string;
  close(): Promise<void>;
}

export interface Address {
  host: string;
  /** 0: one that is free. */
  port: number;
  token: string | undefined;
}

const LOOPBACK = new Set(["127.0.0.1", "::1", "localhost"]);

/** @throws MusweepError (usage) for an address that others can reach, without a token */
export function checkAddress({ host, token }: Address): void {
  if (LOOPBACK.has(host) || token !== undefined) return;
  throw new MusweepError("token-needed", `listening on ${host} needs a token`, {
    kind: "usage",
    remedy: "Set MUSWEEP_TOKEN (or --token), or listen on 127.0.0.1.",
  });
}

export async function serveDashboard(
  service: Service,
  state: StateDirectory,
  address: Address,
): Promise<Dashboard> {
  checkAddress(address);
  const { host, token } = address;
  const connection = connectRedis(service.redis.url);
  const queues = CAPABILITIES.map((c) => new Queue(queueName(c), { connection }));
  const queries = createQueryRunner(state.database);
  const release = async (): Promise<void> => {
    queries.close();
    await Promise.all(queues.map((queue) => queue.close()));
    connection.disconnect();
  };
  try {
    const { db, eventLag } = service;
    const app = createApp({ db, state, redis: connection, queues, eventLag, queries, token });
    const { server, port } = await listenOn(app.fetch, address);
    const url = `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
    writeFileSync(state.server, JSON.stringify({ url, pid: process.pid }));
    return {
      url,
      sweepUrl: (sweep) => `${url}${sweepPath(sweep)}`,
      async close() {
        rmSync(state.server, { force: true });
        await new Promise<void>((resolve) => {
          server.close(() => resolve());
          if ("closeAllConnections" in server) server.closeAllConnections();
        });
        await release();
      },
    };
  } catch (error) {
    await release();
    throw error;
  }
}

function listenOn(
  fetch: Parameters<typeof listen>[0]["fetch"],
  { host, port }: Address,
): Promise<{ server: ServerType; port: number }> {
  return new Promise((resolve, reject) => {
    const server = listen({ fetch, hostname: host, port }, (info) => resolve({ server, port: info.port }));
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
