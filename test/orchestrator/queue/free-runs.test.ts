/** Runs whose workers are gone, are still there, or are on another machine: real processes, a real Redis. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { hostname } from "node:os";
import { expect, it, onTestFinished } from "vitest";
import { freeRuns } from "../../../orchestrator/queue/free-runs.ts";
import { workerName } from "../../../schema/queue.ts";
import { gridText, submitText } from "../../support/database.ts";
import { send, silent, startOrchestrator, takeJob } from "../../support/orchestrator.ts";

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

it("gives back, locked or not, what a worker of this machine held that is gone, and nothing else", async () => {
  const o = await startOrchestrator();
  submitText(o.db, gridText({ rates: "{ log2: { from: -10, to: -5 } }" }));
  await o.dispatcher.tick();
  await o.dispatcher.close();
  const [gone, alive] = [await startProcess(), await startProcess()];
  await gone.end();
  const here = (pid: number) => ({ host: hostname(), worker: workerName(hostname(), pid, "ab12") });
  const holders = {
    gone: here(gone.pid),
    "gone, its lock too": here(gone.pid),
    "gone, and another has picked it up": here(gone.pid),
    alive: here(alive.pid),
    "on another machine": { host: "elsewhere", worker: workerName("elsewhere", gone.pid, "ab12") },
    "not a worker's name": { host: hostname(), worker: "somebody" },
  };
  const jobs = new Map<string, Awaited<ReturnType<typeof takeJob>>["job"]>();
  for (const [name, holder] of Object.entries(holders)) {
    const { job, attempt } = await takeJob(o);
    jobs.set(name, job);
    await send(o.redis, { ...attempt.claimed(), ...holder });
  }
  const key = (name: keyof typeof holders) => o.queue.toKey(jobs.get(name)!.id!);
  await o.redis.del(`${key("gone, its lock too")}:lock`);
  await o.redis.hincrby(key("gone, and another has picked it up"), "ats", 1);
  await o.collector.caughtUp();
  await freeRuns(o.db, o.url, silent);
  const states = await Promise.all([...jobs].map(async ([name, job]) => [name, await job.getState()]));
  expect(Object.fromEntries(states)).toEqual({
    gone: "waiting",
    "gone, its lock too": "waiting",
    "gone, and another has picked it up": "active",
    alive: "active",
    "on another machine": "active",
    "not a worker's name": "active",
  });
  const { job, attempt } = await takeJob(o);
  expect(job.attemptsStarted).toBe(2);
  await send(o.redis, attempt.claimed());
  await o.collector.caughtUp();
  const ended = "SELECT outcome FROM attempts WHERE run_id = ? ORDER BY attempt";
  expect(o.db.sqlite.prepare(ended).all(job.data.run)).toEqual([{ outcome: "lost" }, { outcome: null }]);
});
