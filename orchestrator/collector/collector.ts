/**
 * The one collector: reads worker events from the Redis stream in order and applies them to SQLite. How far it has come is
 * stored in the same transaction as what it applied, so nothing counts twice and nothing is lost, whenever it is killed.
 */
import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import {
  DISPATCH_KEY,
  dispatchOf,
  EVENT_STREAM,
  jobId,
  STREAM_ID_KEY,
  type WorkerEvent,
  workerEventSchema,
} from "../../schema/queue.ts";
import { connectRedis } from "../../schema/redis.ts";
import { ENDS, eventApplier } from "../database/apply-event.ts";
import type { Database } from "../database/open.ts";
import { fitAhead, refreshRuns } from "../database/optima.ts";
import { inTurns } from "../turns.ts";

const BATCH = 500;
const BLOCK_MS = 500;
/** Failures in a row before the collector calls itself broken; Redis being away is none, calls wait for it. */
const MAX_FAILURES = 5;

export interface Collector {
  /** Resolves with the error when the collector cannot go on: the same events failed again and again. */
  readonly broken: Promise<Error>;
  /** Resolves when everything that was in the stream at the time of the call has been applied. */
  caughtUp(): Promise<void>;
  /** Entries of the stream that are not applied yet, and for how long the oldest of them has been there. */
  lag(): Promise<EventLag>;
  close(): Promise<void>;
}

export interface EventLag {
  entries: number;
  seconds: number;
}

type Entry = [id: string, fields: string[]];

/** Resolves once everything that was in the stream has been applied; then goes on in the background. */
export async function startCollector(db: Database, redisUrl: string, log: Logger): Promise<Collector> {
  const redis = connectRedis(redisUrl);
  const blocking = connectRedis(redisUrl);
  const applier = eventApplier(db.sqlite);
  await redis.set(STREAM_ID_KEY, randomUUID(), "NX");
  const cursorKey = `stream:${await redis.get(STREAM_ID_KEY)}`;
  const saveCursor = db.sqlite.prepare(
    "INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
  );
  let cursor =
    db.sqlite.prepare<[string], { value: string }>("SELECT value FROM settings WHERE key = ?").get(cursorKey)
      ?.value ?? "0-0";

  /** @returns the runs that came to an end, or were given back, and the jobs that are over */
  function applyEvents(events: readonly WorkerEvent[]) {
    const touched: string[] = [];
    const ended: string[] = [];
    const fenced: WorkerEvent[] = [];
    for (const event of events) {
      const result = applier.apply(event);
      if (result === "fenced") fenced.push(event);
      if (result !== "applied" || !ENDS.has(event.body.type)) continue;
      touched.push(event.run);
      if (event.body.type !== "failed" || event.body.final)
        ended.push(jobId(event.run, dispatchOf(event.attempt)));
    }
    return { touched, ended, fenced };
  }

  const applyBatch = db.sqlite.transaction((events: readonly WorkerEvent[], last: string) => {
    const { touched, ended, fenced } = applyEvents(events);
    refreshRuns(db.sqlite, touched);
    saveCursor.run(cursorKey, last);
    return { ended, fenced };
  });

  async function apply(entries: Entry[]): Promise<void> {
    const events = entries.flatMap(([id, fields]) => {
      const event = parse(fields);
      if (!event) log.error({ id }, "an entry of the event stream is no worker event; skipped");
      return event ?? [];
    });
    if (events.some((event) => ENDS.has(event.body.type)))
      await inTurns(fitAhead(db.sqlite, () => applyEvents(events).touched));
    const last = entries.at(-1)![0];
    const { ended, fenced } = applyBatch.immediate(events, last);
    for (const { run, attempt, body } of fenced)
      log.info({ run, attempt, type: body.type }, "late event of a superseded attempt ignored");
    cursor = last;
    const done = redis.pipeline();
    if (ended.length > 0) done.hdel(DISPATCH_KEY, ...ended);
    done.xtrim(EVENT_STREAM, "MINID", cursor);
    await done.exec();
  }

  /** One at a time: the loop below and a caller that wants to be caught up must not apply the same entries at once. */
  let turn: Promise<void> = Promise.resolve();
  const drained = (): Promise<void> => (turn = turn.catch(() => undefined).then(drain));

  async function drain(): Promise<void> {
    while (true) {
      const entries = (await redis.xrange(EVENT_STREAM, `(${cursor}`, "+", "COUNT", BATCH)) as Entry[];
      if (entries.length === 0) return;
      await apply(entries);
    }
  }
  await drained();

  async function lag(): Promise<EventLag> {
    // The last applied entry stays in the stream as the mark of how far this has come, so it may be the first of the two.
    const next = await redis.xrange(EVENT_STREAM, cursor, "+", "COUNT", 2);
    const mark = next[0]?.[0] === cursor ? 1 : 0;
    const oldest = next[mark]?.[0];
    if (oldest === undefined) return { entries: 0, seconds: 0 };
    // Entry ids begin with the time in Redis, which need not be the time here.
    const [length, [now]] = await Promise.all([redis.xlen(EVENT_STREAM), redis.time()]);
    const since = Number(oldest.split("-")[0]) / 1000;
    return { entries: Math.max(1, length - mark), seconds: Math.max(0, Number(now) - since) };
  }

  let closed = false;
  let reportBroken: (error: Error) => void = () => undefined;
  const broken = new Promise<Error>((resolve) => {
    reportBroken = resolve;
  });
  const loop = (async () => {
    let failures = 0;
    while (!closed) {
      try {
        await blocking.xread("COUNT", 1, "BLOCK", BLOCK_MS, "STREAMS", EVENT_STREAM, cursor);
        await drained();
        failures = 0;
      } catch (error) {
        if (closed) return;
        log.error(error, "collector");
        if (++failures === MAX_FAILURES) reportBroken(error as Error);
        await new Promise((resolve) => setTimeout(resolve, BLOCK_MS));
      }
    }
  })();

  return {
    broken,
    caughtUp: drained,
    lag,
    async close() {
      closed = true;
      await loop;
      await drained();
      redis.disconnect();
      blocking.disconnect();
    },
  };
}

/** Fields are ["event", json]. */
function parse(fields: string[]): WorkerEvent | undefined {
  try {
    return workerEventSchema.parse(JSON.parse(fields[1] ?? ""));
  } catch {
    return undefined;
  }
}
