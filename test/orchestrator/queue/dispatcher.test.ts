/** The dispatcher between a real SQLite and a real Redis; a BullMQ worker of the test's own takes the jobs. */
import { UnrecoverableError } from "bullmq";
import { describe, expect, it, onTestFinished } from "vitest";
import { cancelUnwanted } from "../../../orchestrator/database/submit.ts";
import { CANCEL_CHANNEL, DISPATCH_KEY, dispatchSchema } from "../../../schema/queue.ts";
import { connectRedis } from "../../../schema/redis.ts";
import { cellsOf, gridText, submitText } from "../../support/database.ts";
import { type Orchestrator, send, startOrchestrator, takeJob } from "../../support/orchestrator.ts";
import { until } from "../../support/scratch.ts";

const states = ({ db }: Orchestrator) =>
  db.sqlite.prepare("SELECT state, on_queue, dispatch FROM runs ORDER BY ordinal").all();
const waiting = async ({ queue }: Orchestrator) =>
  (await queue.getJobs(["waiting"], 0, -1, true)).map((job) => job.name);
const cancelSweep = ({ db }: Orchestrator) => {
  db.sqlite.exec("UPDATE sweeps SET state = 'cancelled'");
  cancelUnwanted(db.sqlite, Date.now());
};

describe("the dispatcher", () => {
  it("puts pending runs on the queue in training order, titled, with their plans beside them", async () => {
    const o = await startOrchestrator();
    const text = gridText({ sparsity: "[0.5]" });
    submitText(o.db, text);
    await o.dispatcher.tick();
    expect(await waiting(o)).toEqual([
      "SμPar d64 s0.5 lr 2^-8 seed 1",
      "SμPar d64 s0.5 lr 2^-7 seed 1",
      "SμPar d64 s0.5 lr 2^-6 seed 1",
    ]);
    expect(states(o)).toEqual(Array(3).fill({ state: "queued", on_queue: 1, dispatch: 1 }));
    const [cell] = cellsOf(text);
    const stored = dispatchSchema.parse(JSON.parse((await o.redis.hget(DISPATCH_KEY, `${cell!.run}-1`))!));
    expect(JSON.parse(stored.plan)).toEqual(cell!.plan);
    await o.dispatcher.tick();
    expect((await waiting(o)).length).toBe(3);
  });

  it("puts runs that have a checkpoint before all others, in training order, even onto a full queue", async () => {
    const o = await startOrchestrator();
    submitText(o.db, gridText({ rates: "[0.01, 0.02]", seeds: "{ count: 1100 }" }));
    await until(async () => {
      await o.dispatcher.tick();
      expect(await o.queue.getWaitingCount()).toBe(2000);
    });
    const first = await takeJob(o);
    const second = await takeJob(o);
    await send(
      o.redis,
      ...[first, second].flatMap(({ attempt }) => [
        attempt.claimed(),
        attempt.started(),
        attempt.released("shutdown"),
      ]),
    );
    await o.collector.caughtUp();
    for (const { job } of [first, second]) await job.moveToCompleted(null, job.token!, false);
    await o.dispatcher.tick();
    expect((await waiting(o)).slice(0, 2)).toEqual([first.job.name, second.job.name]);
    expect(await o.queue.getWaitingCount()).toBeGreaterThanOrEqual(2000);
  });

  it("after Redis lost everything, queues again what has no result, and only that", async () => {
    const o = await startOrchestrator();
    submitText(o.db, gridText());
    await o.dispatcher.tick();
    const { attempt } = await takeJob(o);
    await send(o.redis, attempt.claimed(), attempt.started(), attempt.finished(3));
    const lost = await takeJob(o);
    await send(o.redis, lost.attempt.claimed());
    await o.collector.caughtUp();
    await o.redis.flushall();
    await o.dispatcher.tick();
    expect(states(o)).toEqual([
      { state: "finished", on_queue: 0, dispatch: 1 },
      { state: "queued", on_queue: 1, dispatch: 2 },
      { state: "queued", on_queue: 1, dispatch: 2 },
    ]);
    expect((await waiting(o)).length).toBe(2);
    // The worker that went on regardless is heard until another attempt claims the run, and then no more.
    const next = await takeJob(o);
    await send(o.redis, next.attempt.claimed(), lost.attempt.finished(1), next.attempt.finished(2));
    await o.collector.caughtUp();
    const run = lost.job.data.run;
    expect(o.db.sqlite.prepare("SELECT attempt, validation_loss FROM runs WHERE id = ?").get(run)).toEqual({
      attempt: 2001,
      validation_loss: 2,
    });
  });

  it("believes a result that is in the stream before it queues a run again whose job is gone", async () => {
    const o = await startOrchestrator();
    submitText(o.db, gridText({ rates: "[0.01]" }));
    await o.dispatcher.tick();
    const { job, attempt } = await takeJob(o);
    await send(o.redis, attempt.claimed(), attempt.finished(3));
    await job.moveToCompleted(null, job.token!, false);
    await job.remove();
    await o.dispatcher.tick();
    expect(states(o)).toEqual([{ state: "finished", on_queue: 0, dispatch: 1 }]);
  });

  it("calls a run failed that BullMQ gave up without a worker's word", async () => {
    const o = await startOrchestrator();
    submitText(o.db, gridText({ rates: "[0.01]" }));
    await o.dispatcher.tick();
    const { job, attempt } = await takeJob(o);
    await send(o.redis, attempt.claimed());
    await job.moveToFailed(
      new UnrecoverableError("job stalled more than allowable limit"),
      job.token!,
      false,
    );
    await o.dispatcher.tick();
    expect(states(o)).toEqual([{ state: "failed", on_queue: 0, dispatch: 1 }]);
    expect(o.db.sqlite.prepare("SELECT outcome, error FROM attempts").get()).toEqual({
      outcome: "lost",
      error: expect.stringContaining("every worker that took this run was lost"),
    });
  });

  it("takes cancelled runs off the queue, and asks for the one that a worker holds until it lets go", async () => {
    const o = await startOrchestrator();
    submitText(o.db, gridText());
    await o.dispatcher.tick();
    const { job, attempt } = await takeJob(o);
    await send(o.redis, attempt.claimed(), attempt.started());
    await o.collector.caughtUp();
    const asked: string[] = [];
    const listener = connectRedis(o.url);
    onTestFinished(() => listener.disconnect());
    listener.on("message", (_channel: string, run: string) => asked.push(run));
    await listener.subscribe(CANCEL_CHANNEL);
    cancelSweep(o);
    await o.dispatcher.tick();
    expect(await waiting(o)).toEqual([]);
    await until(() => expect(new Set(asked)).toEqual(new Set([job.data.run])));
    await send(o.redis, attempt.released("cancelled", 5));
    await o.collector.caughtUp();
    await job.moveToCompleted(null, job.token!, false);
    expect(states(o)).toEqual(Array(3).fill({ state: "cancelled", on_queue: 0, dispatch: 1 }));
    expect(await o.redis.hkeys(DISPATCH_KEY)).toEqual([]);
  });

  it("does not queue a cancelled and resubmitted run again before the worker that holds it has let go", async () => {
    const o = await startOrchestrator();
    const text = gridText({ rates: "[0.01]" });
    submitText(o.db, text);
    await o.dispatcher.tick();
    const { job, attempt } = await takeJob(o);
    await send(o.redis, attempt.claimed(), attempt.started());
    await o.collector.caughtUp();
    // Both before the dispatcher looks: it never sees the run cancelled.
    cancelSweep(o);
    submitText(o.db, text);
    await o.dispatcher.tick();
    expect(await waiting(o)).toEqual([]);
    expect(states(o)).toEqual([{ state: "pending", on_queue: 1, dispatch: 1 }]);
    await send(o.redis, attempt.released("cancelled", 5));
    await o.collector.caughtUp();
    await job.moveToCompleted(null, job.token!, false);
    await o.dispatcher.tick();
    expect((await waiting(o)).length).toBe(1);
    expect(states(o)).toEqual([{ state: "queued", on_queue: 1, dispatch: 2 }]);
  });

  it("ends the attempt of a cancelled run whose worker never says that it let go", async () => {
    const o = await startOrchestrator();
    submitText(o.db, gridText({ rates: "[0.01]" }));
    await o.dispatcher.tick();
    const { job, attempt } = await takeJob(o);
    await send(o.redis, attempt.claimed(), attempt.started());
    await o.collector.caughtUp();
    cancelSweep(o);
    // Its trainer broke before it could be stopped: not what a cancelled run takes as its end.
    await send(o.redis, attempt.failed(true));
    await job.moveToFailed(new Error("out of luck"), job.token!, false);
    await o.dispatcher.tick();
    expect(states(o)).toEqual([{ state: "cancelled", on_queue: 0, dispatch: 1 }]);
    expect(o.db.sqlite.prepare("SELECT outcome, error FROM attempts").all()).toEqual([
      { outcome: "failed", error: "out of luck" },
    ]);
  });
});
