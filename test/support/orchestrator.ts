/** The parts of an orchestrator in this process: database, private Redis, collector, dispatcher, all real. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { type Job as BullJob, Queue, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { type Logger, pino } from "pino";
import { onTestFinished } from "vitest";
import type { Database } from "../../orchestrator/database/open.ts";
import { type Collector, startCollector } from "../../orchestrator/queue/collector.ts";
import { type Dispatcher, startDispatcher } from "../../orchestrator/queue/dispatcher.ts";
import { openRedis } from "../../orchestrator/redis/open-redis.ts";
import { EVENT_STREAM, type WorkerEvent } from "../../schema/wire/events.ts";
import { attemptNumber, type Job, queueName } from "../../schema/wire/job.ts";
import { connectRedis } from "../../schema/wire/redis.ts";
import { Attempt, freshDatabase } from "./database.ts";
import { scratch } from "./scratch.ts";

export const silent: Logger = pino({ level: "silent" });

/** A private Redis of the test's own, and a connection to it. */
export async function freshRedis(): Promise<{ url: string; redis: Redis }> {
  const server = await openRedis({ directory: join(scratch().directory, "redis") });
  onTestFinished(() => server.close());
  const redis = connectRedis(server.url);
  onTestFinished(() => redis.disconnect());
  return { url: server.url, redis };
}

/** Puts events on the stream as workers do; all at once, so that nothing happens between them. */
export async function send(redis: Redis, ...events: WorkerEvent[]): Promise<void> {
  const all = redis.multi();
  for (const event of events) all.xadd(EVENT_STREAM, "*", "event", JSON.stringify(event));
  await all.exec();
}

export interface Orchestrator {
  db: Database;
  url: string;
  redis: Redis;
  collector: Collector;
  dispatcher: Dispatcher;
  queue: Queue<Job>;
}

export async function startOrchestrator(): Promise<Orchestrator> {
  const { url, redis } = await freshRedis();
  const db = freshDatabase();
  const collector = await startCollector(db, url, silent);
  onTestFinished(() => collector.close());
  const dispatcher = startDispatcher(db, url, silent, collector);
  onTestFinished(() => dispatcher.close());
  const queue = new Queue<Job>(queueName("musweep"), { connection: redis });
  onTestFinished(() => queue.close());
  return { db, url, redis, collector, dispatcher, queue };
}

/** Takes the next job by hand, as BullMQ's worker does before it runs a processor. @param name the worker's */
export async function takeJob(
  { url }: Orchestrator,
  { need = "musweep", name }: { need?: string; name?: string } = {},
): Promise<{ job: BullJob<Job>; attempt: Attempt }> {
  const connection = connectRedis(url);
  const options = { connection, lockDuration: 60_000, ...(name === undefined ? {} : { name }) };
  const worker = new Worker<Job>(queueName(need), null, options);
  onTestFinished(async () => {
    await worker.close();
    connection.disconnect();
  });
  const job = (await worker.getNextJob(randomUUID()))!;
  const { run, dispatch } = job.data;
  return { job, attempt: new Attempt(run, attemptNumber(dispatch, job.attemptsStarted)) };
}
