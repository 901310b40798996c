/** The dispatcher between a real SQLite and a real Redis; a BullMQ worker of the test's own takes the jobs. */
import { Queue, UnrecoverableError } from "bullmq";
import { describe, expect, it, onTestFinished } from "vitest";
import { removeSweep } from "../../../orchestrator/database/keep-and-remove.ts";
import { cancelSweep } from "../../../orchestrator/database/stop-and-requeue.ts";
import { startDispatcher } from "../../../orchestrator/queue/dispatcher.ts";
import { unmetNeeds } from "../../../orchestrator/report/unmet-needs.ts";
import {
  CANCEL_CHANNEL,
  DISPATCH_KEY,
  dispatchSchema,
  queueName,
  refusal,
} from "../../../schema/wire/job.ts";
import { connectRedis } from "../../../schema/wire/redis.ts";
import { cellsOf, gridText, sqliteOf, submitText } from "../../support/database.ts";
import { type Orchestrator, send, silent, startOrchestrator, takeJob } from "../../support/orchestrator.ts";
import { until } from "../../support/scratch.ts";

const states = ({ db }: Orchestrator) =>
  sqliteOf(db).prepare("SELECT state, on_queue, dispatch FROM runs ORDER BY ordinal").all();
const waiting = async ({ queue }: Orchestrator) =>
  (await queue.getJobs(["waiting"], 0, -1, true)).map((job) => job.name);

/** Jobs that wait while no worker is there. */
const FULL = 32;

describe("the dispatcher", () => {
  it("puts pending runs on the queue in training order, titled, with their plans beside them", async () => {
    const o = await startOrchestrator();
    const text = gridText({ sparsity: "[0.5]" });
    submitText(o.db, text);
    await o.dispatcher.tick();
    expect(await waiting(o)).toEqual([
      "SμPar d64 L1 s0.5 lr 2^-8 seed 1",
      "SμPar d64 L1 s0.5 lr 2^-7 seed 1",
      "SμPar d64 L1 s0.5 lr 2^-6 seed 1",
    ]);
    expect(states(o)).toEqual(Array(3).fill({ state: "queued", on_queue: 1, dispatch: 1 }));
    const [cell] = cellsOf(text);
    const stored = dispatchSchema.parse(JSON.parse((await o.redis.hget(DISPATCH_KEY, `${cell!.run}-1`))!));
    expect(stored.plan).toEqual(cell!.plan);
    await o.dispatcher.tick();
    expect((await waiting(o)).length).toBe(3);
  });

  it("puts each run on the queue of what it needs, and moves it when the file says otherwise", async () => {
    const o = await startOrchestrator();
    const on = async (need: string) => {
      const queue = new Queue(queueName(need), { connection: o.redis });
      onTestFinished(() => queue.close());
      return (await queue.getJobs(["waiting"])).map((job) => job.data.run).sort();
    };
    const all = (text: string) =>
      cellsOf(text)
        .map(({ run }) => run)
        .sort();
    const text = gridText();
    submitText(o.db, `device: cuda\n${text}`);
    await o.dispatcher.tick();
    expect(await on("musweep@cuda")).toEqual(all(text));
    expect(await on("musweep")).toEqual([]);
    const nobody = new Set<string>();
    expect(unmetNeeds(o.db, nobody)).toEqual([
      { sweep: "grid", need: "musweep@cuda", runs: 3, command: "musweep worker --trainer torch" },
    ]);

    // One is being trained: it stays where it is.
    const { job, attempt } = await takeJob(o, { need: "musweep@cuda" });
    await send(o.redis, attempt.claimed());
    await o.collector.caughtUp();
    expect(submitText(o.db, text)).toMatchObject({ new_runs: 0, added: 0, removed: 0 });
    await o.dispatcher.tick();
    await o.dispatcher.tick();
    const others = all(text).filter((run) => run !== job.data.run);
    expect(await on("musweep@cuda")).toEqual([]);
    expect(await on("musweep")).toEqual(others);
    expect(
      states(o)
        .map((row) => (row as { state: string }).state)
        .sort(),
    ).toEqual(["queued", "queued", "running"]);
    await send(o.redis, attempt.started(), attempt.finished(2));
    await o.collector.caughtUp();
    expect(unmetNeeds(o.db, nobody)).toEqual([
      { sweep: "grid", need: "musweep", runs: 2, command: "musweep worker" },
    ]);
  });

  it("keeps twice as many waiting where a look finds none left", async () => {
    const o = await startOrchestrator();
    submitText(o.db, gridText({ rates: "[0.01]", seeds: "{ count: 400 }" }));
    for (const full of [FULL, 2 * FULL, 4 * FULL]) {
      await until(async () => expect(await o.queue.getWaitingCount()).toBe(full));
      // As workers do that are faster than the next look.
      await o.queue.drain();
    }
  });

  it("puts runs that have a checkpoint before all others, in training order, even onto a full queue", async () => {
    const o = await startOrchestrator();
    submitText(o.db, gridText({ rates: "[0.01, 0.02]", seeds: "{ count: 1100 }" }));
    await until(async () => {
      await o.dispatcher.tick();
      expect(await o.queue.getWaitingCount()).toBe(FULL);
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
    expect(await o.queue.getWaitingCount()).toBeGreaterThanOrEqual(FULL);
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
    await send(
      o.redis,
      next.attempt.claimed(),
      next.attempt.started(),
      lost.attempt.finished(1),
      next.attempt.finished(2),
    );
    await o.collector.caughtUp();
    const run = lost.job.data.run;
    expect(sqliteOf(o.db).prepare("SELECT attempt, validation_loss FROM runs WHERE id = ?").get(run)).toEqual(
      {
        attempt: 2001,
        validation_loss: 2,
      },
    );
  });

  it("believes a result that is in the stream before it queues a run again whose job is gone", async () => {
    const o = await startOrchestrator();
    submitText(o.db, gridText({ rates: "[0.01]" }));
    await o.dispatcher.tick();
    const { job, attempt } = await takeJob(o);
    await send(o.redis, attempt.claimed(), attempt.started(), attempt.finished(3));
    await job.moveToCompleted(null, job.token!, false);
    await job.remove();
    await o.dispatcher.tick();
    expect(states(o)).toEqual([{ state: "finished", on_queue: 0, dispatch: 1 }]);
  });

  it("tries a run again that BullMQ gave up without a worker's word, and gives it up after three attempts without progress", async () => {
    const o = await startOrchestrator();
    submitText(o.db, gridText({ rates: "[0.01]" }));
    const loseOne = async () => {
      await o.dispatcher.tick();
      const { job, attempt } = await takeJob(o);
      await send(o.redis, attempt.claimed());
      const stalled = new UnrecoverableError("job stalled more than allowable limit");
      await job.moveToFailed(stalled, job.token!, false);
      await o.dispatcher.tick();
    };
    await loseOne();
    expect(states(o)).toEqual([{ state: "queued", on_queue: 1, dispatch: 2 }]);
    await loseOne();
    await loseOne();
    expect(states(o)).toEqual([{ state: "failed", on_queue: 0, dispatch: 3 }]);
    const lost = { outcome: "lost", error: "job stalled more than allowable limit" };
    expect(sqliteOf(o.db).prepare("SELECT outcome, error FROM attempts").all()).toEqual([lost, lost, lost]);
    expect(sqliteOf(o.db).prepare("SELECT error FROM runs").get()).toEqual({
      error:
        "job stalled more than allowable limit (given up: 3 attempts in a row got no further than step 0)",
    });
  });

  it("fails a run at once whose plan no worker can read, and says what is wrong with it", async () => {
    const o = await startOrchestrator();
    submitText(o.db, gridText({ rates: "[0.01]" }));
    await o.dispatcher.tick();
    const { job } = await takeJob(o);
    const why = refusal("the plan of it cannot be read: Unexpected end of JSON input");
    await job.moveToFailed(new UnrecoverableError(why), job.token!, false);
    await o.dispatcher.tick();
    expect(states(o)).toEqual([{ state: "failed", on_queue: 0, dispatch: 1 }]);
    expect(sqliteOf(o.db).prepare("SELECT error FROM runs").get()).toEqual({ error: why });
  });

  it("takes off the queue what cannot be read, and goes on; a run whose job it was gets a new one", async () => {
    const o = await startOrchestrator();
    submitText(o.db, gridText({ rates: "[0.01, 0.02]" }));
    await o.dispatcher.tick();
    const { job } = await takeJob(o, { name: "somebody-1-ab12" });
    const broken = { data: "{", opts: "{", name: "x", timestamp: "now", pb: "somebody-2-ab12" };
    await o.redis.hset(o.queue.toKey(job.id!), broken);
    for (const id of ["nosuch", "text", "large", "none"]) await o.redis.lpush(o.queue.toKey("active"), id);
    await o.redis.hset(o.queue.toKey("nosuch"), broken);
    await o.redis.set(o.queue.toKey("text"), "no hash");
    await o.redis.hset(o.queue.toKey("large"), { ...broken, data: JSON.stringify("x".repeat(2 << 20)) });
    await o.dispatcher.tick();
    expect(await o.redis.lrange(o.queue.toKey("active"), 0, -1)).toEqual([]);
    expect(await o.redis.exists(...["nosuch", "text", "large"].map((id) => o.queue.toKey(id)))).toBe(0);
    await until(async () => expect(await o.queue.getWaitingCount()).toBe(2));
    const ids = (await o.queue.getWaiting()).map(({ id }) => id);
    expect(ids).toContain(`${job.data.run}-2`);
  });

  it("takes the job of a cancelled run off the queue that nobody could read", async () => {
    const o = await startOrchestrator();
    submitText(o.db, gridText({ rates: "[0.01]" }));
    await o.dispatcher.tick();
    const [id] = (await o.queue.getWaiting()).map((job) => job.id!);
    await o.redis.hset(o.queue.toKey(id!), { data: "{", opts: "{" });
    cancelSweep(o.db, "grid");
    await o.dispatcher.tick();
    expect(await o.queue.getWaitingCount()).toBe(0);
  });

  it("keeps no more of a job's reason than somebody would read: anybody may have written it", async () => {
    const o = await startOrchestrator();
    submitText(o.db, gridText({ rates: "[0.01]" }));
    await o.dispatcher.tick();
    const { job } = await takeJob(o);
    const why = refusal("x".repeat(100_000));
    await job.moveToFailed(new UnrecoverableError(why), job.token!, false);
    await o.dispatcher.tick();
    expect(sqliteOf(o.db).prepare("SELECT error FROM runs").get()).toEqual({ error: why.slice(0, 2000) });
  });

  it("of a run that was removed and submitted again, takes no job of before for its own", async () => {
    const o = await startOrchestrator();
    const text = gridText({ rates: "[0.01]" });
    submitText(o.db, text);
    for (let i = 0; i < 3; i++) {
      await o.dispatcher.tick();
      const { job, attempt } = await takeJob(o);
      await send(o.redis, attempt.claimed(), attempt.failed(false));
      await job.moveToFailed(new UnrecoverableError("out of luck"), job.token!, false);
      await o.collector.caughtUp();
    }
    expect(states(o)).toEqual([{ state: "failed", on_queue: 0, dispatch: 3 }]);
    expect(removeSweep(o.db, "grid").runs.length).toBe(1);
    submitText(o.db, text);
    for (let i = 0; i < 3; i++) await o.dispatcher.tick();
    expect(states(o)).toEqual([{ state: "queued", on_queue: 1, dispatch: 1 }]);
    const { attempt } = await takeJob(o);
    await send(o.redis, attempt.claimed(), attempt.started(), attempt.finished(3));
    await o.collector.caughtUp();
    expect(states(o)).toEqual([{ state: "finished", on_queue: 0, dispatch: 1 }]);
  });

  it("writes anew what another version has put on the queue: a worker of this one would never take it", async () => {
    const o = await startOrchestrator();
    submitText(o.db, gridText({ rates: "[0.01]" }));
    await o.dispatcher.tick();
    const [[id, text]] = Object.entries(await o.redis.hgetall(DISPATCH_KEY)) as [[string, string]];
    await o.redis.hset(DISPATCH_KEY, id, text.replace(/"version":"[^"]*"/, '"version":"0.0.1"'));
    await o.dispatcher.close();
    const next = startDispatcher(o.db, o.url, silent, o.collector);
    onTestFinished(() => next.close());
    await next.tick();
    expect(await o.redis.hgetall(DISPATCH_KEY)).toEqual({ [id]: text });
    expect(states(o)).toEqual([{ state: "queued", on_queue: 1, dispatch: 1 }]);
  });

  it("finds a run again that its worker claims after its job was taken back", async () => {
    const o = await startOrchestrator();
    submitText(o.db, gridText({ rates: "[0.01]" }));
    await o.dispatcher.tick();
    const { attempt, job } = await takeJob(o);
    // As take-back leaves it while the queue is full.
    await job.moveToCompleted(null, job.token!, false);
    await job.remove();
    sqliteOf(o.db).exec("UPDATE runs SET state = 'pending', on_queue = 0");
    await send(o.redis, attempt.claimed());
    await o.collector.caughtUp();
    await o.dispatcher.tick();
    await o.dispatcher.tick();
    expect(states(o)).toEqual([{ state: "queued", on_queue: 1, dispatch: 2 }]);
  });

  it("takes the job off the queue of a run whose result an earlier attempt brings", async () => {
    const o = await startOrchestrator();
    submitText(o.db, gridText({ rates: "[0.01]" }));
    await o.dispatcher.tick();
    const { attempt, job } = await takeJob(o);
    await send(o.redis, attempt.claimed(), attempt.started());
    await o.collector.caughtUp();
    await job.moveToCompleted(null, job.token!, false);
    await job.remove();
    sqliteOf(o.db).exec("UPDATE runs SET state = 'pending', on_queue = 0");
    await o.dispatcher.tick();
    expect((await waiting(o)).length).toBe(1);
    sqliteOf(o.db).exec("UPDATE runs SET state = 'running'");
    await send(o.redis, attempt.finished(3));
    await o.collector.caughtUp();
    await o.dispatcher.tick();
    expect(states(o)).toEqual([{ state: "finished", on_queue: 0, dispatch: 2 }]);
    expect(await waiting(o)).toEqual([]);
    expect(await o.redis.hlen(DISPATCH_KEY)).toBe(0);
  });

  it("puts a run on the queue anew whose weights are to be kept by now", async () => {
    const o = await startOrchestrator();
    const text = gridText({ rates: "[0.01]" });
    submitText(o.db, text);
    await o.dispatcher.tick();
    submitText(o.db, `keep_weights: true\n${text}`);
    await o.dispatcher.tick();
    await o.dispatcher.tick();
    expect(states(o)).toEqual([{ state: "queued", on_queue: 1, dispatch: 2 }]);
    const [stored] = Object.values(await o.redis.hgetall(DISPATCH_KEY));
    expect(dispatchSchema.parse(JSON.parse(stored!)).keep_weights).toBe(true);
  });

  it("trains shared runs where the other sweep wants them, once a sweep that moved them is cancelled or removed", async () => {
    const o = await startOrchestrator();
    const needs = () => sqliteOf(o.db).prepare("SELECT DISTINCT need FROM runs").pluck().all();
    submitText(o.db, gridText({ name: "here" }));
    for (const end of [cancelSweep, removeSweep]) {
      submitText(o.db, `device: cuda\n${gridText({ name: "there" })}`);
      expect(needs()).toEqual(["musweep@cuda"]);
      end(o.db, "there");
      expect(needs()).toEqual(["musweep"]);
    }
  });

  it("moves a run that a worker took this moment without cancelling or doubling it", async () => {
    const o = await startOrchestrator();
    const text = gridText({ rates: "[0.01]" });
    submitText(o.db, text);
    await o.dispatcher.tick();
    const { job, attempt } = await takeJob(o);
    // It is to be trained elsewhere before its claim has been heard.
    submitText(o.db, `device: cuda\n${text}`);
    await send(o.redis, attempt.claimed(), attempt.started());
    await o.collector.caughtUp();
    await o.dispatcher.tick();
    expect(states(o)).toEqual([{ state: "running", on_queue: 1, dispatch: 1 }]);
    // Its worker was asked to let go of it while the database did not know that it had it.
    await send(o.redis, attempt.released("cancelled", 5));
    await o.collector.caughtUp();
    await job.moveToCompleted(null, job.token!, false);
    await o.dispatcher.tick();
    expect(states(o)).toEqual([{ state: "queued", on_queue: 1, dispatch: 2 }]);
    expect(await waiting(o)).toEqual([]);
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
    cancelSweep(o.db, "grid");
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
    cancelSweep(o.db, "grid");
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
    cancelSweep(o.db, "grid");
    // Its trainer broke before it could be stopped: not what a cancelled run takes as its end.
    await send(o.redis, attempt.failed(true));
    await job.moveToFailed(new Error("out of luck"), job.token!, false);
    await o.dispatcher.tick();
    expect(states(o)).toEqual([{ state: "cancelled", on_queue: 0, dispatch: 1 }]);
    expect(sqliteOf(o.db).prepare("SELECT outcome, error FROM attempts").all()).toEqual([
      { outcome: "failed", error: "out of luck" },
    ]);
  });
});
