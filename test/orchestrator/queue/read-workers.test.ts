/** Heartbeats in a real Redis: those of a real worker process, and what strangers may have put beside them. */
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { startLocalWorker } from "../../../orchestrator/local-worker.ts";
import { readWorkers, tokensPerSecond } from "../../../orchestrator/queue/read-workers.ts";
import { HEARTBEAT_KEPT_MS, type Heartbeat, WORKERS_KEY, workerKey } from "../../../schema/queue.ts";
import { freshRedis } from "../../support/orchestrator.ts";
import { scratch, until } from "../../support/scratch.ts";

const heartbeat = (name: string): Heartbeat => ({
  worker: name,
  host: "a-host",
  pid: 7,
  capability: "cuda",
  slots: 2,
  engine: "python3 my_trainer.py",
  version: "0.1.0",
  started_at: 1000,
  running: [
    { run: "r1", step: 5, steps: 10, tokens_per_second: 1000 },
    { run: "r2", step: 6, steps: 10, tokens_per_second: 500 },
  ],
});

describe("workers", () => {
  it("that run are listed, and gone when they have stopped", async () => {
    const { url, redis } = await freshRedis();
    const { directory } = scratch();
    const at = (name: string) => join(directory, name);
    const worker = startLocalWorker(
      {
        redis_url: url,
        capability: "cpu",
        slots: 3,
        data_directory: at("data"),
        checkpoint_directory: at("checkpoints"),
        weights_directory: at("weights"),
        checkpoint_seconds: 60,
        trainer: "onnx",
        threads_per_slot: 1,
        silence_seconds: 60,
        lock_seconds: 30,
        memory_bytes_per_slot: null,
        exit_with_stdin: true,
      },
      at("worker.log"),
    );
    onTestFinished(() => worker.kill());
    const [found] = await until(async () => {
      const workers = await readWorkers(redis);
      expect(workers.length).toBe(1);
      return workers;
    });
    expect(found).toMatchObject({ capability: "cpu", slots: 3, engine: "onnx", running: [], lost: false });
    expect(tokensPerSecond(found!)).toBe(0);
    await worker.stop();
    expect(await readWorkers(redis)).toEqual([]);
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
    const [fresh, silent] = await readWorkers(redis);
    expect([fresh!.lost, tokensPerSecond(fresh!)]).toEqual([false, 1500]);
    expect([silent!.lost, tokensPerSecond(silent!)]).toEqual([true, 0]);
    expect(silent!.age_seconds).toBeGreaterThanOrEqual(60);
    expect(silent!.age_seconds).toBeLessThan(3600);
  });

  it("that are no workers are passed over, and names without a heartbeat are forgotten", async () => {
    const { redis } = await freshRedis();
    const stored: [string, string][] = [
      ["good", JSON.stringify(heartbeat("good"))],
      ["not-json", "{"],
      ["wrong-shape", JSON.stringify({ ...heartbeat("wrong-shape"), slots: "many" })],
      ["too-much", JSON.stringify({ ...heartbeat("too-much"), command: "rm" })],
      ["somebody-else", JSON.stringify(heartbeat("good"))],
      ["far-too-long", JSON.stringify({ ...heartbeat("far-too-long"), host: "h".repeat(10_000) })],
    ];
    for (const [name, text] of stored) await redis.set(workerKey(name), text, "PX", HEARTBEAT_KEPT_MS);
    await redis.set(workerKey("for-ever"), JSON.stringify(heartbeat("for-ever")));
    await redis.lpush(workerKey("a-list"), "x");
    await redis.sadd(WORKERS_KEY, ...stored.map(([name]) => name), "for-ever", "a-list", "expired");
    expect((await readWorkers(redis)).map((worker) => worker.worker)).toEqual(["good"]);
    expect(await redis.sismember(WORKERS_KEY, "expired")).toBe(0);
  });
});
