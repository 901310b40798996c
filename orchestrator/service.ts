/**
 * The running orchestrator: lock, database, Redis, collector, dispatcher, opened in that order and closed in reverse. Both
 * `run` and `serve` are this plus what they show.
 */
import type { Logger } from "pino";
import { type Collector, type EventLag, startCollector } from "./collector/collector.ts";
import { type Database, openDatabase } from "./database/open.ts";
import { type Dispatcher, startDispatcher } from "./queue/dispatcher.ts";
import { freeRuns } from "./queue/free-runs.ts";
import { openRedis } from "./redis/open-redis.ts";
import { lockState, type StateDirectory } from "./state.ts";

export interface Service {
  readonly db: Database;
  readonly redis: { readonly url: string; readonly private: boolean; readonly describe: string };
  /** Stops putting runs on the queue; what workers report is still collected. */
  stopDispatching(): Promise<void>;
  /** Resolves with the error when results can no longer be stored. */
  readonly broken: Promise<Error>;
  /** Resolves when everything that workers have reported so far is in the database. */
  collected(): Promise<void>;
  /** How far storing what workers report is behind. */
  eventLag(): Promise<EventLag>;
  close(): Promise<void>;
}

export async function startService(
  state: StateDirectory,
  options: {
    redisUrl: string | undefined;
    log: Logger;
    /** Told when a Redis server has to be installed first, which takes a while. */
    onInstall?: (what: string) => void;
    signal?: AbortSignal;
  },
): Promise<Service> {
  const { log } = options;
  const closers: (() => void | Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    // Everything is closed even when something will not close; the first reason is told.
    const errors: unknown[] = [];
    for (const closer of closers.splice(0).reverse()) {
      try {
        await closer();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  };
  try {
    closers.push(lockState(state));
    const db = openDatabase(state.database);
    closers.push(() => db.close());
    const redis = await openRedis({
      directory: state.redis,
      ...(options.onInstall === undefined ? {} : { onInstall: options.onInstall }),
      ...(options.redisUrl === undefined ? {} : { url: options.redisUrl }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    closers.push(() => redis.close());
    const collector: Collector = await startCollector(db, redis.url, log);
    closers.push(() => collector.close());
    if (redis.private) await freeRuns(db, redis.url, log);
    const dispatcher: Dispatcher = startDispatcher(db, redis.url, log, collector);
    let dispatching = true;
    const stopDispatching = async (): Promise<void> => {
      if (!dispatching) return;
      dispatching = false;
      await dispatcher.close();
    };
    closers.push(stopDispatching);
    return {
      db,
      redis,
      stopDispatching,
      broken: collector.broken,
      collected: collector.caughtUp,
      eventLag: collector.lag,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
