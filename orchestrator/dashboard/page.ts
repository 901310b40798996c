/** What a page of the dashboard is, and what it is given. */
import type { Queue } from "bullmq";
import type { Hono } from "hono";
import type { Redis } from "ioredis";
import type { EventLag } from "../collector/collector.ts";
import type { Database } from "../database/open.ts";
import type { QueryRunner } from "../sql/run-query.ts";
import type { StateDirectory } from "../state.ts";

export interface Context {
  db: Database;
  state: StateDirectory;
  /** Waits for a lost server to come back: ask through redis/in-time.ts. */
  redis: Redis;
  queues: Queue[];
  /** How far the collector is behind. */
  eventLag(): Promise<EventLag>;
  /** For queries that people write. */
  queries: QueryRunner;
  /** undefined: open, for loopback only. */
  token: string | undefined;
}

export interface Page {
  /** Its place in the navigation; what is reached from another page has none. */
  nav?: { title: string; href: string };
  /** Adds its routes. */
  mount(app: Hono, context: Context): void;
}
