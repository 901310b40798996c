/** The dashboard asked without a socket, and the headers that browsers and scripts send. */
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { createApp } from "../../../orchestrator/dashboard/app.ts";
import type { Database } from "../../../orchestrator/database/open.ts";
import { createQueryRunner, type QueryRunner } from "../../../orchestrator/sql/run-query.ts";
import { stateDirectory } from "../../../orchestrator/state.ts";
import { connectRedis } from "../../../schema/redis.ts";
import { freshDatabase } from "../../support/database.ts";
import { startOrchestrator } from "../../support/orchestrator.ts";
import { scratch } from "../../support/scratch.ts";

/** Over a real orchestrator. */
export async function startApp(token?: string) {
  const o = await startOrchestrator();
  const state = stateDirectory({ dir: scratch().directory });
  const queries = queriesOf(o.db);
  const { db, redis, collector } = o;
  return {
    ...o,
    app: createApp({ db, state, redis, queues: [o.queue], eventLag: collector.lag, queries, token }),
  };
}

/** Over a database that nothing trains. */
export function openApp(token?: string, db: Database = freshDatabase(), atEnd: AtEnd = onTestFinished) {
  const state = stateDirectory({ dir: scratch(atEnd).directory });
  const redis = connectRedis(join(state.root, "no-redis.sock"));
  atEnd(async () => redis.disconnect());
  const eventLag = () => Promise.reject(new Error("there is no Redis"));
  return {
    db,
    app: createApp({ db, state, redis, queues: [], eventLag, queries: queriesOf(db, atEnd), token }),
  };
}

/** Registers what is to be done when a test, or a file of tests, is over. */
type AtEnd = (close: () => Promise<void>) => void;

function queriesOf(db: Database, atEnd: AtEnd = onTestFinished): QueryRunner {
  const queries = createQueryRunner(db.sqlite.name);
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
