/** A worker that is asked to stop ends, whatever its trainers do, and gives their runs back; with real trainers and a real Redis. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Queue } from "bullmq";
import { describe, expect, it, onTestFinished } from "vitest";
import { EVENT_STREAM, type WorkerEvent } from "../../schema/wire/events.ts";
import { DISPATCH_KEY, dispatchText, type Job, jobId, queueName } from "../../schema/wire/job.ts";
import { canonicalJson, runIdOf } from "../../schema/wire/plan.ts";
import { startWorker } from "../../workers/worker.ts";
import { freshRedis, silent } from "../support/orchestrator.ts";
import { type Scratch, scratch, until } from "../support/scratch.ts";
import { EMBEDDED, workerConfig } from "../support/worker-config.ts";
import { makePlan } from "./trainers/support.ts";

const PROGRAM = fileURLToPath(new URL("../fixtures/trainers/misbehaving.mjs", import.meta.url));

/** A worker at work on one run, with a trainer that has this fault. */
async function working(fault: string) {
  const { url, redis } = await freshRedis();
  const place = scratch();
  const pids = join(place.directory, "pids");
  const command = [
    "env",
    // The mark lets the scratch find what is left over.
    `MUSWEEP_TEST_MARK=${place.env.MUSWEEP_TEST_MARK}`,
    process.execPath,
    PROGRAM,
    fault,
    pids,
  ];
  const worker = startWorker(
    workerConfig(place.directory, url, {
      trainers: [{ ...EMBEDDED, start: { command } }],
      silence_seconds: 600,
    }),
    silent,
  );
  await worker.ready;
  const queue = new Queue<Job>(queueName("musweep"), { connection: redis });
  onTestFinished(() => queue.close());
  const plan = makePlan();
  const run = runIdOf(plan);
  await redis.hset(DISPATCH_KEY, jobId(run, 1), dispatchText(canonicalJson(plan), false));
  await queue.add("run", { run, dispatch: 1 }, { jobId: jobId(run, 1) });
  const said = async (): Promise<WorkerEvent["body"][]> =>
    (await redis.xrange(EVENT_STREAM, "-", "+")).map(([, fields]) => JSON.parse(fields[1]!).body);
  return { worker, said, place };
}

it.each([
  ["long pass", "started"],
  ["silent mid run", "started"],
  ["silent at start", "claimed"],
  ["flood of unknown events", "claimed"],
])("with a trainer in a %s", async (fault, begun) => {
  const { worker, said, place } = await working(fault);
  await until(async () => expect((await said()).map((body) => body.type)).toContain(begun));
  await worker.close();
  const last = (await said()).at(-1)!;
  // A flood may have failed of itself by then.
  if (fault !== "flood of unknown events")
    expect(last).toMatchObject({ type: "released", reason: "shutdown", checkpoint: null });
  await place.expectNoProcess();
});

describe("a trainer that dies of a signal that stops all processes of a job", () => {
  it.each(["SIGTERM", "SIGUSR2"] as const)(
    "before its worker hears of it: its run is given back (%s)",
    async (signal) => {
      const { worker, said, place } = await working("silent mid run");
      await until(async () => expect((await said()).map((body) => body.type)).toContain("started"));
      process.kill(trainerIn(place), signal);
      await until(() => expect(trainersIn(place)).toEqual([]));
      await worker.close();
      expect((await said()).at(-1)).toMatchObject({ type: "released", reason: "shutdown" });
    },
  );

  it("while its worker goes on: its attempt has failed", async () => {
    const { worker, said, place } = await working("silent mid run");
    await until(async () => expect((await said()).map((body) => body.type)).toContain("started"));
    process.kill(trainerIn(place), "SIGTERM");
    await until(async () =>
      expect((await said()).at(-1)).toMatchObject({ type: "failed", code: "trainer-exited" }),
    );
    await worker.close();
  });
});

const trainersIn = (place: Scratch): string[] =>
  place.processes().filter((line) => line.includes("misbehaving"));
const trainerIn = (place: Scratch): number => Number.parseInt(trainersIn(place)[0]!, 10);
