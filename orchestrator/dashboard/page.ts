/** What a page of the dashboard is, and what it is given. */
import type { Queue } from "bullmq";
import type { Hono } from "hono";
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import type { Database } from "../database/open.ts";
import type { StateDirectory } from "../machine/state-directory.ts";
import type { EventLag } from "../queue/collector.ts";
import type { QueryRunner } from "../sql/query-runner.ts";
import type { Keys } from "./keys.ts";

export interface Context {
  db: Database;
  state: StateDirectory;
  /** Waits for a lost server to come back: ask through redis/in-time.ts. */
  redis: Redis;
  queues: () => Queue[];
  /** How far the collector is behind. */
  eventLag(): Promise<EventLag>;
  /** For queries that people write. */
  queries: QueryRunner;
  keys: Keys;
  /** The directory with the files that sweeps which come over HTTP may name as their data; undefined: none. */
  dataRoot: string | undefined;
  log: Logger;
}

export interface NavigationEntry {
  title: string;
  href: string;
}

export interface Page {
  /** Its place in the navigation; what is reached from another page has none. */
  nav?: NavigationEntry;
  /** Adds its routes. */
  mount(app: Hono, context: Context): void;
}
