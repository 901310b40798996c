/** The collector between a real Redis stream and a real SQLite: restarts, repeats, and entries that are no events. */
import { pino } from "pino";
import { describe, expect, it, onTestFinished } from "vitest";
import { type Database, openDatabase } from "../../../orchestrator/database/open.ts";
import { startCollector } from "../../../orchestrator/queue/collector.ts";
import { EVENT_STREAM, MAX_EVENT_BYTES } from "../../../schema/wire/events.ts";
import { DISPATCH_KEY } from "../../../schema/wire/job.ts";
import { Attempt, cellsOf, freshDatabase, gridText, sqliteOf, submitText } from "../../support/database.ts";
import { freshRedis, send, silent } from "../../support/orchestrator.ts";
import { until } from "../../support/scratch.ts";

function queuedSweep(db: Database): string[] {
  const text = gridText();
  submitText(db, text);
  sqliteOf(db).exec("UPDATE runs SET state = 'queued', on_queue = 1, dispatch = 1");
  return cellsOf(text).map((cell) => cell.run);
}

const losses = (db: Database) =>
  sqliteOf(db).prepare("SELECT validation_loss FROM runs ORDER BY ordinal").pluck().all();

describe("the collector", () => {
  it("applies what was reported before it started, keeps the optima current, and cleans up in Redis", async () => {
    const { url, redis } = await freshRedis();
    const db = freshDatabase();
    const runs = queuedSweep(db);
    for (const run of runs) await redis.hset(DISPATCH_KEY, `${run}-1`, "{}");
    for (const [i, run] of runs.entries()) {
      const a = new Attempt(run, 1001);
      await send(redis, a.claimed(), a.started(), a.metrics(20, 3), a.finished(3 - i / 10));
    }
    const collector = await startCollector(db, url, silent);
    expect(losses(db)).toEqual([3, 2.9, 2.8]);
    expect(sqliteOf(db).prepare("SELECT points, missing, grid_loss FROM optima").get()).toEqual({
      points: 3,
      missing: 0,
      grid_loss: 2.8,
    });
    expect(await redis.hlen(DISPATCH_KEY)).toBe(0);
    // Applied entries go; the last one stays as the mark of how far it has come.
    expect(await redis.xlen(EVENT_STREAM)).toBe(1);
    await collector.close();
  });

  it("goes on where it stopped, and hears what comes while it runs", async () => {
    const { url, redis } = await freshRedis();
    const db = freshDatabase();
    const [first, second] = queuedSweep(db).map((run) => new Attempt(run, 1001));
    const before = await startCollector(db, url, silent);
    await send(redis, first!.claimed(), first!.started(), first!.finished(3));
    await until(() => expect(losses(db)).toEqual([3, null, null]));
    await before.close();
    await send(redis, second!.claimed(), second!.started(), second!.finished(2));
    const after = await startCollector(db, url, silent);
    expect(losses(db)).toEqual([3, 2, null]);
    await after.close();
  });

  it("killed between what it stored and what it told Redis, counts nothing twice", async () => {
    const { url, redis } = await freshRedis();
    const db = freshDatabase();
    const [a] = queuedSweep(db).map((run) => new Attempt(run, 1001));
    const events = [a!.claimed(), a!.started(), a!.metrics(1, 5), a!.finished(3)];
    await send(redis, ...events);
    await (await startCollector(db, url, silent)).close();
    const dump = () =>
      ["runs", "attempts", "metrics"].map((t) => sqliteOf(db).prepare(`SELECT * FROM ${t}`).all());
    const stored = dump();
    // The same again: a stream that was not trimmed, read from its start, and entries that were sent twice.
    sqliteOf(db).exec("DELETE FROM settings");
    await send(redis, ...events, events[1]!);
    await (await startCollector(db, url, silent)).close();
    expect(dump()).toEqual(stored);
  });

  it("takes up a new Redis after the old one lost its stream", async () => {
    const { url, redis } = await freshRedis();
    const db = freshDatabase();
    const [first, second] = queuedSweep(db).map((run) => new Attempt(run, 1001));
    // An entry far in the future: a cursor that would hide everything of the next stream.
    await redis.xadd(EVENT_STREAM, "9000000000000-0", "event", JSON.stringify(first!.claimed()));
    await (await startCollector(db, url, silent)).close();
    await redis.flushall();
    await send(
      redis,
      first!.started(),
      first!.finished(3),
      second!.claimed(),
      second!.started(),
      second!.finished(2),
    );
    await (await startCollector(db, url, silent)).close();
    expect(losses(db)).toEqual([3, 2, null]);
  });

  it("hears what comes after Redis has lost its data, with its clock set back, while it runs and when it starts", async () => {
    const { url, redis } = await freshRedis();
    const db = freshDatabase();
    const [first, second, third] = queuedSweep(db).map((run) => new Attempt(run, 1001));
    const collector = await startCollector(db, url, silent);
    await send(redis, first!.claimed(), first!.started(), first!.finished(3));
    await until(() => expect(losses(db)).toEqual([3, null, null]));
    // Everything but the name of the stream, as an append-only file that was cut short gives it back; ids begin with the clock.
    const at = (id: number, event: unknown) =>
      redis.xadd(EVENT_STREAM, `${id}-0`, "event", JSON.stringify(event));
    await redis.del(EVENT_STREAM);
    for (const [i, event] of [second!.claimed(), second!.started(), second!.finished(2)].entries())
      await at(1000 + i, event);
    await until(() => expect(losses(db)).toEqual([3, 2, null]));
    await collector.close();
    await redis.del(EVENT_STREAM);
    for (const [i, event] of [third!.claimed(), third!.started(), third!.finished(1)].entries())
      await at(100 + i, event);
    await (await startCollector(db, url, silent)).close();
    expect(losses(db)).toEqual([3, 2, 1]);
  });

  it("finds something else in the stream's place, when it starts and while it runs: that is moved aside", async () => {
    const { url, redis } = await freshRedis();
    const db = freshDatabase();
    const [first, second] = queuedSweep(db).map((run) => new Attempt(run, 1001));
    await redis.rpush(EVENT_STREAM, "a list");
    await redis.rpush(DISPATCH_KEY, "another");
    const collector = await startCollector(db, url, silent);
    await send(redis, first!.claimed(), first!.started(), first!.finished(3));
    await until(() => expect(losses(db)).toEqual([3, null, null]));
    await redis.set(EVENT_STREAM, "a text");
    await until(async () => expect(await redis.type(EVENT_STREAM)).toBe("none"));
    await send(redis, second!.claimed(), second!.started(), second!.finished(2));
    await until(() => expect(losses(db)).toEqual([3, 2, null]));
    await collector.close();
    const kept = await redis.keys("*:aside-*");
    expect(kept.map((key) => key.replace(/-[^-]+$/, "")).sort()).toEqual(
      [`${DISPATCH_KEY}:aside`, `${EVENT_STREAM}:aside`, `${EVENT_STREAM}:aside`].sort(),
    );
  });

  it("that cannot start leaves no connection open", async () => {
    const { url, redis } = await freshRedis();
    const db = freshDatabase();
    const [run] = queuedSweep(db).map((id) => new Attempt(id, 1001));
    await send(redis, run!.claimed());
    db.close();
    const before = await redis.client("LIST");
    await expect(startCollector(db, url, silent)).rejects.toThrow();
    await until(async () =>
      expect(String(await redis.client("LIST")).split("\n").length).toBe(String(before).split("\n").length),
    );
  });

  it("passes over entries that are no events", async () => {
    const { url, redis } = await freshRedis();
    const db = freshDatabase();
    const [a] = queuedSweep(db).map((run) => new Attempt(run, 1001));
    await redis.xadd(EVENT_STREAM, "*", "event", "{ not JSON");
    await redis.xadd(EVENT_STREAM, "*", "something", "else");
    await redis.xadd(
      EVENT_STREAM,
      "*",
      "event",
      JSON.stringify({ ...a!.claimed(), body: { type: "exploded" } }),
    );
    await send(
      redis,
      new Attempt("r-unknown", 1001).claimed(),
      new Attempt(a!.claimed().run, 1001).claimed(),
    );
    const collector = await startCollector(db, url, silent);
    expect(sqliteOf(db).prepare("SELECT state FROM runs ORDER BY ordinal LIMIT 1").get()).toEqual({
      state: "running",
    });
    await collector.close();
  });

  it("passes over entries that no worker could have sent without loading them, and reads many in turns", async () => {
    const { url, redis } = await freshRedis();
    const db = freshDatabase();
    const [first, second] = queuedSweep(db).map((run) => new Attempt(run, 1001));
    const logged: string[] = [];
    const log = pino({}, { write: (line: string) => void logged.push(line) });
    /** Bytes that this collector has had from Redis. */
    const sent = async (): Promise<number> =>
      Number(/^total_net_output_bytes:(\d+)/m.exec(await redis.info("stats"))![1]);
    const huge = () => redis.xadd(EVENT_STREAM, "*", "event", "x".repeat(MAX_EVENT_BYTES), "more", "x");
    await huge();
    await send(redis, first!.claimed());
    for (let i = 0; i < 3; i++) await huge();
    await send(redis, first!.started(), first!.finished(3));
    await huge();
    const before = await sent();
    const collector = await startCollector(db, url, log);
    expect(losses(db)).toEqual([3, null, null]);
    // Now one is the mark.
    await huge();
    await send(redis, second!.claimed(), second!.started(), second!.finished(2));
    await until(() => expect(losses(db)).toEqual([3, 2, null]));
    expect(await collector.lag()).toEqual({ entries: 0, seconds: 0 });
    expect((await sent()) - before).toBeLessThan(MAX_EVENT_BYTES);
    expect(logged.filter((line) => line.includes("larger than any worker event"))).toHaveLength(6);

    // Together more than one reading takes.
    for (let i = 0; i < 20; i++)
      await redis.xadd(EVENT_STREAM, "*", "event", "x".repeat(MAX_EVENT_BYTES - 5));
    await collector.caughtUp();
    expect(await redis.xlen(EVENT_STREAM)).toBe(1);
    expect(logged.filter((line) => line.includes("is no worker event"))).toHaveLength(20);
    await collector.close();
  });

  it("says how far it is behind: entries that are not applied, and since when", async () => {
    const { url, redis } = await freshRedis();
    const db = freshDatabase();
    const [a] = queuedSweep(db).map((run) => new Attempt(run, 1001));
    await send(redis, a!.claimed(), a!.started());
    const collector = await startCollector(db, url, silent);
    expect(await collector.lag()).toEqual({ entries: 0, seconds: 0 });
    // Another writer holds the database: nothing can be applied until it lets go.
    const other = openDatabase(sqliteOf(db).name);
    onTestFinished(() => other.close());
    sqliteOf(db).pragma("busy_timeout = 1");
    sqliteOf(other).exec("BEGIN IMMEDIATE");
    const [sent] = (await redis.time()).map(Number);
    await send(redis, a!.metrics(1, 5), a!.metrics(2, 4));
    expect(await collector.lag()).toMatchObject({ entries: 2 });
    await until(async () => expect((await collector.lag()).seconds).toBeGreaterThan(0));
    const [now] = (await redis.time()).map(Number);
    expect((await collector.lag()).seconds).toBeLessThanOrEqual(now! + 1 - sent!);
    sqliteOf(other).exec("ROLLBACK");
    await until(async () => expect(await collector.lag()).toEqual({ entries: 0, seconds: 0 }));
    await collector.close();
  });
});
