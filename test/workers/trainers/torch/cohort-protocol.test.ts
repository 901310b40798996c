/** Runs that the trainer in PyTorch is sent together, over the protocol: each as if it were alone. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runIdOf } from "../../../../schema/wire/plan.ts";
import type { TrainerEvent } from "../../../../schema/wire/protocol.ts";
import { musweep, sql, succeed, writeSweep } from "../../../support/musweep.ts";
import { scratch } from "../../../support/scratch.ts";
import { inBreakingTorch, inTorch, NO_MEMORY, PATIENT, python } from "../engines.ts";
import { makePlan, temporaryDirectory, writeData } from "../support.ts";
import { ENDINGS, runCommand, TrainerProcess } from "../trainer-process.ts";

describe.skipIf(python === undefined)("a cohort", PATIENT, () => {
  test("is asked for, trained, and ended run by run; losses are those of single runs", async () => {
    const directory = temporaryDirectory();
    const hash = writeData(directory);
    const options = { hash, plan: { steps: 40, evaluation: { every_steps: 20, sequences: 6 } } };
    const plans = [
      makePlan({ ...options, density: 0.5 }),
      makePlan({ ...options, learningRate: 0.003, plan: { ...options.plan, seed: 2 } }),
      makePlan({ ...options, plan: { ...options.plan, seed: 3, steps: 1_000_000 } }),
      makePlan({ ...options, learningRate: 1e38, plan: { ...options.plan, seed: 4, clip_norm: null } }),
    ];
    const cache = join(directory, "cache");
    const line = inTorch();
    const trainer = new TrainerProcess({ ...line, env: { ...line.env, XDG_CACHE_HOME: cache } });
    expect(await trainer.next(["ready"])).toMatchObject({ protocol: 2, most_runs: 16 });
    const question = { type: "capacity", plan: plans[0]!, most: 4, memory_limit_bytes: null } as const;
    trainer.send(question);
    const { runs } = await trainer.next(["capacity"]);
    expect([1, 2, 4]).toContain(runs);
    // It was measured once.
    trainer.send(question);
    expect((await trainer.next(["capacity"])).runs).toBe(runs);
    expect(trainer.stderr.match(/runs of this shape are trained at once/g)).toHaveLength(1);
    trainer.send({ ...question, memory_limit_bytes: 1 });
    expect((await trainer.next(["capacity"])).runs).toBe(1);

    const commands = plans.map((plan) => {
      const { type: _type, ...fields } = runCommand(plan, directory);
      return fields;
    });
    trainer.send({ type: "cohort", runs: commands });
    const long = runIdOf(plans[2]!);
    await trainer.next(["step"], ({ run, step }) => run === long && step >= 60);
    trainer.send({ type: "cancel", run: long });
    expect(await trainer.next(["stopped"])).toMatchObject({ run: long, checkpoint: null });
    const eventsOf = (run: string): TrainerEvent[] =>
      trainer.events.filter((event) => "run" in event && event.run === run);
    expect(plans.map((plan) => eventsOf(runIdOf(plan)).at(-1)!.type)).toEqual([
      "finished",
      "finished",
      "stopped",
      "diverged",
    ]);
    for (const plan of plans.slice(0, 2)) {
      const alone = await new TrainerProcess(inTorch()).train(runCommand(plan, directory));
      const losses = (events: readonly TrainerEvent[]) =>
        events.flatMap((event) =>
          event.type === "step"
            ? [event.train_loss]
            : event.type === "evaluation"
              ? [event.validation_loss!]
              : [],
        );
      const [together, single] = [losses(eventsOf(runIdOf(plan))), losses(alone)];
      expect(together).toHaveLength(single.length);
      for (const [i, loss] of single.entries()) expect(Math.abs(together[i]! - loss)).toBeLessThan(1e-3);
    }

    // It goes on, and refuses what is no cohort.
    const other = makePlan({ hash, shape: { d_model: 16 } });
    const { type: _type, ...foreign } = runCommand(other, directory);
    trainer.send({ type: "cohort", runs: [commands[0]!, foreign] });
    expect(await trainer.next(["failed"])).toMatchObject({
      code: "invalid-command",
      message: expect.stringContaining("plans of one shape"),
    });
    trainer.send(runCommand(other, directory));
    await trainer.next(["finished"]);
  });

  test("that runs out of memory when some of it has ended keeps those ends, and gives the others back", async () => {
    const directory = temporaryDirectory();
    const hash = writeData(directory);
    const plans = [2, 20].map((steps, seed) => makePlan({ hash, plan: { steps, seed } }));
    const runs = plans.map((plan) => {
      const checkpoint = { directory: join(directory, "checkpoints", runIdOf(plan)), every_seconds: 1e-6 };
      const { type: _type, ...fields } = runCommand(plan, directory, { checkpoint });
      return fields;
    });
    const trainer = new TrainerProcess(inBreakingTorch({ steps: 8, times: 1, message: NO_MEMORY }));
    trainer.send({ type: "cohort", runs });
    const ends = [await trainer.next(ENDINGS), await trainer.next(ENDINGS)];
    expect(ends).toMatchObject([
      { type: "finished", run: runIdOf(plans[0]!) },
      { type: "failed", run: runIdOf(plans[1]!), code: "cohort-memory" },
    ]);
    trainer.send(runCommand(plans[1]!, directory));
    expect(await trainer.next(ENDINGS)).toMatchObject({ type: "finished", run: runIdOf(plans[1]!) });
    // The memory of both at once is free before another program takes its own.
    const other = makePlan({ hash, shape: { d_model: 16 } });
    trainer.send(runCommand(other, directory));
    expect(await trainer.next(ENDINGS)).toMatchObject({ type: "finished", run: runIdOf(other) });
    expect(trainer.stderr.match(/\d+ other programs are there/g)).toEqual(
      Array.from({ length: 3 }, () => "0 other programs are there"),
    );
  });

  test("is what a worker sends it, from a sweep to its answer", async () => {
    const place = scratch();
    const options = ["--trainer", "torch", "--devices", "cpu", "--python", python!, "--slots", "1"];
    const file = writeSweep(place, { sparsity: "[0, 0.5]", rates: "{ log2: { from: -10, to: -7 } }" });
    await succeed(place, "run", file, ...options);
    const rows = sql<{ outcome: string; engine: string; attempts: number }>(
      place,
      "SELECT outcome, engine, attempts FROM run_results",
    );
    expect(rows).toHaveLength(8);
    for (const row of rows)
      expect(row).toMatchObject({
        outcome: "finished",
        attempts: 1,
        engine: expect.stringMatching(/^musweep-torch /),
      });
    expect((await musweep(place, "report", "tiny")).stdout).toContain("8 runs finished");
  });
});
