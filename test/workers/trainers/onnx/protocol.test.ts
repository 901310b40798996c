/** The trainer as the worker sees it: a process on the other side of two pipes. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { tokenCount, trainingFlops } from "../../../../schema/cost.ts";
import { type Plan, runIdOf } from "../../../../schema/plan.ts";
import type { RunCommand } from "../../../../schema/protocol.ts";
import { traceTraining } from "../../../../workers/trainers/onnx/inspect.ts";
import { SessionCache } from "../../../../workers/trainers/onnx/session_cache.ts";
import { trainRun } from "../../../../workers/trainers/onnx/train.ts";
import { makePlan, temporaryDirectory, writeData } from "../support.ts";
import { TrainerProcess } from "./trainer_process.ts";

const ENDINGS = ["finished", "diverged", "stopped", "failed"] as const;

function runCommand(plan: Plan, directory: string, options: Partial<RunCommand> = {}): RunCommand {
  return {
    type: "run",
    run: runIdOf(plan),
    plan,
    data_directory: directory,
    checkpoint: null,
    weights_path: null,
    report_every_steps: 5,
    memory_limit_bytes: null,
    ...options,
  };
}

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

test("a run reports its start, steps, evaluations and end", async () => {
  const { directory, plan } = prepare({
    density: 0.5,
    plan: { evaluation: { every_steps: 6, sequences: 6 } },
  });
  const trainer = new TrainerProcess();
  const ready = await trainer.next(["ready"]);
  expect(ready).toMatchObject({ protocol: 1, engine: "onnx", device: "cpu" });
  const weights = join(directory, "weights.safetensors");
  trainer.send(runCommand(plan, directory, { weights_path: weights }));
  await trainer.next(["finished"]);
  const trace = await traceTraining(plan, directory);
  expect(trainer.events.map((e) => ("step" in e ? `${e.type} ${e.step}` : e.type))).toEqual([
    ...[
      "ready",
      "started",
      "step 1",
      "step 5",
      "evaluation 6",
      "step 10",
      "step 12",
      "evaluation 12",
      "finished 12",
    ],
  ]);
  expect(trainer.events[1]).toMatchObject({
    resumed_from_step: 0,
    parameters: 2496,
    nonzero_parameters: 1344,
    notes: [],
  });
  expect(trainer.events.at(-1)).toMatchObject({
    run: runIdOf(plan),
    train_loss: trace.losses[11],
    validation_loss: trace.validationLoss,
    tokens: tokenCount(plan),
    flops: trainingFlops(plan),
    weights_path: weights,
  });
  const file = readFileSync(weights);
  const header = JSON.parse(file.subarray(8, 8 + Number(file.readBigUInt64LE())).toString());
  expect(Object.keys(header).filter((k) => k !== "__metadata__")).toEqual([...trace.weights.keys()]);
});

test("a slow model gives a sign of life every ten seconds, however seldom it is to report", async () => {
  const { directory, plan } = prepare();
  vi.useFakeTimers({ toFake: ["performance"] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const sessions = new SessionCache(1);
  const steps: number[] = [];
  await trainRun(
    runCommand(plan, directory, { report_every_steps: 1000 }),
    sessions,
    (event) => {
      if (event.type === "step") steps.push(event.step);
    },
    // Asked once before each step, which so takes four seconds.
    () => {
      vi.advanceTimersByTime(4000);
      return null;
    },
  );
  sessions.clear();
  expect(steps).toEqual([1, 4, 7, 10, 12]);
});

test("one warm process gives each run the same bits as a process of its own", async () => {
  const { directory, plan } = prepare();
  const other = { ...plan, seed: 8 };
  const trainer = new TrainerProcess();
  const losses: number[] = [];
  for (const p of [plan, other, plan]) {
    trainer.send(runCommand(p, directory));
    losses.push((await trainer.next(["finished"])).validation_loss);
  }
  expect(losses).toEqual([
    (await traceTraining(plan, directory)).validationLoss,
    (await traceTraining(other, directory)).validationLoss,
    losses[0],
  ]);
});

test("the number of threads does not change the result", async () => {
  const { directory, plan } = prepare({ plan: { steps: 40 } });
  const trainer = new TrainerProcess({ MUSWEEP_THREADS: "2" });
  trainer.send(runCommand(plan, directory));
  const { validation_loss } = await trainer.next(["finished"]);
  expect(validation_loss).toBe((await traceTraining(plan, directory)).validationLoss);
});

test("stopped and resumed in the same process, a run ends with the bits of an undisturbed one", async () => {
  const { directory, plan } = prepare(LONG);
  const [plain, resumed] = ["plain", "resumed"].map((n) => join(directory, n)) as [string, string];
  const trainer = new TrainerProcess();
  trainer.send(runCommand(plan, directory, { weights_path: plain }));
  const undisturbed = await trainer.next(["finished"]);

  const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1000 };
  const command = runCommand(plan, directory, { checkpoint, weights_path: resumed });
  trainer.send(command);
  await trainer.next(["step"], (e) => e.step >= 20);
  trainer.send({ type: "stop", run: command.run });
  const stopped = await trainer.next(["stopped"]);
  expect(stopped.step).toBeLessThan(400);
  expect(stopped.checkpoint).toBe(join(checkpoint.directory, readdirSync(checkpoint.directory)[0]!));
  trainer.send(command);
  expect(await trainer.next(["started"])).toMatchObject({ resumed_from_step: stopped.step, notes: [] });
  const { seconds: _a, weights_path: _b, ...expected } = undisturbed;
  expect(await trainer.next(["finished"])).toMatchObject(expected);
  expect(readFileSync(resumed)).toEqual(readFileSync(plain));
});

test("killed and resumed again and again, a run ends with the bits of an undisturbed one", async () => {
  const { directory, plan } = prepare({ ...LONG, plan: { ...LONG.plan, micro_batch_size: 2 } });
  const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1e-6 };
  const weights = join(directory, "weights");
  let from = 0;
  for (const killAfter of [7, 60, 200]) {
    const trainer = new TrainerProcess();
    trainer.send(runCommand(plan, directory, { checkpoint }));
    const started = await trainer.next(["started"]);
    expect(started.resumed_from_step).toBeGreaterThanOrEqual(from);
    await trainer.next(["checkpoint"], (e) => e.step >= killAfter);
    await trainer.kill();
    expect(
      readdirSync(checkpoint.directory).filter((f) => f.endsWith(".safetensors")).length,
    ).toBeLessThanOrEqual(3);
    from = killAfter;
  }
  const trainer = new TrainerProcess();
  trainer.send(
    runCommand(plan, directory, {
      checkpoint: { ...checkpoint, every_seconds: 1000 },
      weights_path: weights,
    }),
  );
  expect((await trainer.next(["started"])).resumed_from_step).toBeGreaterThanOrEqual(200);
  const finished = await trainer.next(["finished"]);
  const trace = await traceTraining(plan, directory);
  expect(finished.train_loss).toBe(trace.losses.at(-1));
  expect(finished.validation_loss).toBe(trace.validationLoss);
  const file = readFileSync(weights);
  const data = file.subarray(8 + Number(file.readBigUInt64LE()));
  expect(data).toEqual(
    Buffer.concat([...trace.weights.values()].map((w) => Buffer.from(w.buffer, w.byteOffset, w.byteLength))),
  );
});

test("a damaged checkpoint is passed over for the one before, and two for a fresh start", async () => {
  const { directory, plan } = prepare(LONG);
  const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1e-6 };
  const first = new TrainerProcess();
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
    const trainer = new TrainerProcess();
    trainer.send(runCommand(plan, directory, { checkpoint: { ...checkpoint, every_seconds: 1000 } }));
    const started = await trainer.next(["started"]);
    await trainer.kill();
    return started;
  };
  damage(kept.at(-1)!);
  const started = await resume();
  expect(started.resumed_from_step).toBe(Number(kept.at(-2)!.match(/\d+/)![0]));
  expect(started.notes).toEqual([`Checkpoint ${kept.at(-1)} was passed over: its checksum does not match.`]);
  for (const file of kept.slice(0, -1)) damage(file);
  const fresh = await resume();
  expect(fresh.resumed_from_step).toBe(0);
  expect(fresh.notes).toHaveLength(kept.length);
});

test("another plan's checkpoint is not resumed from", async () => {
  const { directory, plan } = prepare(LONG);
  const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1e-6 };
  const trainer = new TrainerProcess();
  const command = runCommand(plan, directory, { checkpoint });
  trainer.send(command);
  await trainer.next(["checkpoint"]);
  trainer.send({ type: "stop", run: command.run });
  await trainer.next(["stopped"]);
  trainer.send(runCommand({ ...plan, seed: 8 }, directory, { checkpoint }));
  const started = await trainer.next(["started"]);
  expect(started.resumed_from_step).toBe(0);
  expect(started.notes.join()).toContain(`belongs to ${runIdOf(plan)}`);
});

test("a cancelled run stops without a checkpoint, and the trainer takes the next", async () => {
  const { directory, plan } = prepare(LONG);
  const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1000 };
  const trainer = new TrainerProcess();
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
  const trainer = new TrainerProcess();
  trainer.send(runCommand(plan, directory));
  const end = await trainer.next(ENDINGS);
  expect(end).toMatchObject({ type: "diverged", reason: "above-initial" });
  if (end.type !== "diverged") return;
  expect(end.step).toBeLessThan(300);
  expect(end.tokens).toBe(end.step * 32);
});

test("weights that overflow end the run as diverged, with the last finite loss", async () => {
  const { directory, plan } = prepare({ learningRate: 1e38, plan: { steps: 300, clip_norm: null } });
  const trainer = new TrainerProcess();
  trainer.send(runCommand(plan, directory, { report_every_steps: 1 }));
  const end = await trainer.next(ENDINGS);
  const steps = trainer.events.filter((e) => e.type === "step");
  expect(end).toMatchObject({
    type: "diverged",
    reason: "non-finite",
    last_finite_loss: steps.at(-1)!.train_loss,
  });
});

test("a run whose only update breaks the weights is diverged although every training loss was finite", async () => {
  const constant = { warmup_steps: 0, decay: "constant", final_fraction: 1 } as const;
  // Past the float32 range: the first update already overflows.
  const { directory, plan } = prepare({ learningRate: 1e39, plan: { steps: 1, schedule: constant } });
  const trainer = new TrainerProcess();
  trainer.send(runCommand(plan, directory));
  const end = await trainer.next(ENDINGS);
  const step = trainer.events.find((e) => e.type === "step")!;
  expect(end).toMatchObject({
    type: "diverged",
    reason: "non-finite",
    step: 1,
    last_finite_loss: step.train_loss,
  });
  expect(trainer.events).toContainEqual(
    expect.objectContaining({ type: "evaluation", validation_loss: null }),
  );
});

test("invalid commands are answered, and the trainer goes on", async () => {
  const { directory, plan } = prepare();
  const trainer = new TrainerProcess();
  trainer.write("{not json}\n");
  expect(await trainer.next(["failed"])).toMatchObject({ code: "invalid-command", retryable: false });
  const { steps: _, ...withoutSteps } = plan;
  trainer.write(`${JSON.stringify({ ...runCommand(plan, directory), run: "rX", plan: withoutSteps })}\n`);
  expect(await trainer.next(["failed"])).toMatchObject({
    run: "rX",
    code: "invalid-command",
    message: expect.stringContaining("plan.steps"),
  });
  trainer.send(runCommand({ ...plan, shape: { ...plan.shape, d_head: 5 } }, directory));
  expect(await trainer.next(["failed"])).toMatchObject({ code: "unsupported", retryable: false });
  trainer.send(runCommand({ ...plan, data: { ...plan.data, hash: "f".repeat(16) } }, directory));
  expect(await trainer.next(["failed"])).toMatchObject({ code: "data-missing" });
  trainer.send(runCommand({ ...plan, data: { ...plan.data, vocab_size: 12 } }, directory));
  expect((await trainer.next(["failed"])).code).toBe("unsupported");
  trainer.send(runCommand(plan, directory, { memory_limit_bytes: 1000 }));
  expect(await trainer.next(["failed"])).toMatchObject({
    code: "memory",
    message: expect.stringMatching(/needs about \d+ MiB; this trainer may use 1 MiB/),
  });
  trainer.send(runCommand(plan, directory));
  await trainer.next(["finished"]);
});

test("a command that arrives in pieces is one command", async () => {
  const { directory, plan } = prepare();
  const trainer = new TrainerProcess();
  const line = `${JSON.stringify(runCommand(plan, directory))}\n`;
  await trainer.next(["ready"]);
  trainer.write(line.slice(0, 100));
  trainer.write(line.slice(100));
  await trainer.next(["finished"]);
});

test("a line without end is not the protocol: the trainer exits", async () => {
  const trainer = new TrainerProcess();
  await trainer.next(["ready"]);
  trainer.child.stdin.on("error", () => {});
  trainer.write("x".repeat(3 << 20));
  expect(await trainer.exit()).toBe(2);
});

test("the trainer exits when stdin closes, idle or in the middle of a run", async () => {
  const { directory, plan } = prepare(LONG);
  const idle = new TrainerProcess();
  await idle.next(["ready"]);
  idle.child.stdin.end();
  expect(await idle.exit()).toBe(0);
  const busy = new TrainerProcess();
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
  const trainer = new TrainerProcess();
  trainer.send(
    runCommand(plan, directory, { checkpoint: { directory: join(file, "x"), every_seconds: 1e-6 } }),
  );
  expect(await trainer.next(ENDINGS)).toMatchObject({
    type: "failed",
    message: expect.stringContaining("in-the-way"),
  });
});

test("a checkpoint that gets no place on disk fails the run, and says why", async () => {
  const { directory, plan } = prepare();
  const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1e-6 };
  mkdirSync(join(checkpoint.directory, "step-000000003.safetensors"), { recursive: true });
  const trainer = new TrainerProcess();
  trainer.send(runCommand(plan, directory, { checkpoint }));
  expect(await trainer.next(ENDINGS)).toMatchObject({
    type: "failed",
    message: expect.stringContaining("step-000000003.safetensors"),
  });
  const kept = trainer.events.flatMap((e) => (e.type === "checkpoint" ? [e.step] : []));
  expect(kept).toEqual([1, 2]);
  expect(readdirSync(checkpoint.directory).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

test("every checkpoint is reported, in place by then, before the run's last event", async () => {
  const { directory, plan } = prepare();
  const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1e-6 };
  const trainer = new TrainerProcess();
  trainer.send(runCommand(plan, directory, { checkpoint }));
  await trainer.next(["finished"]);
  expect(trainer.events.at(-1)!.type).toBe("finished");
  const reported = trainer.events.filter((e) => e.type === "checkpoint");
  expect(reported.map((e) => e.step)).toEqual(Array.from({ length: plan.steps - 1 }, (_, i) => i + 1));
  expect(readdirSync(checkpoint.directory).map((name) => join(checkpoint.directory, name))).toEqual(
    reported.slice(-2).map((e) => e.path),
  );
});

test("a resumed run emits again what was emitted since the last checkpoint but one", async () => {
  const { directory, plan } = prepare(LONG);
  const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 1000 };
  const first = new TrainerProcess();
  const command = runCommand(plan, directory, { checkpoint });
  first.send(command);
  await first.next(["evaluation"]);
  first.send({ type: "stop", run: command.run });
  const stopped = await first.next(["stopped"]);
  const second = new TrainerProcess();
  second.send(command);
  await second.next(["finished"]);
  const points = ({ events }: TrainerProcess) =>
    events.filter((e) => e.type === "step" || e.type === "evaluation");
  const again = points(second).filter((e) => e.step <= stopped.step);
  expect(again.length).toBeGreaterThan(20);
  expect(again).toEqual(points(first));
});
