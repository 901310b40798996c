/** The dashboard asked without a socket, and the headers that browsers and scripts send. */
import { createApp } from "../../../orchestrator/dashboard/app.ts";
import type { Database } from "../../../orchestrator/database/open.ts";
import { stateDirectory } from "../../../orchestrator/state.ts";
import { freshDatabase } from "../../support/database.ts";
import { startOrchestrator } from "../../support/orchestrator.ts";
import { scratch } from "../../support/scratch.ts";

/** Over a real orchestrator. */
export async function startApp(token?: string) {
  const o = await startOrchestrator();
  const state = stateDirectory({ dir: scratch().directory });
  return { ...o, app: createApp({ db: o.db, state, queues: [o.queue], token }) };
}

/** Over a database that nothing trains. */
export function openApp(token?: string, db: Database = freshDatabase()) {
  const state = stateDirectory({ dir: scratch().directory });
  return { db, app: createApp({ db, state, queues: [], token }) };
}

export const browser = { accept: "text/html,application/xhtml+xml" };

/** What the browser sends for a form of one of our own pages. */
export const form = (fields: Record<string, string>, headers: Record<string, string> = {}) => ({
  method: "POST",
  body: new URLSearchParams(fields),
  headers: { ...browser, origin: "http://localhost", "sec-fetch-site": "same-origin", ...headers },
});
