/** The dashboard asked without a socket, and the headers that browsers and scripts send. */
import { join } from "node:path";
import { pino } from "pino";
import { onTestFinished } from "vitest";
import { createApp } from "../../../orchestrator/dashboard/app.ts";
import { Tickets } from "../../../orchestrator/dashboard/keys.ts";
import type { Context } from "../../../orchestrator/dashboard/page.ts";
import type { Database } from "../../../orchestrator/database/open.ts";
import { stateDirectory } from "../../../orchestrator/machine/state-directory.ts";
import { createQueryRunner, type QueryRunner } from "../../../orchestrator/sql/query-runner.ts";
import { connectRedis } from "../../../schema/wire/redis.ts";
import { freshDatabase, sqliteOf } from "../../support/database.ts";
import { startOrchestrator } from "../../support/orchestrator.ts";
import { scratch } from "../../support/scratch.ts";

const TOKEN = "the-token-of-these-tests-that-nobody-guesses";

/** Over a real orchestrator. Asked as somebody who shows the token, or with `token` as anybody. */
export async function startApp(token?: string) {
  const o = await startOrchestrator();
  const state = stateDirectory({ dir: scratch().directory });
  const queries = queriesOf(o.db);
  const { db, redis, collector } = o;
  const context = {
    db,
    state,
    redis,
    queues: () => [o.queue],
    eventLag: collector.lag,
    queries,
    dataRoot: undefined,
  };
  return { ...o, ...appOf(context, token) };
}

/** Over a database that nothing trains. */
export function openApp(
  token?: string,
  db: Database = freshDatabase(),
  atEnd: AtEnd = onTestFinished,
  dataRoot?: string,
) {
  const state = stateDirectory({ dir: scratch(atEnd).directory });
  const redis = connectRedis(join(state.root, "no-redis.sock"));
  atEnd(async () => redis.disconnect());
  const eventLag = () => Promise.reject(new Error("there is no Redis"));
  const context = { db, state, redis, queues: () => [], eventLag, queries: queriesOf(db, atEnd) };
  return { db, state, ...appOf({ ...context, dataRoot }, token) };
}

function appOf(context: Omit<Context, "keys" | "log">, token: string | undefined) {
  /** Lines of the app's log. */
  const logged: Record<string, unknown>[] = [];
  const log = pino({ base: null }, { write: (line) => void logged.push(JSON.parse(line)) });
  const tickets = new Tickets();
  const all = { ...context, keys: { token: token ?? TOKEN, ownerOnly: true, tickets }, log };
  const app = createApp(all);
  const request = (path: string, init: RequestInit = {}, env: object = {}): Promise<Response> => {
    const headers = new Headers(init.headers);
    if (token === undefined) headers.set("authorization", `Bearer ${TOKEN}`);
    return Promise.resolve(app.request(path, { ...init, headers }, env));
  };
  return { app: { request, routes: app.routes }, tickets, logged };
}

/** Registers what is to be done when a test, or a file of tests, is over. */
type AtEnd = (close: () => Promise<void>) => void;

function queriesOf(db: Database, atEnd: AtEnd = onTestFinished): QueryRunner {
  const queries = createQueryRunner(sqliteOf(db).name);
  atEnd(async () => queries.close());
  return queries;
}

export const browser = { accept: "text/html,application/xhtml+xml" };

/** What the browser sends for a form of one of our own pages. */
export const form = (fields: Record<string, string>, headers: Record<string, string> = {}) => ({
  method: "POST",
  body: new URLSearchParams(fields),
  headers: { ...browser, origin: "http://localhost", "sec-fetch-site": "same-origin", ...headers },
});
