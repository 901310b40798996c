/** A worker's limits hold while its Redis is away: a real worker, whose real Redis has ended. */
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { openRedis } from "../../orchestrator/redis/open-redis.ts";
import { EXIT_WITHOUT_REDIS, type WorkerConfig } from "../../schema/wire/worker.ts";
import { untilLimit } from "../../workers/limits.ts";
import { startWorker } from "../../workers/worker.ts";
import { silent } from "../support/orchestrator.ts";
import { scratch } from "../support/scratch.ts";
import { workerConfig } from "../support/worker-config.ts";

/** @param started whether Redis ends only when the worker is ready */
async function withoutRedis(started: boolean, limits: Partial<WorkerConfig>) {
  const { directory } = scratch();
  const server = await openRedis({ directory: join(directory, "redis") });
  const config = workerConfig(directory, server.url, { until_empty: true, grace_seconds: 5, ...limits });
  if (!started) await server.close();
  const worker = startWorker(config, silent);
  onTestFinished(() => worker.close());
  if (started) {
    await worker.ready;
    await server.close();
  } else worker.ready.catch(() => undefined);
  return { worker, config };
}

it.each([true, false])(
  "its time ends (Redis was there: %s)",
  async (started) => {
    const { worker, config } = await withoutRedis(started, { ends_at: Date.now() + 40_000 });
    expect(await untilLimit(worker, config)).toEqual({ why: "its time ends", code: 0 });
  },
  120_000,
);

it("one that is to end when nothing waits gives up, since nobody can say what waits", async () => {
  const { worker, config } = await withoutRedis(true, {});
  const ended = await untilLimit(worker, config, { awayMs: 1000 });
  expect(ended).toEqual({ why: "Redis is away", code: EXIT_WITHOUT_REDIS });
});
