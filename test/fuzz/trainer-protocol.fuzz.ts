/** What trainers may write: every line is an event, one to pass over, or a failure of the attempt; and real processes that write such. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { TrainerEvent } from "../../schema/wire/protocol.ts";
import { readEvent } from "../../workers/read-event.ts";
import { RunAccount } from "../../workers/run-account.ts";
import { TrainerFailure } from "../../workers/trainer-failure.ts";
import { TrainerProcess } from "../../workers/trainer-process.ts";
import { scratch } from "../support/scratch.ts";
import { makePlan } from "../workers/trainers/support.ts";
import { changed, damaged, oddNumber, oddText, oddValue } from "./arbitraries.ts";
import { FUZZ } from "./runs.ts";

const RUN = "r1";
const STEPS = 12;
const step = fc.oneof(
  { arbitrary: fc.integer({ min: 0, max: STEPS + 1 }), weight: 5 },
  { arbitrary: oddNumber, weight: 1 },
);
const number = fc.oneof(
  { arbitrary: fc.double({ min: 0.1, max: 9, noNaN: true }), weight: 5 },
  { arbitrary: oddNumber, weight: 1 },
);
const path = fc.oneof(fc.constantFrom("/state/checkpoints/r1/step-1", null), oddText);
const event = (type: string, fields: Record<string, fc.Arbitrary<unknown>>) =>
  fc.record({ type: fc.constant(type), run: fc.constantFrom(RUN, RUN, RUN, RUN, RUN, "r2"), ...fields });
const events: fc.Arbitrary<unknown> = fc.oneof(
  event("started", {
    resumed_from_step: fc.constantFrom(0, 0, 0, 3),
    parameters: fc.nat(),
    nonzero_parameters: fc.nat(),
    estimated_memory_bytes: number,
    notes: fc.array(oddText, { maxLength: 3 }),
  }),
  event("step", { step, train_loss: number, gradient_norm: number, tokens_per_second: number }),
  event("step", { step, train_loss: number, gradient_norm: number, tokens_per_second: number }),
  event("evaluation", { step, validation_loss: number }),
  event("checkpoint", { step, path, bytes: fc.nat() }),
  event("coordinates", {
    step,
    modules: fc.array(
      fc.record({
        module: fc.constantFrom("embedding", "ffn"),
        layer: fc.constantFrom(null, 0, 1),
        size: number,
        change: number,
      }),
    ),
  }),
  event("finished", {
    step: fc.constantFrom(STEPS, STEPS - 1),
    train_loss: number,
    validation_loss: number,
    tokens: fc.nat(),
    flops: number,
    seconds: number,
    weights_path: path,
  }),
  event("diverged", {
    step,
    last_finite_loss: number,
    reason: fc.constantFrom("non-finite", "above-initial"),
    tokens: fc.nat(),
    flops: number,
    seconds: number,
  }),
  event("stopped", { step, checkpoint: path }),
  event("failed", { code: oddText, message: oddText, retryable: fc.boolean() }),
  event("progress", { percent: number }),
  fc.constant({ type: "ready", protocol: 1, engine: "fuzz", engine_version: "1", device: "cpu" }),
);
const line = fc.oneof(
  { arbitrary: events.map((value) => JSON.stringify(value)), weight: 6 },
  { arbitrary: changed(events, 2).map((value) => JSON.stringify(value)), weight: 3 },
  {
    arbitrary: damaged(
      events.map((value) => JSON.stringify(value)),
      ['"', "{", "}", ",", "NaN", "\\", "\0", "\r", "🐋"],
    ),
    weight: 2,
  },
  { arbitrary: oddValue.map((value) => JSON.stringify(value) ?? ""), weight: 1 },
  { arbitrary: oddText, weight: 1 },
);
const conversation = fc.array(line, { maxLength: 30 });

it(
  "any conversation",
  () => {
    fc.assert(
      fc.property(conversation, (lines) => {
        const plan = makePlan({ plan: { steps: STEPS } });
        const account = new RunAccount(plan, null);
        const heard: TrainerEvent[] = [];
        for (const one of lines) {
          const read = readEvent(one);
          if ("mistake" in read) {
            expect(read.mistake).toMatch(/^(not JSON|no known event)/);
            expect(read.mistake.length).toBeLessThan(1000);
          } else if ("unknown" in read) account.idle();
          else if (!["ready", "capacity", "failed"].includes(read.event.type)) {
            try {
              const said = account.hear(read.event as Parameters<RunAccount["hear"]>[0]);
              if (said !== null) heard.push(said);
            } catch (error) {
              if (!(error instanceof TrainerFailure)) throw error;
              expect(error.code).toBe("trainer-protocol");
            }
          }
        }
        // The plan bounds what is passed on: once each, in order, and within the run.
        const steps = heard.flatMap((said) => (said.type === "step" ? [said.step] : []));
        expect(steps).toEqual([...new Set(steps)].sort((a, b) => a - b));
        expect(steps.every((at) => at <= STEPS)).toBe(true);
        expect(heard.filter((said) => said.type === "started").length).toBeLessThanOrEqual(1);
        expect(heard.find((said) => said.type !== "stopped")?.type ?? "started").toBe("started");
      }),
      FUZZ,
    );
  },
  FUZZ.timeout,
);

const SPEAKER = fileURLToPath(new URL("./speaker.mjs", import.meta.url));

it(
  "any output of a real process",
  async () => {
    const place = scratch();
    const script = join(place.directory, "lines");
    const ready = JSON.stringify({
      type: "ready",
      protocol: 1,
      engine: "fuzz",
      engine_version: "1",
      device: "cpu",
    });
    await fc.assert(
      fc.asyncProperty(conversation, fc.boolean(), async (lines, isGreeted) => {
        writeFileSync(script, `${[...(isGreeted ? [ready] : []), ...lines].join("\n")}\n`);
        let trainer: TrainerProcess | undefined;
        try {
          trainer = await TrainerProcess.start([process.execPath, SPEAKER, script], {
            env: place.env,
            silenceMs: 1000,
          });
          const plan = makePlan({ plan: { steps: STEPS } });
          const end = await trainer.run(
            {
              type: "run",
              run: RUN,
              plan,
              data_directory: "",
              checkpoint: null,
              weights_path: null,
              report_every_steps: 1,
              memory_limit_bytes: null,
            },
            () => undefined,
          );
          expect(["finished", "diverged", "stopped"]).toContain(end.type);
        } catch (error) {
          if (!(error instanceof TrainerFailure)) throw error;
          expect(error.message.length).toBeGreaterThan(0);
        } finally {
          await trainer?.end(0);
        }
      }),
      // A process takes a thousand times as long as a line.
      { ...FUZZ, numRuns: Math.ceil(FUZZ.numRuns / 20) },
    );
    await place.expectNoProcess();
  },
  FUZZ.timeout,
);
