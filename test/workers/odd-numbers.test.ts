/** Whatever numbers a trainer writes: what the worker takes of them, the collector takes too, and so does the reader of heartbeats. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { EVENT_STREAM, workerEventSchema } from "../../schema/wire/events.ts";
import { runIdOf } from "../../schema/wire/plan.ts";
import { heartbeatSchema } from "../../schema/wire/worker.ts";
import { executeAttempt, type Progress } from "../../workers/attempt.ts";
import { readEvent } from "../../workers/read-event.ts";
import { Reporter } from "../../workers/reporter.ts";
import { TrainerProcess } from "../../workers/trainer-process.ts";
import { freshRedis } from "../support/orchestrator.ts";
import { scratch } from "../support/scratch.ts";
import { workerConfig } from "../support/worker-config.ts";
import { makePlan } from "./trainers/support.ts";

/** Says these events of a run, and then that it has diverged. */
const PROGRAM = `
  const say = (event) => console.log(JSON.stringify(event));
  say({ type: "ready", protocol: 1, engine: "odd", engine_version: "1", device: "cpu" });
  require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
    const { type, run } = JSON.parse(line);
    if (type !== "run") return;
    say({ type: "started", run, resumed_from_step: 0, parameters: 1, nonzero_parameters: 1, notes: [], estimated_memory_bytes: 1 });
    for (const said of JSON.parse(process.argv[1])) say({ ...said, run });
    say({ type: "diverged", run, step: 1, last_finite_loss: null, reason: "non-finite", tokens: 1, flops: 1, seconds: 1 });
  });
`;
const STEPS = 100;

const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(-1, -0, 1e12, 1.1e12, 1e13, 3.4028235e38, 3.4028236e38, 1e39, -1e39, 1e308),
);
const said = fc.oneof(
  fc.record(
    {
      type: fc.constant("step"),
      train_loss: number,
      gradient_norm: fc.option(number),
      tokens_per_second: number,
      metrics: fc.dictionary(fc.constantFrom("a", "b", "no name"), number),
    },
    { requiredKeys: ["type", "train_loss"] },
  ),
  fc.record({ type: fc.constant("evaluation"), validation_loss: fc.option(number) }),
);
/** Each at a step of its own. */
const lines = fc
  .array(said, { minLength: STEPS, maxLength: STEPS })
  .map((all) => all.map((event, i) => ({ ...event, run: "", step: i + 1 })));

it("every number that the worker takes from a trainer is one that the collector and its status take", async () => {
  const { url, redis } = await freshRedis();
  const { directory } = scratch();
  const plan = makePlan({ plan: { steps: STEPS } });
  const run = runIdOf(plan);
  const identity = { run, attempt: 1, token: "t", worker: "host-1-a", host: "host" };
  await fc.assert(
    fc.asyncProperty(lines, async (all) => {
      await redis.del(EVENT_STREAM);
      // A line that it refuses ends the trainer, which is told elsewhere.
      const taken = all.filter((event) => "event" in readEvent(JSON.stringify(event)));
      const trainer = await TrainerProcess.start([process.execPath, "-e", PROGRAM, JSON.stringify(taken)], {
        env: process.env,
        silenceMs: 60_000,
      });
      const progress: Progress = { run, step: 0, steps: STEPS, tokens_per_second: 0 };
      const beats: unknown[] = [];
      try {
        await executeAttempt({
          ...{ run, plan, keepWeights: false, device: "cpu", progress },
          config: workerConfig(directory, url),
          reporter: new Reporter(redis, identity, new AbortController().signal),
          isHeld: () => Promise.resolve(true),
          onStop: () => undefined,
          train: (training) => {
            const onEvent: typeof training.onEvent = (event, ready) => {
              training.onEvent(event, ready);
              beats.push({ ...progress });
            };
            return Promise.resolve({ process: trainer, end: trainer.train([{ ...training, onEvent }])[0]! });
          },
        });
      } finally {
        await trainer.end(0);
      }
      const sent = (await redis.xrange(EVENT_STREAM, "-", "+")).map(([, fields]) => JSON.parse(fields[1]!));
      expect(sent.flatMap((event) => workerEventSchema.safeParse(event).error?.issues ?? [])).toEqual([]);
      const running = heartbeatSchema.shape.running.element;
      expect(beats.flatMap((beat) => running.safeParse(beat).error?.issues ?? [])).toEqual([]);
      expect(sent.at(-1).body.type).toBe("diverged");
    }),
    { numRuns: 10 },
  );
});

it("what it cannot be is unknown, and a loss beyond float32 is no loss", () => {
  const step = { type: "step", run: "", step: 1, train_loss: 1 };
  const read = (event: object) => readEvent(JSON.stringify(event));
  const odd = { gradient_norm: -1, tokens_per_second: 1e13 };
  expect(read({ ...step, ...odd })).toMatchObject({ event: { gradient_norm: null, tokens_per_second: 0 } });
  expect(read({ ...step, train_loss: 1e39 })).toHaveProperty("mistake");
  const evaluation = { type: "evaluation", run: "", step: 1, validation_loss: 1e39 };
  expect(read(evaluation)).toMatchObject({ event: { validation_loss: null } });
});
