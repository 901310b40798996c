/** What a page of the dashboard is, and what it is given. */
import type { Queue } from "bullmq";
import type { Hono } from "hono";
import type { Database } from "../database/open.ts";
import type { StateDirectory } from "../state.ts";

export interface Context {
  db: Database;
  state: StateDirectory;
  queues: Queue[];
  /** undefined: open, for loopback only. */
  token: string | undefined;
}

export interface Page {
  /** Its place in the navigation; what is reached from another page has none. */
  nav?: { title: string; href: string };
  /** Adds its routes. */
  mount(app: Hono, context: Context): void;
}
