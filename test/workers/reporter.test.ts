/** What a worker says of an attempt, through a real Redis that takes nothing for a while. */
import { expect, it } from "vitest";
import { EVENT_STREAM, workerEventSchema } from "../../schema/wire/events.ts";
import { Reporter } from "../../workers/reporter.ts";
import { freshRedis } from "../support/orchestrator.ts";

it("says again what Redis refuses, in order, until it is taken", async () => {
  const { redis } = await freshRedis();
  const identity = {
    run: "r0123456789abcdef0123",
    attempt: 1001,
    token: "t",
    worker: "host-1-a",
    host: "host",
  };
  const reporter = new Reporter(redis, identity, new AbortController().signal);
  await reporter.report({ type: "claimed" });
  await redis.config("SET", "maxmemory", "1");
  const refused = reporter.report({ type: "checkpoint", step: 1, path: "a" });
  const last = reporter.report({
    type: "failed",
    code: "internal",
    message: "no",
    final: true,
    log_tail: "",
  });
  await expect(redis.xadd(EVENT_STREAM, "*", "event", "{}")).rejects.toThrow("OOM");
  await redis.config("SET", "maxmemory", "0");
  await Promise.all([refused, last]);
  const entries = await redis.xrange(EVENT_STREAM, "-", "+");
  const events = entries.map(([, [, text]]) => workerEventSchema.parse(JSON.parse(text!)));
  expect(events.map(({ sequence, body }) => [sequence, body.type])).toEqual([
    [1, "claimed"],
    [2, "checkpoint"],
    [3, "failed"],
  ]);
});
