/** Runs of one shape that a worker has trained together: each a job and an attempt of its own. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Queue } from "bullmq";
import { expect, it, onTestFinished } from "vitest";
import { EVENT_STREAM, type WorkerEvent } from "../../schema/wire/events.ts";
import {
  CANCEL_CHANNEL,
  DISPATCH_KEY,
  dispatchText,
  type Job,
  jobId,
  queueName,
} from "../../schema/wire/job.ts";
import { canonicalJson, type Plan, runIdOf } from "../../schema/wire/plan.ts";
import { shapeKeyOf } from "../../schema/wire/shape-key.ts";
import { Cohort } from "../../workers/cohort.ts";
import { TrainerFailure } from "../../workers/trainer-failure.ts";
import type { TrainerPool } from "../../workers/trainer-pool.ts";
import type { Training } from "../../workers/trainer-process.ts";
import { startWorker } from "../../workers/worker.ts";
import { freshRedis, silent } from "../support/orchestrator.ts";
import { scratch, until } from "../support/scratch.ts";
import { EMBEDDED, workerConfig } from "../support/worker-config.ts";
import { makePlan, type PlanOptions } from "./trainers/support.ts";

const PROGRAM = fileURLToPath(new URL("../fixtures/trainers/together.mjs", import.meta.url));

/** A worker with one slot, on a queue with runs of these seeds; what its trainer was sent, and what it has said. */
async function startCohorts(capacity: number, fits = 4) {
  const { url, redis } = await freshRedis();
  const { directory } = scratch();
  const notes = join(directory, "notes");
  const queue = new Queue<Job>(queueName("musweep"), { connection: redis });
  onTestFinished(() => queue.close());
  const put = async (seeds: readonly number[], options: PlanOptions = {}): Promise<string[]> => {
    const plans = seeds.map((seed): Plan => makePlan({ ...options, plan: { ...options.plan, seed } }));
    const runs = plans.map(runIdOf);
    for (const [i, plan] of plans.entries())
      await redis.hset(DISPATCH_KEY, jobId(runs[i]!, 1), dispatchText(canonicalJson(plan), false));
    await queue.addBulk(
      plans.map((plan, i) => ({
        name: String(plan.seed),
        data: { run: runs[i]!, dispatch: 1, shape: shapeKeyOf(plan) },
        opts: { jobId: jobId(runs[i]!, 1) },
      })),
    );
    return runs;
  };
  const start = async () => {
    const command = [process.execPath, PROGRAM, notes, String(capacity), String(fits)];
    const worker = startWorker(
      workerConfig(directory, url, { trainers: [{ ...EMBEDDED, start: { command } }] }),
      silent,
    );
    onTestFinished(() => worker.close());
    await worker.ready;
    return worker;
  };
  const sent = (): Record<string, unknown>[] =>
    existsSync(notes)
      ? readFileSync(notes, "utf8")
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line))
      : [];
  const said = async (): Promise<WorkerEvent[]> =>
    (await redis.xrange(EVENT_STREAM, "-", "+")).map(([, fields]) => JSON.parse(fields[1]!));
  const ends = async (): Promise<[string, string][]> =>
    (await said())
      .filter(({ body }) => ["finished", "failed", "released"].includes(body.type))
      .map(({ run, body }) => [run, body.type]);
  return { redis, queue, put, start, sent, said, ends };
}

it("as many as pay are sent together, of one shape, and each reports for itself", async () => {
  const { put, start, sent, said, ends, queue } = await startCohorts(3);
  const runs = await put([2, 4, 6, 8]);
  const others = await put([10, 12], { shape: { d_model: 16 } });
  await start();
  await until(async () => expect((await ends()).length).toBe(6));
  expect(sent()).toEqual([
    { asked: 4 },
    { together: [2, 4, 6] },
    // Nothing of its shape comes next.
    { together: [8] },
    { asked: 4 },
    { together: [10, 12] },
  ]);
  const events = await said();
  for (const [i, run] of [...runs, ...others].entries()) {
    const own = events.filter((event) => event.run === run);
    expect(own.map(({ body }) => body.type)).toEqual(["claimed", "started", "metrics", "finished"]);
    expect(own.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4]);
    expect(own.at(-1)!.body).toMatchObject({ validation_loss: [2, 4, 6, 8, 10, 12][i]! / 100 });
  }
  expect(new Set(events.map(({ token }) => token)).size).toBe(6);
  await until(async () =>
    expect(await queue.getJobCounts("active", "completed")).toEqual({ active: 0, completed: 6 }),
  );
});

it("one that fails, and one that is cancelled, leave the others alone; a slot is free when all have ended", async () => {
  const { redis, put, start, sent, ends, queue } = await startCohorts(4);
  const [waits, fails, finishes] = (await put([1, 13, 2])) as [string, string, string];
  const [later] = (await put([4], { shape: { d_model: 16 } })) as [string];
  await start();
  await until(async () => expect((await ends()).length).toBe(2));
  expect(await ends()).toEqual([
    [fails, "failed"],
    [finishes, "finished"],
  ]);
  // The first is still being trained: the next shape has to wait for the slot.
  expect(await queue.getJobCounts("waiting", "active")).toEqual({ waiting: 1, active: 1 });
  await redis.publish(CANCEL_CHANNEL, waits);
  await until(async () =>
    expect((await ends()).map(([run]) => run)).toEqual([fails, finishes, waits, later]),
  );
  expect(sent()).toEqual([{ asked: 4 }, { together: [1, 13, 2] }, { cancel: 1 }, { together: [4] }]);
});

it("a worker that stops gives all of them back", async () => {
  const { put, start, sent, ends } = await startCohorts(4);
  const runs = await put([1, 3, 5]);
  const worker = await start();
  await until(() => expect(sent()).toContainEqual({ together: [1, 3, 5] }));
  await worker.close();
  expect(await ends()).toEqual(runs.map((run) => [run, "released"]));
  expect(sent().slice(2)).toEqual([{ stop: 1 }, { stop: 3 }, { stop: 5 }]);
});

it("out of memory, half as many are trained together from then on, and no run is blamed", async () => {
  const { put, start, sent, said, ends } = await startCohorts(4, 1);
  await put([2, 4, 6, 8]);
  await start();
  await until(async () => expect((await ends()).length).toBe(4));
  await put([10, 12]);
  await until(async () => expect((await ends()).length).toBe(6));
  await put([14, 16]);
  await until(async () => expect((await ends()).length).toBe(8));
  expect(sent()).toEqual([
    { asked: 4 },
    ...[[2, 4, 6, 8], [10, 12], [14], [16]].map((together) => ({ together })),
  ]);
  expect((await ends()).map(([, end]) => end)).toEqual([
    ...Array.from({ length: 6 }, () => "released"),
    "finished",
    "finished",
  ]);
  const [first] = (await said()).filter(({ body }) => body.type === "released");
  expect(first!.body).toMatchObject({
    reason: "unable",
    inability: { code: "cohort-memory", message: expect.stringContaining("4 runs at once: not enough") },
  });
});

it("a run that joins after its cohort was given up is dropped too, and does not wait for ever", async () => {
  const failure = new TrainerFailure("trainer-start", "cannot start it", false);
  const nobody = { take: () => Promise.reject(failure) } as unknown as TrainerPool;
  const plan = makePlan();
  const cohort = new Cohort(plan, {
    pool: nobody,
    trainer: EMBEDDED,
    device: "cpu",
    memoryLimit: null,
    alike: () => Promise.resolve(0),
    gather: () => Promise.resolve([]),
  });
  const training = {} as Training;
  await expect(cohort.lead(training)).rejects.toBe(failure);
  await expect(cohort.join(training)).rejects.toBe(failure);
});
