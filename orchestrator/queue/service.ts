/**
 * The running orchestrator: lock, database, Redis, collector, dispatcher, opened in that order and closed in reverse. Both
 * `run` and `serve` are this plus what they show.
 */
import type { Logger } from "pino";
import { type Database, openDatabase } from "../database/open.ts";
import { lockState } from "../database/state-lock.ts";
import { forgetAddress } from "../machine/dashboard-address.ts";
import { keepLogsSmall } from "../machine/rotate-log.ts";
import { logsOf, type StateDirectory } from "../machine/state-directory.ts";
import { openRedis } from "../redis/open-redis.ts";
import { removeEndedCheckpoints } from "../upkeep/leftovers.ts";
import { type Collector, type EventLag, startCollector } from "./collector.ts";
import { type Dispatcher, startDispatcher } from "./dispatcher.ts";
import { takeLease } from "./lease.ts";
import { withdrawOthers } from "./withdraw-others.ts";

export interface Service {
  readonly db: Database;
  readonly redis: { readonly url: string; readonly private: boolean; readonly describe: string };
  /** Stops putting runs on the queue; what workers report is still collected. */
  stopDispatching(): Promise<void>;
  /** Resolves with the error when results can no longer be stored, or another orchestrator has the Redis. */
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
    /** The name of the sweep that alone is trained; all are otherwise. */
    only?: string | undefined;
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
    // Of one that was killed: by now another user may listen there.
    forgetAddress(state);
    closers.push(keepLogsSmall(logsOf(state)));
    const db = openDatabase(state.database);
    closers.push(() => db.close());
    removeEndedCheckpoints(db, state);
    closers.push(() => removeEndedCheckpoints(db, state));
    const redis = await openRedis({
      directory: state.redis,
      onDamage: (aside) =>
        log.warn(
          { aside },
          "the private Redis could not read its file, which is moved aside: what waits is queued again",
        ),
      ...(options.onInstall === undefined ? {} : { onInstall: options.onInstall }),
      ...(options.redisUrl === undefined ? {} : { url: options.redisUrl }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    closers.push(() => redis.close());
    const lease = await takeLease(redis.url, state.root, { signal: options.signal });
    closers.push(() => lease.release());
    const collector: Collector = await startCollector(db, redis.url, log, lease);
    closers.push(() => collector.close());
    const { only } = options;
    if (only !== undefined) {
      const jobs = await withdrawOthers(db, redis.url, only);
      if (jobs > 0) log.info({ jobs, only }, "runs of other sweeps taken off the queue");
    }
    const dispatcher: Dispatcher = startDispatcher(db, redis.url, log, collector, {
      only,
      onThisMachine: redis.private,
    });
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
      broken: Promise.race([collector.broken, dispatcher.broken, lease.lost, redis.lost]),
      collected: collector.caughtUp,
      eventLag: collector.lag,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
