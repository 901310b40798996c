/** Runs of workers that have ended, fallen silent, are still there, or are on another machine: real processes, a real Redis. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it, onTestFinished } from "vitest";
import { takeBackRuns, Watch, whyEnded } from "../../../orchestrator/queue/take-back.ts";
import { DISPATCH_KEY } from "../../../schema/wire/job.ts";
import {
  HEARTBEAT_KEPT_MS,
  HEARTBEAT_LOST_MS,
  HEARTBEAT_MS,
  workerKey,
  workerName,
} from "../../../schema/wire/worker.ts";
import { gridText, sqliteOf, submitText } from "../../support/database.ts";
import { freshRedis, send, silent, startOrchestrator, takeJob } from "../../support/orchestrator.ts";
import { until } from "../../support/scratch.ts";

async function startProcess(): Promise<{ pid: number; end: () => Promise<void> }> {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
  const ended = once(child, "exit");
  const end = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  onTestFinished(end);
  return { pid: child.pid!, end };
}

it("takes back, locked or not, what a worker of this machine holds that has ended, and nothing else", async () => {
  const o = await startOrchestrator();
  submitText(o.db, gridText({ rates: "{ log2: { from: -10, to: -5 } }" }));
  await o.dispatcher.tick();
  await o.dispatcher.close();
  const [gone, alive] = [await startProcess(), await startProcess()];
  await gone.end();
  const holders = {
    ended: workerName(hostname(), gone.pid, "ab12"),
    "ended, its lock too": workerName(hostname(), gone.pid, "ab13"),
    "ended before it could say that it has the run": workerName(hostname(), gone.pid, "ab14"),
    alive: workerName(hostname(), alive.pid, "ab15"),
    "on another machine": workerName("elsewhere", gone.pid, "ab16"),
    "not a worker's name": "somebody",
  };
  const jobs = new Map<string, Awaited<ReturnType<typeof takeJob>>>();
  for (const [name, worker] of Object.entries(holders)) {
    const taken = await takeJob(o, { name: worker });
    jobs.set(name, taken);
    if (!name.includes("before")) await send(o.redis, { ...taken.attempt.claimed(), worker });
  }
  await o.redis.del(`${o.queue.toKey(jobs.get("ended, its lock too")!.job.id!)}:lock`);
  await takeBackRuns(o.db, o.redis, [o.queue], whyEnded, o.collector.caughtUp, silent);
  const read = sqliteOf(o.db).prepare<[string], { state: string; setbacks: number; outcome: string | null }>(
    `SELECT state, setbacks, (SELECT outcome FROM attempts a WHERE a.run_id = r.id) AS outcome
     FROM runs r WHERE id = ?`,
  );
  const states = await Promise.all(
    [...jobs].map(async ([name, { job }]) => [name, await job.getState(), read.get(job.data.run)]),
  );
  const held = ["active", { state: "running", setbacks: 0, outcome: null }];
  const back = ["unknown", { state: "pending", setbacks: 1, outcome: "lost" }];
  expect(states).toEqual([
    ["ended", ...back],
    ["ended, its lock too", ...back],
    [
      "ended before it could say that it has the run",
      "unknown",
      { state: "pending", setbacks: 1, outcome: null },
    ],
    ["alive", ...held],
    ["on another machine", ...held],
    ["not a worker's name", ...held],
  ]);
  expect((await o.redis.hkeys(DISPATCH_KEY)).sort()).toEqual(
    ["alive", "on another machine", "not a worker's name"].map((name) => jobs.get(name)!.job.id!).sort(),
  );
  const { job, attempt } = jobs.get("ended")!;
  const why = sqliteOf(o.db).prepare("SELECT error FROM attempts WHERE run_id = ?").get(job.data.run);
  expect(why).toEqual({ error: `its worker ${holders.ended} has ended` });

  // It was only halted, and goes on: nothing that it says counts, and it cannot end the job.
  await send(o.redis, attempt.started(), attempt.metrics(3, 1), attempt.finished(1));
  await o.collector.caughtUp();
  expect(read.get(job.data.run)).toMatchObject({ state: "pending", outcome: "lost" });
  await expect(job.moveToCompleted(null, job.token!, false)).rejects.toThrow();
});

it("keeps no more of its worker's name than somebody would read: anybody may have written it", async () => {
  const o = await startOrchestrator();
  submitText(o.db, gridText({ rates: "[0.01]" }));
  await o.dispatcher.tick();
  await o.dispatcher.close();
  const { attempt } = await takeJob(o, { name: "x".repeat(100_000) });
  await send(o.redis, attempt.claimed());
  await takeBackRuns(o.db, o.redis, [o.queue], () => "has ended", o.collector.caughtUp, silent);
  expect(sqliteOf(o.db).prepare("SELECT error FROM attempts").pluck().get()).toBe(
    `its worker ${"x".repeat(2000)} has ended`,
  );
});

it("keeps what a worker that is gone had said before: its result", async () => {
  const o = await startOrchestrator();
  submitText(o.db, gridText({ rates: "[0.01]" }));
  await o.dispatcher.tick();
  await o.dispatcher.close();
  const { attempt } = await takeJob(o, { name: "lost-1-ab12" });
  await o.collector.close();
  await send(o.redis, attempt.claimed(), attempt.started(), attempt.finished(3));
  const heard = async () => {
    const { startCollector } = await import("../../../orchestrator/queue/collector.ts");
    const collector = await startCollector(o.db, o.url, silent);
    await collector.close();
  };
  await takeBackRuns(o.db, o.redis, [o.queue], () => "has ended", heard, silent);
  expect(sqliteOf(o.db).prepare("SELECT state, validation_loss, setbacks FROM runs").all()).toEqual([
    { state: "finished", validation_loss: 3, setbacks: 0 },
  ]);
  expect(await o.queue.getJobCounts("waiting", "active")).toEqual({ waiting: 0, active: 0 });
});

it("takes a worker for gone that falls silent, not one that speaks, nor anybody after not having watched", async () => {
  const { redis } = await freshRedis();
  const beat = (name: string) => redis.set(workerKey(name), "{}", "PX", HEARTBEAT_KEPT_MS);
  const [speaking, falling] = ["speaks-1-ab12", "falls-2-ab12"];
  const workers = new Set([speaking, falling, "never-heard-of-3-ab12"]);
  await beat(falling);
  const heart = setInterval(() => void beat(speaking), HEARTBEAT_MS / 4);
  onTestFinished(() => clearInterval(heart));
  const watch = new Watch();
  const gone = async () => {
    const why = await watch.look(redis, workers);
    return [...workers].filter(why);
  };
  expect(await gone()).toEqual([]);
  await until(async () => expect(await gone()).toEqual([falling, "never-heard-of-3-ab12"]));
  // As after Redis was away, or the machine asleep.
  await sleep(HEARTBEAT_LOST_MS / 2 + 500);
  expect(await gone()).toEqual([]);
  await until(async () => expect(await gone()).toEqual([falling, "never-heard-of-3-ab12"]));
  await beat(falling);
  expect(await gone()).toEqual(["never-heard-of-3-ab12"]);
});
