/** Heartbeats in a real Redis: those of a real worker process, and what strangers may have put beside them. */
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { startLocalWorker } from "../../../orchestrator/machine/local-worker.ts";
import {
  fleetOf,
  readWorkers,
  tokensPerSecond,
  type Workers,
} from "../../../orchestrator/queue/read-workers.ts";
import { packageVersion } from "../../../schema/wire/package.ts";
import { HEARTBEAT_KEPT_MS, type Heartbeat, WORKERS_KEY, workerKey } from "../../../schema/wire/worker.ts";
import { freshRedis } from "../../support/orchestrator.ts";
import { scratch, until } from "../../support/scratch.ts";
import { workerConfig } from "../../support/worker-config.ts";

const run = (said: Partial<Heartbeat["running"][number]>) => ({
  run: `r${"1".repeat(20)}`,
  step: 5,
  steps: 10,
  tokens_per_second: 1000,
  ...said,
});

const heartbeat = (name: string): Heartbeat => ({
  worker: name,
  host: "a-host",
  pid: 7,
  needs: ["mine@cuda", "mine"],
  slots: 2,
  engine: "python3 my_trainer.py",
  version: packageVersion(),
  started_at: 1000,
  running: [
    run({ step: 5, tokens_per_second: 1000 }),
    run({ run: `r${"2".repeat(20)}`, step: 6, tokens_per_second: 500 }),
  ],
  unable: [],
});

/** What the embedded engine can train. */
const NEEDS = ["musweep-cpu@cpu", "musweep-cpu", "musweep@cpu", "musweep"];

describe("workers", () => {
  it("that run are listed, and gone when they have stopped", async () => {
    const { url, redis } = await freshRedis();
    const { directory } = scratch();
    const at = (name: string) => join(directory, name);
    const worker = startLocalWorker(
      workerConfig(directory, url, { cpu_slots: 3, exit_with_stdin: true }),
      at("worker.log"),
    );
    onTestFinished(() => worker.kill());
    const [found] = await until(async () => {
      const { workers } = await readWorkers(redis);
      expect(workers.length).toBe(1);
      return workers;
    });
    expect(found).toMatchObject({ needs: NEEDS, slots: 3, engine: "musweep", running: [], lost: false });
    expect(tokensPerSecond(found!)).toBe(0);
    await worker.stop();
    expect(await readWorkers(redis)).toEqual({ workers: [], unreadable: [], more: false });
    expect(await redis.keys("musweep:worker*")).toEqual([]);
  });

  it("that have not been heard of for long are lost, and do not count as training", async () => {
    const { redis } = await freshRedis();
    for (const [name, age] of [
      ["fresh", 0],
      ["silent", 60_000],
    ] as const) {
      await redis.set(workerKey(name), JSON.stringify(heartbeat(name)), "PX", HEARTBEAT_KEPT_MS - age);
      await redis.sadd(WORKERS_KEY, name);
    }
    const [fresh, silent] = (await readWorkers(redis)).workers;
    expect([fresh!.lost, tokensPerSecond(fresh!)]).toEqual([false, 1500]);
    expect([silent!.lost, tokensPerSecond(silent!)]).toEqual([true, 0]);
    expect(silent!.age_seconds).toBeGreaterThanOrEqual(60);
    expect(silent!.age_seconds).toBeLessThan(3600);
  });

  it("that are no workers are told of and not believed, and names without a heartbeat are forgotten", async () => {
    const { redis } = await freshRedis();
    const stored: [string, string][] = [
      ["good", JSON.stringify(heartbeat("good"))],
      ["not-json", "{"],
      ["wrong-shape", JSON.stringify({ ...heartbeat("wrong-shape"), slots: "many" })],
      ["too-much", JSON.stringify({ ...heartbeat("too-much"), command: "rm" })],
      ["somebody-else", JSON.stringify(heartbeat("good"))],
      ["long-host", JSON.stringify({ ...heartbeat("long-host"), host: "h".repeat(10_000) })],
      ["far-too-long", `${JSON.stringify(heartbeat("far-too-long"))}${" ".repeat(10_000_000)}`],
      ["many-slots", JSON.stringify({ ...heartbeat("many-slots"), slots: 1e15 })],
      ["no-run", JSON.stringify({ ...heartbeat("no-run"), running: [run({ run: "../../etc" })] })],
      [
        "light-speed",
        JSON.stringify({ ...heartbeat("light-speed"), running: [run({ tokens_per_second: 1e308 })] }),
      ],
      ["from-the-future", JSON.stringify({ ...heartbeat("from-the-future"), started_at: 8.64e15 })],
    ];
    for (const [name, text] of stored) await redis.set(workerKey(name), text, "PX", HEARTBEAT_KEPT_MS);
    await redis.set(workerKey("for-ever"), JSON.stringify(heartbeat("for-ever")));
    await redis.set(workerKey("for-a-century"), JSON.stringify(heartbeat("for-a-century")), "PX", 3.2e12);
    await redis.lpush(workerKey("a-list"), "x");
    await redis.sadd(
      WORKERS_KEY,
      ...stored.map(([name]) => name),
      "for-ever",
      "for-a-century",
      "a-list",
      "expired",
    );
    const { workers, unreadable } = await readWorkers(redis);
    expect(workers.map((worker) => worker.worker)).toEqual(["good"]);
    const strangers = [...stored.slice(1).map(([name]) => name), "for-ever", "for-a-century", "a-list"];
    expect(unreadable.sort()).toEqual(strangers.sort());
    expect(fleetOf({ workers, unreadable, more: false })).toMatchObject({
      alive: 1,
      unreadable: strangers.length,
    });
    expect(await redis.sismember(WORKERS_KEY, "expired")).toBe(0);
  });

  it("are found among any number of names, which are forgotten a part at a time", async () => {
    const { redis } = await freshRedis();
    for (let i = 0; i < 200; i++)
      await redis.sadd(WORKERS_KEY, ...Array.from({ length: 1000 }, (_, j) => `junk-${i}-${j}`));
    await redis.set(workerKey("good"), JSON.stringify(heartbeat("good")), "PX", HEARTBEAT_KEPT_MS);
    await redis.sadd(WORKERS_KEY, "good");
    let readings = 0;
    let found: Workers;
    do {
      const before = await redis.scard(WORKERS_KEY);
      found = await readWorkers(redis);
      const forgotten = before - (await redis.scard(WORKERS_KEY));
      expect(forgotten).toBeLessThanOrEqual(6000);
      readings++;
    } while (found.more && readings < 100);
    expect(found.workers.map((worker) => worker.worker)).toEqual(["good"]);
    expect(await redis.scard(WORKERS_KEY)).toBe(1);
  });

  it("too many to be shown are told to be more", async () => {
    const { redis } = await freshRedis();
    const writes = redis.pipeline();
    for (let i = 0; i < 3000; i++)
      writes
        .set(workerKey(`w${i}`), JSON.stringify(heartbeat(`w${i}`)), "PX", HEARTBEAT_KEPT_MS)
        .sadd(WORKERS_KEY, `w${i}`);
    await writes.exec();
    const { workers, more } = await readWorkers(redis);
    expect([workers.length, more]).toEqual([1000, true]);
  });
});
