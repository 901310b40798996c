/**
 * What a worker does with jobs that no orchestrator wrote, on a Redis that others can write to: nothing outside its own
 * directories is deleted or written, no trainer hears of it, and the next sound job is trained.
 */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Queue } from "bullmq";
import type { Redis } from "ioredis";
import { expect, it, onTestFinished } from "vitest";
import { EVENT_STREAM } from "../../schema/wire/events.ts";
import { DISPATCH_KEY, dispatchText, type Job, jobId, queueName } from "../../schema/wire/job.ts";
import { type Plan, runIdOf } from "../../schema/wire/plan.ts";
import { checkpointDirectory, weightsPath } from "../../workers/run-paths.ts";
import { startWorker } from "../../workers/worker.ts";
import { freshRedis, silent } from "../support/orchestrator.ts";
import { scratch, until } from "../support/scratch.ts";
import { workerConfig } from "../support/worker-config.ts";
import { makePlan, writeData } from "./trainers/support.ts";

/** A victim's directory beside the state directory, and a worker on a Redis that an attacker writes to. */
async function attacked() {
  const { url, redis } = await freshRedis();
  const { directory } = scratch();
  const victim = join(directory, "victim", "precious");
  mkdirSync(victim, { recursive: true });
  writeFileSync(join(victim, "thesis.txt"), "the only copy");
  const state = join(directory, "state");
  const hash = writeData(join(state, "data"));
  const worker = startWorker(workerConfig(state, url), silent);
  onTestFinished(() => worker.close());
  await worker.ready;
  const queue = new Queue<Job>(queueName("musweep"), { connection: redis });
  onTestFinished(() => queue.close());
  return { redis, queue, victim, directory, state, hash };
}

async function put(redis: Redis, queue: Queue<Job>, run: string, plan: Plan, id = jobId(run, 1)) {
  await redis.hset(DISPATCH_KEY, jobId(run, 1), dispatchText(JSON.stringify(plan), true));
  const job = await queue.add("run", { run, dispatch: 1 }, { jobId: id });
  return until(async () => {
    const state = await job.getState();
    expect(["failed", "completed"]).toContain(state);
    return { state, reason: (await queue.getJob(job.id!))?.failedReason };
  });
}

const events = async (redis: Redis): Promise<{ run: string; body: { type: string } }[]> =>
  (await redis.xrange(EVENT_STREAM, "-", "+")).map(([, fields]) => JSON.parse(fields[1]!));

it("deletes and writes nothing for a run whose id is a path, and goes on with the next job", async () => {
  const { redis, queue, victim, directory, state, hash } = await attacked();
  const plan = makePlan({ hash });
  for (const [i, run] of [
    "../../victim/precious",
    `${directory}/victim/precious`,
    "..",
    "",
    `r${"0".repeat(20)}/../../../victim/precious`,
    `r${"0".repeat(20)}\n`,
  ].entries()) {
    const ended = await put(redis, queue, run, plan, `hostile-${i}`);
    expect(ended.state, JSON.stringify(run)).toBe("failed");
    expect(ended.reason).toMatch(/^refused: the job is none of an orchestrator's/);
  }
  expect(readdirSync(victim)).toEqual(["thesis.txt"]);
  expect(readdirSync(join(directory, "victim"))).toEqual(["precious"]);
  expect(readdirSync(state)).toEqual(["data"]);
  expect(await events(redis)).toEqual([]);

  const run = runIdOf(plan);
  expect(await put(redis, queue, run, plan)).toMatchObject({ state: "completed" });
  expect((await events(redis)).map((event) => [event.run, event.body.type])).toContainEqual([
    run,
    "finished",
  ]);
});

it("trains no plan under another run's id", async () => {
  const { redis, queue } = await attacked();
  const plan = makePlan({ plan: { seed: 2 } });
  const [mine, another] = [makePlan(), plan].map(runIdOf);
  const ended = await put(redis, queue, mine!, plan);
  expect(ended).toMatchObject({ state: "failed" });
  expect(ended.reason).toBe(`refused: the plan of ${mine} is another run's, ${another}`);
  expect(await events(redis)).toEqual([]);
});

it("builds a run's paths from ids alone, inside the directories of the worker's configuration", () => {
  const config = workerConfig("/state", "redis://nowhere");
  const run = runIdOf(makePlan());
  expect(checkpointDirectory(config, run)).toBe(`/state/checkpoints/${run}`);
  expect(weightsPath(config, run)).toBe(`/state/weights/${run}.safetensors`);
  for (const hostile of ["..", "../x", "/etc", "", ".", `${run}/..`, `${run}\0`, run.toUpperCase()])
    for (const path of [checkpointDirectory, weightsPath])
      expect(() => path(config, hostile)).toThrow(/run's id/);
});
