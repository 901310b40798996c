/** One orchestrator per Redis, with real processes: refused, taken over, and found out by one that was stopped too long. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { startCollector } from "../../../orchestrator/queue/collector.ts";
import { LEASE_KEY, takeLease } from "../../../orchestrator/queue/lease.ts";
import { EVENT_STREAM } from "../../../schema/wire/events.ts";
import { freshDatabase } from "../../support/database.ts";
import { freshRedis, silent } from "../../support/orchestrator.ts";
import { scratch, until } from "../../support/scratch.ts";

/** Another orchestrator's process, of a state directory of its own. */
async function holder(url: string, directory: string): Promise<ChildProcess> {
  const child = fork(fileURLToPath(new URL("./fixtures/hold-lease.ts", import.meta.url)), [url, directory], {
    execArgv: ["--import", "tsx"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child, "message");
  return child;
}

describe("the lease of a Redis", () => {
  it("refuses a second orchestrator while the first lives, and says who that is", async () => {
    const { url } = await freshRedis();
    const { directory } = scratch();
    const other = await holder(url, join(directory, "other"));
    const error = await takeLease(url, join(directory, "own")).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "redis-shared", kind: "conflict" });
    expect((error as Error).message).toContain(`process ${other.pid} on`);
    expect((error as Error).message).toContain(join(directory, "other"));
  });

  it("goes over at once where the first was killed, and is free after an orderly end", async () => {
    const { url, redis } = await freshRedis();
    const { directory } = scratch();
    const other = await holder(url, join(directory, "other"));
    other.kill("SIGKILL");
    await once(other, "exit");
    const own = await takeLease(url, join(directory, "own"));
    expect(await redis.get(LEASE_KEY)).toBe(own.value);
    await own.release();
    expect(await redis.exists(LEASE_KEY)).toBe(0);
  });

  it("expires where its holder is not heard of; that one is told, and takes nothing out of the stream any more", async () => {
    const { url, redis } = await freshRedis();
    const { directory } = scratch();
    // Of another host, so that only time can tell.
    const stranger = { token: crypto.randomUUID(), host: "elsewhere", pid: 1, directory: "/there" };
    await redis.set(LEASE_KEY, JSON.stringify(stranger), "PX", 1500);
    const first = await takeLease(url, join(directory, "first"));
    const collector = await startCollector(freshDatabase(), url, silent, first);
    await redis.xadd(EVENT_STREAM, "*", "event", "{}");
    await redis.xadd(EVENT_STREAM, "*", "event", "{}");
    await collector.caughtUp();
    expect(await redis.xlen(EVENT_STREAM)).toBe(1);
    // As if it had been stopped until its lease ran out, and another had taken it.
    await redis.del(LEASE_KEY);
    const second = await takeLease(url, join(directory, "second"));
    await redis.xadd(EVENT_STREAM, "*", "event", "{}");
    await collector.caughtUp();
    expect(await redis.xlen(EVENT_STREAM)).toBe(2);
    expect(await first.lost).toMatchObject({ code: "redis-shared", kind: "conflict" });
    await collector.close();
    await Promise.all([first.release(), second.release()]);
  });

  it("is taken anew where Redis has lost it", async () => {
    const { url, redis } = await freshRedis();
    const own = await takeLease(url, scratch().directory);
    await redis.flushall();
    await until(async () => expect(await redis.get(LEASE_KEY)).toBe(own.value));
    await own.release();
  });
});
