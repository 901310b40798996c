/**
 * The one collector: reads worker events from the Redis stream in order and applies them to SQLite. How far it has come is
 * stored in the same transaction as what it applied, so nothing counts twice and nothing is lost, whenever it is killed.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import {
  EVENT_STREAM,
  MAX_EVENT_BYTES,
  STREAM_ID_KEY,
  type WorkerEvent,
  workerEventSchema,
} from "../../schema/wire/events.ts";
import { DISPATCH_KEY, dispatchOf, jobId } from "../../schema/wire/job.ts";
import { connectRedis } from "../../schema/wire/redis.ts";
import { type Applied, ENDS, foresee } from "../database/apply-event.ts";
import { applyEvents } from "../database/apply-events.ts";
import type { Database } from "../database/open.ts";
import { type Ahead, fitAhead } from "../database/optima.ts";
import { readSetting, writeSetting } from "../database/settings.ts";
import { inTurns } from "../machine/turns.ts";
import { inTime } from "../redis/in-time.ts";
import { Failing } from "./failing.ts";
import { LEASE_KEY, type Lease } from "./lease.ts";
import { isWrongType, moveStrangersAside } from "./own-keys.ts";

const BATCH = 500;
/** Of a batch, but for its last entry. */
const BATCH_BYTES = 32 << 20;
/** Before every entry. */
const BEGINNING = "0-0";
const LOOK_MS = 100;
/** So often all is read, whatever the stream's length says. */
const READ_MS = 500;
/** What comes within this time is stored together: a curve that several results belong to is fitted once, not once for each. */
const GATHER_MS = 100;
/** More comes together while fitting what came before took long: it takes half of the time at most, and the other half trains. */
const GATHER_MOST_MS = 2000;
/** Closing waits so long for what is under way. */
const CLOSE_MS = 1500;

/**
 * Entries from one on. Anybody may have written them, of any size: what is too large to be an event comes without its fields, and what
 * is too much for one reading is left to the next. Two come always: the first may be the mark alone.
 */
const READ = `
local read, bytes = {}, 0
for i, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])) do
  local size = 0
  for _, text in ipairs(entry[2]) do size = size + #text end
  if size > tonumber(ARGV[3]) then entry[2] = {} else bytes = bytes + size end
  read[i] = entry
  if i > 1 and bytes > tonumber(ARGV[4]) then break end
end
return read`;

/** Up to the entry that is given, which stays as the mark of how far this has come. */
const TRIM = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('XTRIM', KEYS[2], 'MINID', ARGV[2]) end`;

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

/**
 * Resolves once everything that was in the stream has been applied; then goes on in the background.
 * @param lease what is applied is taken out of the stream only while this is held: another orchestrator may not have read it yet
 */
export async function startCollector(
  db: Database,
  redisUrl: string,
  log: Logger,
  lease?: Pick<Lease, "value">,
): Promise<Collector> {
  const redis = connectRedis(redisUrl);
  try {
    return await collect(db, redis, log, lease);
  } catch (error) {
    // The process could not end beside an open connection.
    redis.disconnect();
    throw error;
  }
}

async function collect(
  db: Database,
  redis: Redis,
  log: Logger,
  lease: Pick<Lease, "value"> | undefined,
): Promise<Collector> {
  await moveStrangersAside(redis, log);
  await redis.set(STREAM_ID_KEY, randomUUID(), "NX");
  const cursorKey = `stream:${await redis.get(STREAM_ID_KEY)}`;
  /** The last entry that was applied. It stays in the stream, as the mark of how far this has come. */
  let cursor = readSetting(db, cursorKey) ?? BEGINNING;

  /**
   * All of a batch, and how far the stream has come with it.
   * @param ahead fits and verdicts of what the batch brings
   */
  const applyBatch = (events: readonly WorkerEvent[], ahead: Ahead, last: string) =>
    db.transaction(() => {
      const results = applyEvents(db, events, ahead);
      writeSetting(db, cursorKey, last);
      const those = (result: Applied): WorkerEvent[] => events.filter((_, i) => results[i] === result);
      const ended = those("applied")
        .filter(({ body }) => ENDS.has(body.type))
        .map(({ run, attempt }) => jobId(run, dispatchOf(attempt)));
      return { ended, fenced: those("fenced"), refused: those("refused") };
    });

  async function apply(entries: Entry[]): Promise<void> {
    const events = entries.flatMap(([id, fields]) => {
      const event = parse(fields);
      if (fields.length === 0)
        log.error({ id }, "an entry of the event stream is larger than any worker event; skipped");
      else if (!event) log.error({ id }, "an entry of the event stream is no worker event; skipped");
      return event ?? [];
    });
    const ahead = await inTurns(fitAhead(db, foresee(events)));
    const last = entries.at(-1)![0];
    const { ended, fenced, refused } = applyBatch(events, ahead, last);
    for (const { run, attempt, body } of fenced)
      log.info({ run, attempt, type: body.type }, "late event of a superseded attempt ignored");
    for (const { run, attempt, body } of refused)
      log.error({ run, attempt, type: body.type }, "an event that no worker of ours would send; ignored");
    cursor = last;
    const done = redis.pipeline();
    if (ended.length > 0) done.hdel(DISPATCH_KEY, ...ended);
    if (lease === undefined) done.xtrim(EVENT_STREAM, "MINID", cursor);
    else done.eval(TRIM, 2, LEASE_KEY, EVENT_STREAM, lease.value, cursor);
    await done.exec();
  }

  /** One at a time: the loop below and a caller that wants to be caught up must not apply the same entries at once. */
  let turn: Promise<void> = Promise.resolve();
  const drained = (): Promise<void> => (turn = turn.catch(() => undefined).then(drain));

  async function drain(): Promise<void> {
    while (true) {
      const [mark, ...after] = await readFrom(cursor);
      const isMarked = cursor === BEGINNING || mark?.[0] === cursor;
      // Without the mark Redis has lost what was there. New entries may have earlier ids, where its clock was set back: all are new.
      const entries = isMarked && cursor !== BEGINNING ? after : await readFrom(BEGINNING);
      if (entries.length === 0) return;
      if (!isMarked) {
        log.warn(
          "Redis has lost the event stream that was there: what is there now is read from its beginning",
        );
        // By it workers notice the next loss.
        await redis.set(STREAM_ID_KEY, randomUUID(), "NX");
      }
      await apply(entries);
    }
  }
  const readFrom = (id: string, count = BATCH): Promise<Entry[]> =>
    redis.eval(READ, 1, EVENT_STREAM, id, count, MAX_EVENT_BYTES, BATCH_BYTES) as Promise<Entry[]>;
  await drained();

  async function lag(): Promise<EventLag> {
    // The mark may be the first of the two.
    const next = await readFrom(cursor, 2);
    const mark = next[0]?.[0] === cursor ? 1 : 0;
    const oldest = next[mark]?.[0];
    if (oldest === undefined) return { entries: 0, seconds: 0 };
    // Entry ids begin with the time in Redis, which need not be the time here.
    const [length, [now]] = await Promise.all([redis.xlen(EVENT_STREAM), redis.time()]);
    const since = Number(oldest.split("-")[0]) / 1000;
    return { entries: Math.max(1, length - mark), seconds: Math.max(0, Number(now) - since) };
  }

  const closing = new AbortController();
  const { signal } = closing;
  /** Resolves with whether there is more than the mark. A command that waits for entries would answer with them, of any size. */
  async function somethingNew(): Promise<boolean> {
    for (const since = performance.now(); performance.now() - since < READ_MS; ) {
      if ((await redis.xlen(EVENT_STREAM)) > (cursor === BEGINNING ? 0 : 1)) return true;
      await sleep(LOOK_MS, undefined, { signal });
    }
    return false;
  }
  const failing = new Failing(db.path);
  const loop = (async () => {
    let gather = GATHER_MS;
    while (!signal.aborted) {
      try {
        if (await somethingNew()) await sleep(gather, undefined, { signal });
        const before = performance.now();
        await drained();
        gather = Math.min(GATHER_MOST_MS, Math.max(GATHER_MS, performance.now() - before));
        failing.stopped();
      } catch (error) {
        if (signal.aborted) return;
        log.error(error, "collector");
        const moved = isWrongType(error) ? await inTime(moveStrangersAside(redis, log)) : 0;
        if (!moved) failing.again(error);
        await sleep(READ_MS);
      }
    }
  })();

  return {
    broken: failing.tooOften,
    caughtUp: drained,
    lag,
    async close() {
      closing.abort();
      // Calls to a Redis that is away never settle. What is left in the stream, the next collector applies.
      await inTime(
        loop.then(() => drained()),
        CLOSE_MS,
      );
      redis.disconnect();
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
