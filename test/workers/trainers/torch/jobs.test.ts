/** Plans from a file, events into a file: what is trained where no queue can be reached. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { type AwayJob, awayJobSchema } from "../../../../schema/wire/away.ts";
import { type WorkerEvent, workerEventSchema } from "../../../../schema/wire/events.ts";
import { type Plan, runIdOf } from "../../../../schema/wire/plan.ts";
import type { TrainerCommandLine } from "../../../../workers/trainer-commands.ts";
import { inBreakingTorch, inTorch, NO_MEMORY, PATIENT, python } from "../engines.ts";
import { makePlan, type PlanOptions, temporaryDirectory, writeData } from "../support.ts";

interface Away {
  readonly directory: string;
  readonly plans: Plan[];
  readonly events: string;
  start(...options: string[]): Started;
  /** As start, by another program of the same arguments. */
  startAs(trainer: (...options: string[]) => TrainerCommandLine, ...options: string[]): Started;
}
interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; stderr: string }>;
}

const jobOf = (plan: Plan): AwayJob =>
  awayJobSchema.parse({
    version: 1,
    run: runIdOf(plan),
    attempt: 1001,
    token: `token of ${plan.seed}`,
    keep_weights: true,
    plan,
  } satisfies AwayJob);

/** A folder with data and jobs, as a stick that goes to another machine holds it. */
function prepareAway(...options: PlanOptions[]): Away {
  const directory = temporaryDirectory();
  const hash = writeData(join(directory, "data"));
  const plans = options.map((o) => makePlan({ hash, ...o }));
  writeFileSync(join(directory, "jobs.jsonl"), plans.map((p) => `${JSON.stringify(jobOf(p))}\n`).join(""));
  const events = join(directory, "events.jsonl");
  return {
    directory,
    plans,
    events,
    start(...more) {
      return this.startAs(inTorch, ...more);
    },
    startAs(trainer, ...more) {
      const places = { jobs: "jobs.jsonl", data: "data", events: "events.jsonl", checkpoints: "checkpoints" };
      const named = Object.entries(places).flatMap(([name, place]) => [`--${name}`, place]);
      const { command, env } = trainer(...named, ...more);
      const child = spawn(command[0]!, command.slice(1), {
        cwd: directory,
        env: { ...process.env, ...env, XDG_CACHE_HOME: join(directory, "cache") },
        stdio: ["ignore", "ignore", "pipe"],
      });
      let stderr = "";
      child.stderr.on("data", (chunk) => {
        stderr += chunk;
      });
      const closed = once(child, "close");
      onTestFinished(async () => {
        child.kill("SIGKILL");
        await closed;
      });
      return { child, ended: closed.then(([code]) => ({ code, stderr })) };
    },
  };
}

const readEvents = (path: string): WorkerEvent[] =>
  readFileSync(path, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => workerEventSchema.parse(JSON.parse(line)));

/** Waits until the events, as far as they are whole lines, satisfy the condition. */
async function until(path: string, condition: (text: string) => boolean): Promise<void> {
  while (!existsSync(path) || !condition(readFileSync(path, "utf8"))) await sleep(20);
}

/** What a run's events come to: how it ended, and its curve with later points over earlier ones. */
function outcomeOf(events: readonly WorkerEvent[], plan: Plan) {
  const own = events.filter((e) => e.run === runIdOf(plan));
  const curve = new Map<string, number | null>();
  for (const { body } of own)
    if (body.type === "metrics")
      for (const { step, train_loss, validation_loss } of body.points) {
        if (train_loss !== null) curve.set(`${step}`, train_loss);
        if (validation_loss !== null) curve.set(`${step} validation`, validation_loss);
      }
  const ends = own.filter((e) => ["finished", "diverged", "failed", "released"].includes(e.body.type));
  return { own, ends, curve: Object.fromEntries(curve) };
}

function expectInOrder(events: readonly WorkerEvent[]): void {
  expect(events.map((e) => e.sequence)).toEqual(events.map((_, i) => i + 1));
  expect(events.map((e) => e.body.type).indexOf("claimed")).toBe(0);
  expect(events.filter((e) => e.body.type === "claimed")).toHaveLength(1);
  expect(events.at(-1)!.body.type).not.toBe("metrics");
}

const LONG: PlanOptions = {
  density: 0.5,
  plan: { steps: 240, evaluation: { every_steps: 60, sequences: 6 } },
};
const long = (seed: number): PlanOptions => ({ ...LONG, plan: { ...LONG.plan, seed } });

describe.skipIf(python === undefined)("jobs from a file", PATIENT, () => {
  test("become events as a worker reports them, runs of one shape together or one by one", async () => {
    const options: PlanOptions[] = [
      { plan: { seed: 1 } },
      { shape: { d_model: 16 }, plan: { seed: 2, coordinates: { steps: 1 } } },
      { density: 0.25, plan: { seed: 3, evaluation: { every_steps: 4, sequences: 6 } } },
      { learningRate: 1e38, plan: { seed: 4, clip_norm: null } },
    ];
    const [together, apart] = [prepareAway(...options), prepareAway(...options)];
    const weights = ["--weights", "weights"];
    const [a, b] = [together.start("--cohort", "3", ...weights), apart.start(...weights)];
    expect((await a.ended).code).toBe(0);
    // Where nothing is said, how many at once pay is measured, once for the three runs of one shape.
    const measured = await b.ended;
    expect([measured.code, measured.stderr.match(/runs of this shape are trained at once/g)?.length]).toEqual(
      [0, 1],
    );
    for (const plan of together.plans) {
      const [one, other] = [together, apart].map(({ events }) => outcomeOf(readEvents(events), plan));
      expectInOrder(one!.own);
      expectInOrder(other!.own);
      const { attempt, token, body } = one!.own[1]!;
      expect({ attempt, token }).toEqual({ attempt: 1001, token: jobOf(plan).token });
      expect(body).toMatchObject({
        type: "started",
        engine: "musweep-torch",
        device: expect.stringMatching(/^cpu, torch/),
      });
      expect(one!.ends.map((e) => e.body.type)).toEqual([plan.seed === 4 ? "diverged" : "finished"]);
      expect(Object.keys(one!.curve)).toEqual(Object.keys(other!.curve));
      for (const [step, loss] of Object.entries(one!.curve))
        expect(loss!).toBeCloseTo(other!.curve[step]!, 3);
      if (plan.seed !== 4)
        expect(existsSync(join(together.directory, "weights", `${runIdOf(plan)}.safetensors`))).toBe(true);
    }
    expect(readEvents(together.events).some((e) => e.body.type === "coordinates")).toBe(true);
  });

  test("killed at any moment and started again, give each run one end, the one of an undisturbed run", async () => {
    const away = prepareAway(long(1), long(2), long(3));
    const undisturbed = prepareAway(long(1), long(2), long(3));
    const reference = undisturbed.start("--cohort", "2");
    const often = ["--cohort", "2", "--checkpoint-seconds", "0.05"];
    for (const steps of [30, 120]) {
      const { child, ended } = away.start(...often);
      await until(away.events, (text) =>
        [...text.matchAll(/"checkpoint", "step": (\d+)/g)].some(([, step]) => Number(step) >= steps),
      );
      child.kill("SIGKILL");
      await ended;
    }
    // What a machine that lost its power leaves behind.
    writeFileSync(away.events, '{"run": "r', { flag: "a" });
    expect((await away.start(...often).ended).code).toBe(0);
    expect((await reference.ended).code).toBe(0);
    for (const plan of away.plans) {
      const outcome = outcomeOf(readEvents(away.events), plan);
      const expected = outcomeOf(readEvents(undisturbed.events), plan);
      expectInOrder(outcome.own);
      expect(outcome.ends).toHaveLength(1);
      // Not their bits: started again, other runs may be trained together.
      expect(Object.keys(outcome.curve).sort()).toEqual(Object.keys(expected.curve).sort());
      for (const [step, loss] of Object.entries(outcome.curve))
        expect(loss!).toBeCloseTo(expected.curve[step]!, 4);
    }
    const before = readFileSync(away.events);
    // Once more: nothing is left to do.
    const again = await away.start(...often).ended;
    expect(again).toMatchObject({ code: 0, stderr: expect.stringContaining("0 of 3 runs to train") });
    expect(readFileSync(away.events)).toEqual(before);
  });

  test("stop at a signal with a checkpoint, and go on from it", async () => {
    // Too long to end before the signal comes, on any machine.
    const endless = (seed: number): PlanOptions => ({ density: 0.5, plan: { steps: 1_000_000, seed } });
    const away = prepareAway(endless(1), endless(2));
    const [first] = away.plans;
    const ofFirst = () => outcomeOf(readEvents(away.events), first!);
    const steps: number[] = [];
    for (const count of [1, 2]) {
      const { child, ended } = away.start("--cohort", "1", "--checkpoint-seconds", "1000");
      await until(away.events, (text) => text.split('"started"').length > count);
      child.kill("SIGUSR1");
      const { code, stderr } = await ended;
      expect(code).toBe(130);
      expect(stderr).toContain("Stopped by SIGUSR1. The same command goes on.");
      const { own, ends } = ofFirst();
      expect(ends).toEqual([]);
      const checkpoint = own.at(-1)!.body;
      if (checkpoint.type !== "checkpoint") throw new Error(JSON.stringify(checkpoint));
      steps.push(checkpoint.step);
    }
    const started = ofFirst().own.flatMap(({ body }) =>
      body.type === "started" ? [body.resumed_from_step] : [],
    );
    expect(started).toEqual([0, steps[0]]);
    expect(steps[1]).toBeGreaterThanOrEqual(steps[0]!);
  });

  test("that are none are refused with their line, and nothing is written", async () => {
    const away = prepareAway({}, { plan: { seed: 8 } });
    const lines = readFileSync(join(away.directory, "jobs.jsonl"), "utf8");
    const [one, other] = lines.trim().split("\n") as [string, string];
    const refused = async (text: string): Promise<string> => {
      writeFileSync(join(away.directory, "jobs.jsonl"), text);
      const { code, stderr } = await away.start().ended;
      expect(code).toBe(2);
      expect(existsSync(away.events)).toBe(false);
      return stderr;
    };
    expect(await refused(`${one}\n{}\n`)).toContain("jobs.jsonl:2: version: it is missing");
    expect(await refused(`${one}\n${other}\n${one}\n`)).toMatch(/:3: r\w+ is in an earlier line already/);
    const exchanged = { ...JSON.parse(one), run: JSON.parse(other).run };
    expect(await refused(JSON.stringify(exchanged))).toMatch(/:1: the plan of r\w+ is another run's/);
    const unsteady = JSON.parse(one);
    unsteady.plan.groups[1].learning_rate = -1;
    expect(await refused(JSON.stringify(unsteady))).toContain(
      "plan.groups[1].learning_rate: expected a number above 0",
    );
    const deep = `${one.slice(0, -1)},"more":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
    expect(await refused(deep)).toContain(":1: lists or objects within each other, too deep to be read");
    const escaping = await refused(JSON.stringify({ ...JSON.parse(one), "\u001b]0;mine\u0007\u009b2J": 1 }));
    expect(escaping).toContain("\\u001b]0;mine\\u0007\\u009b2J: there is no such field");
    for (const control of ["\u001b", "\u009b"]) expect(escaping).not.toContain(control);
  });

  test.each<[what: string, make: (at: string) => void]>([
    ["a pipe", (at) => void execFileSync("mkfifo", [at])],
    ["a device without end", (at) => symlinkSync("/dev/zero", at)],
  ])("or events that are %s are refused", async (_, make) => {
    const away = prepareAway({});
    make(away.events);
    expect(await away.start().ended).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("events.jsonl cannot be read: it is no regular file"),
    });
    rmSync(join(away.directory, "jobs.jsonl"));
    make(join(away.directory, "jobs.jsonl"));
    expect(await away.start().ended).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("jobs.jsonl cannot be read: it is no regular file"),
    });
  });

  test("that fail are said to have failed, and not tried again by themselves", async () => {
    const away = prepareAway({}, { shape: { d_head: 5 }, plan: { seed: 8 } });
    const first = await away.start().ended;
    expect(first).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("1 finished, 0 diverged, 1 failed"),
    });
    const { ends } = outcomeOf(readEvents(away.events), away.plans[1]!);
    expect(ends.map((e) => e.body)).toMatchObject([{ type: "failed", code: "unsupported", final: true }]);
    const before = readFileSync(away.events);
    expect((await away.start().ended).code).toBe(1);
    expect(readFileSync(away.events)).toEqual(before);
  });

  test("that a lost device or a full disk has interrupted have no end: no other is begun, and the same command goes on", async () => {
    const away = prepareAway({ plan: { seed: 1 } }, { shape: { d_model: 16 }, plan: { seed: 2 } });
    const endsOf = () => away.plans.map((plan) => outcomeOf(readEvents(away.events), plan).ends);
    const expectLeft = ({ code, stderr }: { code: number | null; stderr: string }, why: string) => {
      expect(code).toBe(1);
      expect(stderr).toContain(`${runIdOf(away.plans[0]!)} has not ended: the same command tries it again.`);
      expect(stderr).toContain(
        `Left at ${why}, which the next runs would meet too. The same command goes on.`,
      );
      expect(stderr).not.toContain(runIdOf(away.plans[1]!));
      expect(endsOf()).toEqual([[], []]);
    };
    for (const [message, why] of [
      ["CUDA error: uncorrectable ECC error encountered", "device-lost"],
      // The device works, but no more in this process.
      ["CUDA error: an illegal memory access was encountered", "internal"],
    ] as const) {
      const broken = away.startAs((...options) => inBreakingTorch({ steps: 3, message }, ...options));
      expectLeft(await broken.ended, why);
    }
    // No file of its may grow any more; events are few, checkpoints are not.
    const small = (...options: string[]): TrainerCommandLine => {
      const { command, env } = inTorch(...options);
      return { command: ["bash", "-c", 'ulimit -f 16; exec "$@"', "bash", ...command], env };
    };
    expectLeft(await away.startAs(small, "--checkpoint-seconds", "1e-6").ended, "disk");
    expect((await away.start().ended).code).toBe(0);
    expect(endsOf().map((ends) => ends.map((e) => e.body.type))).toEqual([["finished"], ["finished"]]);
  });

  test("that fail for a reason of their own, which another try may mend, have no end, and the next are trained", async () => {
    const away = prepareAway({ plan: { seed: 1 } }, { shape: { d_model: 16 }, plan: { seed: 2 } });
    const odd = { steps: 3, times: 1, message: "something odd" };
    const { code, stderr } = await away.startAs((...options) => inBreakingTorch(odd, ...options)).ended;
    expect(code).toBe(1);
    expect(stderr).toContain("1 of 2 runs have ended (1 finished, 0 diverged, 0 failed)");
    expect((await away.start().ended).code).toBe(0);
  });

  test("out of memory after some of them have ended: those are left alone, the others go on", async () => {
    const away = prepareAway({ plan: { seed: 1, steps: 2 } }, { plan: { seed: 2, steps: 20 } });
    const short = { steps: 8, times: 1, message: NO_MEMORY };
    const { code, stderr } = await away.startAs(
      (...options) => inBreakingTorch(short, ...options),
      ...["--cohort", "2"],
    ).ended;
    expect(stderr).toContain("Out of memory with 2 runs at once, on with 1");
    expect(code).toBe(0);
    const outcomes = away.plans.map((plan) => outcomeOf(readEvents(away.events), plan));
    for (const [i, { own, ends }] of outcomes.entries()) {
      expect(ends.map((e) => e.body.type)).toEqual(["finished"]);
      expect(own.filter((e) => e.body.type === "started")).toHaveLength(i + 1);
    }
  });

  test("whose data are not there are not begun", async () => {
    const away = prepareAway({});
    const { code, stderr } = await away.start("--data", "elsewhere").ended;
    expect(code).toBe(3);
    expect(stderr).toContain("elsewhere");
    expect(readEvents(away.events)).toEqual([]);
  });
});
