/** A worker takes the runs that its trainers and devices can train, from several queues in turn, and no others. */
import { Queue } from "bullmq";
import { expect, it, onTestFinished } from "vitest";
import { EVENT_STREAM, type WorkerEvent } from "../../schema/wire/events.ts";
import {
  DISPATCH_KEY,
  dispatchText,
  type Job,
  jobId,
  queueName,
  WORK_CHANNEL,
} from "../../schema/wire/job.ts";
import { canonicalJson, type Plan, runIdOf } from "../../schema/wire/plan.ts";
import { startWorker } from "../../workers/worker.ts";
import { freshRedis, silent } from "../support/orchestrator.ts";
import { scratch, until } from "../support/scratch.ts";
import { workerConfig } from "../support/worker-config.ts";
import { makePlan, writeData } from "./trainers/support.ts";

it("takes from each of its queues in turn, and leaves what is for others", async () => {
  const { url, redis } = await freshRedis();
  const { directory } = scratch();
  const config = workerConfig(directory, url);
  const hash = writeData(config.data_directory);
  const put = async (need: string, seeds: readonly number[], trainer = "musweep"): Promise<string[]> => {
    const queue = new Queue<Job>(queueName(need), { connection: redis });
    onTestFinished(() => queue.close());
    return Promise.all(
      seeds.map(async (seed) => {
        const plan: Plan = makePlan({
          hash,
          plan: { steps: 2, seed, trainer: { name: trainer, revision: "1" } },
        });
        const run = runIdOf(plan);
        await redis.hset(DISPATCH_KEY, jobId(run, 1), dispatchText(canonicalJson(plan), false));
        await queue.add(need, { run, dispatch: 1 }, { jobId: jobId(run, 1) });
        return run;
      }),
    );
  };
  const many = await put("musweep", [1, 2, 3, 4, 5, 6]);
  const few = await put("musweep@cpu", [7, 8]);
  const [embedded] = (await put("musweep-cpu", [9])) as [string];
  await put("musweep@cuda", [10]);
  await put("musweep-torch", [11]);
  await put("mine", [12], "mine");
  const [foreign] = (await put("musweep-cpu@cpu", [13], "mine")) as [string];

  const worker = startWorker(config, silent);
  onTestFinished(() => worker.close());
  await worker.ready;
  const finished = async (): Promise<string[]> =>
    (await redis.xrange(EVENT_STREAM, "-", "+"))
      .map(([, fields]) => JSON.parse(fields[1]!) as WorkerEvent)
      .filter(({ body }) => body.type === "finished")
      .map(({ run }) => run);
  const done = await until(async () => {
    const runs = await finished();
    expect(runs.length).toBe(9);
    return runs;
  });
  expect([...done].sort()).toEqual([...many, ...few, embedded].sort());
  // Neither of the short queues waits for the end of the long one.
  for (const run of [...few, embedded]) expect(done.indexOf(run)).toBeLessThan(6);

  // A free slot hears of new work; what is on its queue for another trainer was refused.
  const [later] = (await put("musweep@cpu", [14])) as [string];
  await redis.publish(WORK_CHANNEL, "musweep@cpu");
  await until(async () => expect(await finished()).toContain(later));
  const refused = await new Queue<Job>(queueName("musweep-cpu@cpu"), { connection: redis }).getJob(
    jobId(foreign, 1),
  );
  expect(refused?.failedReason).toContain("is for the trainer mine");
  for (const need of ["musweep@cuda", "musweep-torch", "mine"])
    expect(await new Queue(queueName(need), { connection: redis }).getWaitingCount()).toBe(1);
});
