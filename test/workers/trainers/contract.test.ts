/** What the worker may expect of a trainer, whichever engine it is: a process on the other side of two pipes. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { tokenCount, trainingFlops } from "../../../schema/wire/cost.ts";
import { runIdOf } from "../../../schema/wire/plan.ts";
import type { TrainerEvent } from "../../../schema/wire/protocol.ts";
import type { TrainerCommandLine } from "../../../workers/trainer-commands.ts";
import { writeSafetensors } from "../../../workers/trainers/common/safetensors.ts";
import { mayMount, smallDisk } from "../../support/small-disk.ts";
import { embedded, inTorch, python } from "./engines.ts";
import { makePlan, renameData, temporaryDirectory, writeData } from "./support.ts";
import { ENDINGS, runCommand, TrainerProcess } from "./trainer-process.ts";

const prepare = (options: Parameters<typeof makePlan>[0] = {}) => {
  const directory = temporaryDirectory();
  return { directory, plan: makePlan({ hash: writeData(directory), ...options }) };
};

/** Long enough to be interrupted, sparse, with evaluations on the way. */
const LONG = {
  density: 0.5,
  decayPerStep: 1e-4,
  plan: { steps: 400, evaluation: { every_steps: 100, sequences: 6 } },
};

const tensorData = (file: Buffer): Buffer => file.subarray(8 + Number(file.readBigUInt64LE()));
const points = (events: readonly TrainerEvent[]) =>
  events.flatMap((e) =>
    e.type === "step"
      ? [[e.step, e.train_loss, e.gradient_norm]]
      : e.type === "evaluation"
        ? [[e.step, e.validation_loss]]
        : [],
  );

/** A checkpoint in the format before: events in the metadata, in one list, and no version of the engine. */
async function writeAsBefore(path: string): Promise<void> {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE());
  const { __metadata__, events, ...entries } = JSON.parse(file.subarray(8, start).toString());
  const bytes = (entry: { data_offsets: [number, number] }): Buffer =>
    file.subarray(start + entry.data_offsets[0], start + entry.data_offsets[1]);
  const lines = bytes(events).toString().trimEnd().split("\n");
  const tensors = Object.entries<{ shape: number[]; data_offsets: [number, number] }>(entries).map(
    ([name, entry]) => ({
      name,
      shape: entry.shape,
      data: new Float32Array(Uint8Array.from(bytes(entry)).buffer),
    }),
  );
  const { engine_version: _version, sha256: _sum, ...metadata } = __metadata__;
  const format = "musweep-checkpoint-2";
  await writeSafetensors(path, tensors, { ...metadata, format, events: `[${lines.join(",")}]` });
}

const engines: [name: string, there: boolean, start: () => TrainerCommandLine][] = [
  ["embedded", true, embedded],
  ["PyTorch", python !== undefined, inTorch],
];

describe.each(engines.filter(([, there]) => there))("%s", (_name, _there, commandLine) => {
  const start = () => new TrainerProcess(commandLine());

  test("a run reports its start, steps, evaluations and end", async () => {
    const { directory, plan } = prepare({
      density: 0.5,
      plan: { evaluation: { every_steps: 6, sequences: 6 } },
    });
    const trainer = start();
    expect(await trainer.next(["ready"])).toMatchObject({ protocol: expect.toBeOneOf([1, 2]) });
    const weights = join(directory, "weights.safetensors");
    const events = await trainer.train(runCommand(plan, directory, { weights_path: weights }));
    expect(events.map((e) => ("step" in e ? `${e.type} ${e.step}` : e.type))).toEqual(
      "started/step 1/step 5/evaluation 6/step 10/step 12/evaluation 12/finished 12".split("/"),
    );
    const run = runIdOf(plan);
    expect(new Set(events.map((e) => ("run" in e ? e.run : "")))).toEqual(new Set([run]));
    expect(events[0]).toMatchObject({
      resumed_from_step: 0,
      parameters: 2496,
      nonzero_parameters: 1344,
      notes: [],
    });
    const lastStep = events.findLast((e) => e.type === "step")!;
    const lastEvaluation = events.findLast((e) => e.type === "evaluation")!;
    expect(events.at(-1)).toMatchObject({
      train_loss: lastStep.train_loss,
      validation_loss: lastEvaluation.validation_loss,
      tokens: tokenCount(plan),
      flops: trainingFlops(plan),
      weights_path: weights,
    });
    const file = readFileSync(weights);
    const header = JSON.parse(file.subarray(8, 8 + Number(file.readBigUInt64LE())).toString());
    const { __metadata__, ...entries } = header;
    expect(__metadata__).toMatchObject({ format: "pt", run, step: "12" });
    expect(entries["blocks.1.ffn_down"]).toMatchObject({ dtype: "F32", shape: [16, 12] });
    expect(Object.keys(entries)).toHaveLength(2 + 2 * 9);
  });

  test("one warm process gives each run the bits of a process of its own", async () => {
    const { directory, plan } = prepare();
    const other = { ...plan, seed: 8, steps: 9 };
    const wider = makePlan({ hash: plan.data.hash, shape: { d_model: 16 } });
    const [one, two] = [start(), start()];
    const first = points(await one.train(runCommand(plan, directory)));
    const second = points(await one.train(runCommand(other, directory)));
    await one.train(runCommand(wider, directory));
    expect(points(await one.train(runCommand(plan, directory)))).toEqual(first);
    expect(points(await two.train(runCommand(other, directory)))).toEqual(second);
    expect(points(await two.train(runCommand(plan, directory)))).toEqual(first);
  });

  test("stopped and resumed in the same process, a run ends with the bits of an undisturbed one", async () => {
    const { directory, plan } = prepare(LONG);
    const [plain, resumed] = ["plain", "resumed"].map((n) => join(directory, n)) as [string, string];
    const trainer = start();
    const undisturbed = await trainer.train(runCommand(plan, directory, { weights_path: plain }));

    const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1000 };
    const command = runCommand(plan, directory, { checkpoint, weights_path: resumed });
    const stopped = await trainer.stopAfter(command, ["step"], (e) => e.step >= 20);
    expect(stopped.step).toBeLessThan(400);
    expect(stopped.checkpoint).toBe(join(checkpoint.directory, readdirSync(checkpoint.directory)[0]!));
    const events = await trainer.train(command);
    expect(events[0]).toMatchObject({ resumed_from_step: stopped.step, notes: [] });
    const { seconds: _a, weights_path: _b, ...expected } = undisturbed.at(-1) as Record<string, unknown>;
    expect(events.at(-1)).toMatchObject(expected);
    expect(tensorData(readFileSync(resumed))).toEqual(tensorData(readFileSync(plain)));
  });

  test("killed and resumed again and again, a run ends with the bits of an undisturbed one", async () => {
    const { directory, plan } = prepare({ ...LONG, plan: { ...LONG.plan, micro_batch_size: 2 } });
    const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1e-6 };
    const [plain, weights] = ["plain", "weights"].map((n) => join(directory, n)) as [string, string];
    let from = 0;
    for (const killAfter of [7, 60, 200]) {
      const trainer = start();
      trainer.send(runCommand(plan, directory, { checkpoint }));
      const started = await trainer.next(["started"]);
      expect(started.resumed_from_step).toBeGreaterThanOrEqual(from);
      await trainer.next(["checkpoint"], (e) => e.step >= killAfter);
      await trainer.kill();
      const kept = readdirSync(checkpoint.directory).filter((f) => f.endsWith(".safetensors"));
      expect(kept.length).toBeLessThanOrEqual(3);
      from = killAfter;
    }
    const trainer = start();
    const last = runCommand(plan, directory, {
      checkpoint: { ...checkpoint, every_seconds: 1000 },
      weights_path: weights,
    });
    const events = await trainer.train(last);
    expect(events[0]).toMatchObject({ type: "started" });
    const undisturbed = await trainer.train(runCommand(plan, directory, { weights_path: plain }));
    const numbers = ({ train_loss, validation_loss }: Record<string, unknown>) => [
      train_loss,
      validation_loss,
    ];
    expect(numbers(events.at(-1) as never)).toEqual(numbers(undisturbed.at(-1) as never));
    expect(tensorData(readFileSync(weights))).toEqual(tensorData(readFileSync(plain)));
  });

  test.runIf(mayMount("a trainer whose disk is full"))(
    "a disk that takes no more fails the run with a code of its own, and the trainer trains on when there is room",
    async () => {
      const { directory, plan } = prepare();
      const disk = smallDisk(join(directory, "disk"), 1);
      const trainer = start();
      const checkpoint = { directory: join(disk.path, "checkpoints"), every_seconds: 1e-6 };
      const command = runCommand(plan, directory, { checkpoint });
      disk.fill();
      trainer.send(command);
      expect(await trainer.next(ENDINGS)).toMatchObject({ type: "failed", code: "disk", retryable: true });
      disk.clear();
      trainer.send({ ...command, weights_path: join(disk.path, "weights.safetensors") });
      await trainer.next(["finished"]);
      disk.fill();
      trainer.send(runCommand(plan, directory, { weights_path: join(disk.path, "more.safetensors") }));
      expect(await trainer.next(ENDINGS)).toMatchObject({ type: "failed", code: "disk" });
    },
  );

  test("a damaged checkpoint is passed over for the one before, and two for a fresh start", async () => {
    const { directory, plan } = prepare(LONG);
    const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1e-6 };
    const first = start();
    first.send(runCommand(plan, directory, { checkpoint }));
    await first.next(["checkpoint"], (e) => e.step >= 30);
    await first.kill();
    const kept = readdirSync(checkpoint.directory)
      .filter((f) => f.endsWith(".safetensors"))
      .sort();
    const damage = (file: string): void => {
      const path = join(checkpoint.directory, file);
      const bytes = readFileSync(path);
      bytes[bytes.length - 100]! ^= 1;
      writeFileSync(path, bytes);
    };
    const resume = async () => {
      const trainer = start();
      trainer.send(runCommand(plan, directory, { checkpoint: { ...checkpoint, every_seconds: 1000 } }));
      const started = await trainer.next(["started"]);
      await trainer.kill();
      return started;
    };
    damage(kept.at(-1)!);
    const started = await resume();
    expect(started.resumed_from_step).toBe(Number(kept.at(-2)!.match(/\d+/)![0]));
    expect(started.notes).toEqual([
      `Checkpoint ${kept.at(-1)} was passed over: its checksum does not match.`,
    ]);
    for (const file of kept.slice(0, -1)) damage(file);
    const fresh = await resume();
    expect(fresh.resumed_from_step).toBe(0);
    expect(fresh.notes).toHaveLength(kept.length);
  });

  test("a checkpoint of the format before is resumed from, with a note", async () => {
    const { directory, plan } = prepare(LONG);
    const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1000 };
    const command = runCommand(plan, directory, { checkpoint });
    const trainer = start();
    const stopped = await trainer.stopAfter(command, ["step"], (e) => e.step >= 20);
    await writeAsBefore(stopped.checkpoint!);
    const events = await trainer.train(command);
    const said = trainer.events.find((e) => e.type === "step")!;
    expect(events[0]).toMatchObject({
      resumed_from_step: stopped.step,
      notes: [expect.stringContaining("of an unknown version")],
    });
    expect(events[1]).toEqual(said);
    expect(events.at(-1)).toMatchObject({ type: "finished" });
  });

  test("another plan's checkpoint is not resumed from", async () => {
    const { directory, plan } = prepare(LONG);
    const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1e-6 };
    const trainer = start();
    const command = runCommand(plan, directory, { checkpoint });
    await trainer.stopAfter(command, ["checkpoint"]);
    trainer.send(runCommand({ ...plan, seed: 8 }, directory, { checkpoint }));
    const started = await trainer.next(["started"]);
    expect(started.resumed_from_step).toBe(0);
    expect(started.notes.join()).toContain(`belongs to ${runIdOf(plan)}`);
  });

  test("signals that stop all processes of a job end no run: the worker says when it is to stop", async () => {
    const { directory, plan } = prepare({ plan: { ...LONG.plan, steps: 1_000_000 } });
    const trainer = start();
    const command = runCommand(plan, directory);
    trainer.send(command);
    const { step } = await trainer.next(["step"]);
    for (const signal of ["SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2"] as const) trainer.child.kill(signal);
    await trainer.next(["step"], (event) => event.step > step + 50);
    trainer.send({ type: "cancel", run: command.run });
    await trainer.next(["stopped"]);
    trainer.child.stdin.end();
    expect(await trainer.exit()).toBe(0);
  });

  test("a cancelled run stops without a checkpoint, and the trainer takes the next", async () => {
    const { directory, plan } = prepare({ ...LONG, plan: { ...LONG.plan, steps: 1_000_000 } });
    const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1000 };
    const trainer = start();
    const command = runCommand(plan, directory, { checkpoint });
    trainer.send(command);
    await trainer.next(["step"]);
    trainer.send(runCommand({ ...plan, seed: 9 }, directory));
    expect(await trainer.next(["failed"])).toMatchObject({ code: "busy", retryable: true });
    trainer.send({ type: "cancel", run: command.run });
    expect(await trainer.next(["stopped"])).toMatchObject({ run: command.run, checkpoint: null });
    trainer.send(runCommand(makePlan({ hash: plan.data.hash }), directory));
    await trainer.next(["finished"]);
  });

  test("a learning rate far too high is an outcome, not a failure", async () => {
    const { directory, plan } = prepare({
      learningRate: 3,
      plan: { steps: 300, clip_norm: null, divergence: { patience_steps: 10 } },
    });
    const end = (await start().train(runCommand(plan, directory))).at(-1)!;
    expect(end).toMatchObject({ type: "diverged", reason: "above-initial" });
    if (end.type !== "diverged") return;
    expect(end.step).toBeLessThan(300);
    expect(end.tokens).toBe(end.step * 32);
  });

  test("weights that overflow end the run as diverged, with the last finite loss", async () => {
    const { directory, plan } = prepare({ learningRate: 1e38, plan: { steps: 300, clip_norm: null } });
    const events = await start().train(runCommand(plan, directory, { report_every_steps: 1 }));
    const steps = events.filter((e) => e.type === "step");
    expect(events.at(-1)).toMatchObject({
      type: "diverged",
      reason: "non-finite",
      last_finite_loss: steps.at(-1)!.train_loss,
    });
  });

  test("a run whose only update breaks the weights is diverged although every training loss was finite", async () => {
    const constant = { warmup_steps: 0, decay: "constant", final_fraction: 1 } as const;
    // Past the float32 range: the first update already overflows.
    const { directory, plan } = prepare({ learningRate: 1e39, plan: { steps: 1, schedule: constant } });
    const events = await start().train(runCommand(plan, directory));
    expect(events.at(-1)).toMatchObject({
      type: "diverged",
      reason: "non-finite",
      step: 1,
      last_finite_loss: events.find((e) => e.type === "step")!.train_loss,
    });
    expect(events).toContainEqual(expect.objectContaining({ type: "evaluation", validation_loss: null }));
  });

  test("a final loss of 0, which has no logarithm, fails the run with a reason", async () => {
    const directory = temporaryDirectory();
    // Of one token there is nothing to predict.
    const plan = makePlan({ hash: writeData(directory, 1), vocabulary: 1 });
    const weights = join(directory, "weights.safetensors");
    const events = await start().train(runCommand(plan, directory, { weights_path: weights }));
    expect(events.at(-1)).toMatchObject({
      type: "failed",
      code: "zero-loss",
      retryable: false,
      message: expect.stringMatching(/^The validation loss is 0: .* Train fewer steps, or on data/),
    });
    expect(existsSync(weights)).toBe(false);
  });

  test("invalid commands are answered, and the trainer goes on", async () => {
    const { directory, plan } = prepare();
    const trainer = start();
    trainer.write("{not json}\n");
    expect(await trainer.next(["failed"])).toMatchObject({ code: "invalid-command", retryable: false });
    const { steps: _, ...withoutSteps } = plan;
    trainer.write(`${JSON.stringify({ ...runCommand(plan, directory), run: "rX", plan: withoutSteps })}\n`);
    expect(await trainer.next(["failed"])).toMatchObject({
      run: "rX",
      code: "invalid-command",
      message: expect.stringContaining("plan.steps"),
    });
    const refused = async (changes: object): Promise<string> => {
      trainer.send(runCommand({ ...plan, ...changes }, directory));
      return (await trainer.next(["failed"])).code;
    };
    expect(await refused({ shape: { ...plan.shape, d_head: 5 } })).toBe("unsupported");
    expect(await refused({ data: { ...plan.data, vocab_size: 12 } })).toBe("unsupported");
    expect(await refused({ micro_batch_size: 3 })).toBe("unsupported");
    expect(await refused({ groups: plan.groups.slice(1) })).toBe("unsupported");
    expect(await refused({ groups: [...plan.groups, plan.groups[0]] })).toBe("unsupported");
    expect(await refused({ data: { ...plan.data, hash: "f".repeat(16) } })).toBe("data-missing");
    trainer.send(runCommand(plan, directory, { memory_limit_bytes: 1000 }));
    expect(await trainer.next(["failed"])).toMatchObject({
      code: "memory",
      message: expect.stringMatching(/needs about \d+ MiB; this trainer may use 1 MiB/),
    });
    trainer.send(runCommand(plan, directory));
    await trainer.next(["finished"]);
  });

  test("data that are not what the plan or their own description says are refused", async () => {
    const { directory, plan } = prepare();
    const folder = join(directory, plan.data.hash);
    const trainer = start();
    const failure = async (): Promise<TrainerEvent> => {
      trainer.send(runCommand(plan, directory));
      return trainer.next(ENDINGS);
    };
    const validation = readFileSync(join(folder, "validation.bin"));
    writeFileSync(join(folder, "validation.bin"), validation.subarray(2));
    expect(await failure()).toMatchObject({ code: "data-mismatch", message: expect.stringContaining("399") });
    // A token that the vocabulary has not, in the last evaluation sequence.
    const foreign = Buffer.from(validation);
    foreign.writeUInt16LE(11, foreign.length - 2);
    writeFileSync(join(folder, "validation.bin"), foreign);
    expect(await failure()).toMatchObject({
      code: "data-mismatch",
      message: expect.stringMatching(/is damaged: its bytes are those of [0-9a-f]{32}/),
    });
    const hash = renameData(directory, plan.data.hash);
    const named = { ...plan, data: { ...plan.data, hash } };
    trainer.send(runCommand(named, directory));
    expect(await trainer.next(ENDINGS)).toMatchObject({
      code: "data-mismatch",
      message: expect.stringMatching(/holds token 11; the vocabulary ends at 10/),
    });
    writeFileSync(join(directory, hash, "meta.json"), "{}");
    trainer.send(runCommand(named, directory));
    expect(await trainer.next(ENDINGS)).toMatchObject({ code: "data-mismatch" });
  });

  test("pipes in the places of data and of a checkpoint are not waited for", async () => {
    const { directory, plan } = prepare();
    const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1000 };
    mkdirSync(checkpoint.directory);
    execFileSync("mkfifo", [join(checkpoint.directory, "step-000000004.safetensors")]);
    const trainer = start();
    const events = await trainer.train(runCommand(plan, directory, { checkpoint }));
    expect(events[0]).toMatchObject({
      notes: [expect.stringMatching(/^Checkpoint step-000000004.* was passed over: .*regular file\.$/)],
    });
    expect(events.at(-1)).toMatchObject({ type: "finished" });
    for (const file of ["train.bin", "meta.json"]) {
      const path = join(directory, plan.data.hash, file);
      rmSync(path);
      execFileSync("mkfifo", [path]);
      expect(await trainer.train(runCommand(plan, directory))).toEqual([
        expect.objectContaining({
          type: "failed",
          code: "data-missing",
          message: expect.stringMatching(/ cannot be read: .*regular file/),
        }),
      ]);
    }
  });

  test("a command that arrives in pieces is one command", async () => {
    const { directory, plan } = prepare();
    const trainer = start();
    const line = `${JSON.stringify(runCommand(plan, directory))}\n`;
    await trainer.next(["ready"]);
    trainer.write(line.slice(0, 100));
    trainer.write(line.slice(100));
    await trainer.next(["finished"]);
  });

  test("a line without end is not the protocol: the trainer exits", async () => {
    const trainer = start();
    await trainer.next(["ready"]);
    trainer.child.stdin.on("error", () => {});
    trainer.write("x".repeat(3 << 20));
    expect(await trainer.exit()).toBe(2);
  });

  test("the trainer exits when stdin closes, idle or in the middle of a run", async () => {
    const { directory, plan } = prepare(LONG);
    const idle = start();
    await idle.next(["ready"]);
    idle.child.stdin.end();
    expect(await idle.exit()).toBe(0);
    const busy = start();
    busy.send(runCommand({ ...plan, steps: 1_000_000 }, directory));
    await busy.next(["step"]);
    busy.child.stdin.end();
    expect(await busy.exit()).toBe(0);
  });

  test("a checkpoint directory that cannot be written fails the run, and says why", async () => {
    const { directory, plan } = prepare();
    const file = join(directory, "in-the-way");
    mkdirSync(directory, { recursive: true });
    writeFileSync(file, "");
    const checkpoint = { directory: join(file, "x"), every_seconds: 1e-6 };
    expect((await start().train(runCommand(plan, directory, { checkpoint }))).at(-1)).toMatchObject({
      type: "failed",
      message: expect.stringContaining("in-the-way"),
    });
  });

  test("a checkpoint that gets no place on disk fails the run, and says why", async () => {
    const { directory, plan } = prepare();
    const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1e-6 };
    mkdirSync(join(checkpoint.directory, "step-000000003.safetensors"), { recursive: true });
    const events = await start().train(runCommand(plan, directory, { checkpoint }));
    expect(events.at(-1)).toMatchObject({
      type: "failed",
      message: expect.stringContaining("step-000000003.safetensors"),
    });
    expect(events.flatMap((e) => (e.type === "checkpoint" ? [e.step] : []))).toEqual([1, 2]);
    expect(readdirSync(checkpoint.directory).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  test("every checkpoint is reported, in place by then, before the run's last event", async () => {
    const { directory, plan } = prepare();
    const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1e-6 };
    const events = await start().train(runCommand(plan, directory, { checkpoint }));
    expect(events.at(-1)!.type).toBe("finished");
    const reported = events.filter((e) => e.type === "checkpoint");
    expect(reported.map((e) => e.step)).toEqual(Array.from({ length: plan.steps - 1 }, (_, i) => i + 1));
    expect(readdirSync(checkpoint.directory).map((name) => join(checkpoint.directory, name))).toEqual(
      reported.slice(-2).map((e) => e.path),
    );
  });

  test("two processes that have the same run, one cut off, do not disturb each other: both end with the same bits", async () => {
    const { directory, plan } = prepare(LONG);
    const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1e-6 };
    const train = async (name: string) => {
      const weights = join(directory, name);
      const events = await start().train(runCommand(plan, directory, { checkpoint, weights_path: weights }));
      expect(events.at(-1)).toMatchObject({ type: "finished" });
      return tensorData(readFileSync(weights));
    };
    const [one, other] = await Promise.all([train("one"), train("other")]);
    expect(other).toEqual(one);
  });

  test("a run resumed again and again emits its whole curve each time, whatever was passed on before", async () => {
    const { directory, plan } = prepare(LONG);
    const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 0.01 };
    const command = runCommand(plan, directory, { checkpoint });
    const undisturbed = points(await start().train(runCommand(plan, directory)));
    for (let attempt = 1; attempt <= 2; attempt++) {
      const trainer = start();
      const stopped = await trainer.stopAfter(command, ["checkpoint"]);
      const own = trainer.events.slice(trainer.events.findLastIndex((e) => e.type === "started"));
      expect(stopped.step).toBeGreaterThan((own[0] as { resumed_from_step: number }).resumed_from_step);
      expect(points(own)).toEqual(undisturbed.filter(([step]) => step! <= stopped.step));
    }
    expect(points(await start().train(command))).toEqual(undisturbed);
  });
});
