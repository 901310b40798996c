/** What a worker makes of trainers that misbehave: real processes, a TrainerFailure with code and message, nothing left. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { MAX_LINE_BYTES, type RunCommand } from "../../schema/wire/protocol.ts";
import { TrainerFailure } from "../../workers/trainer-failure.ts";
import { TrainerProcess } from "../../workers/trainer-process.ts";
import { type Scratch, scratch, until } from "../support/scratch.ts";
import { makePlan } from "./trainers/support.ts";

const PROGRAM = fileURLToPath(new URL("../fixtures/trainers/misbehaving.mjs", import.meta.url));

const command = (directory: string): RunCommand => ({
  type: "run",
  run: "r1",
  plan: makePlan(),
  data_directory: directory,
  checkpoint: null,
  weights_path: null,
  report_every_steps: 1,
  memory_limit_bytes: null,
});

/** Starts the trainer, asks it for a run, and ends it as a worker would. */
async function failureOf(
  place: Scratch,
  line: string[],
  silenceMs = 30_000,
  onRemark: (remark: string) => void = () => undefined,
): Promise<TrainerFailure> {
  let trainer: TrainerProcess | undefined;
  try {
    trainer = await TrainerProcess.start(line, { env: place.env, silenceMs, onRemark });
    const end = await trainer.run(command(place.directory), () => undefined);
    throw new Error(`the run ended with ${JSON.stringify(end)}`);
  } catch (error) {
    if (error instanceof TrainerFailure) return error;
    throw error;
  } finally {
    await trainer?.end();
  }
}

const misbehaving = (fault: string, ...more: string[]): string[] => [
  process.execPath,
  PROGRAM,
  fault,
  ...more,
];

describe("a trainer that misbehaves", () => {
  it.each<[fault: string, code: string, message: RegExp, retryable: boolean]>([
    ["crash at start", "trainer-exited", /ended by exit code 3 before it was ready: no usable device$/, true],
    ["another protocol", "trainer-protocol", /speaks protocol 3, this worker 1 and 2/, false],
    ["no greeting", "trainer-protocol", /first line was "step", not "ready"/, false],
    ["crash mid run", "trainer-exited", /ended by exit code 7 in the middle of its work/, true],
    ["killed mid run", "trainer-exited", /ended by signal SIGKILL/, true],
    ["garbage", "trainer-protocol", /line 2 of its output is not JSON: "Epoch 1\/10: loss 3\.21"/, true],
    ["half a line", "trainer-exited", /ended by exit code 0/, true],
    ["endless line", "trainer-protocol", new RegExp(`longer than ${MAX_LINE_BYTES} bytes`), true],
    ["bare NaN", "trainer-protocol", /line 2 of its output is not JSON: .*NaN/, true],
    ["step beyond the end", "trainer-protocol", /a "step" at step 999999999, of a run that has 12/, true],
    ["finished before started", "trainer-protocol", /a "finished" before "started"/, true],
    ["started twice", "trainer-protocol", /a second "started"/, true],
    ["weights elsewhere", "trainer-protocol", /weights at a path that it was not told/, true],
    ["flood of unknown events", "trainer-flood", /wrote 10000 events that say nothing new/, true],
    ["flood of checkpoints", "trainer-flood", /wrote 10000 events that say nothing new/, true],
    ["flood of evaluations", "trainer-protocol", /a "evaluation" at step 13, of a run that has 12/, true],
    ["missing field", "trainer-protocol", /no known event \(train_loss: /, true],
    ["impossible loss", "trainer-protocol", /no known event \(validation_loss: .*>0/, true],
    ["another run", "trainer-protocol", /an event of another run, r-of-somebody-else/, true],
    ["second greeting", "trainer-protocol", /a second "ready"/, true],
    ["failed, try again", "unsupported", /This engine knows no ALiBi\./, true],
    ["failed for good", "unsupported", /This engine knows no ALiBi\./, false],
  ])("%s: %s", async (fault, code, message, retryable) => {
    const place = scratch();
    const failure = await failureOf(place, misbehaving(fault));
    expect(failure.code).toBe(code);
    expect(failure.message).toMatch(message);
    expect(failure.retryable).toBe(retryable);
    await place.expectNoProcess();
  });

  it.each(["silent at start", "silent mid run"])(
    "%s: trainer-silent, after the time allowed",
    async (fault) => {
      const place = scratch();
      // Long enough for the process to start, short enough to wait for.
      const failure = await failureOf(place, misbehaving(fault), 2000);
      expect(failure.code).toBe("trainer-silent");
      expect(failure.message).toBe("the trainer said nothing for 2 s");
      expect(failure.retryable).toBe(true);
      await place.expectNoProcess();
    },
  );

  it("that cannot be started says which program, and is not tried again", async () => {
    const place = scratch();
    const failure = await failureOf(place, [join(place.directory, "no-such-trainer")]);
    expect(failure.code).toBe("trainer-start");
    expect(failure.message).toMatch(/cannot start .*no-such-trainer: no such program; is it on the PATH/);
    expect(failure.retryable).toBe(false);
  });

  it("leaves the end of its stderr with the failure", async () => {
    expect((await failureOf(scratch(), misbehaving("crash mid run"))).logTail).toContain("out of luck");
    expect((await failureOf(scratch(), misbehaving("crash at start"))).logTail).toContain("no usable device");
  });

  it.each([
    ["ignores SIGTERM", "trainer-protocol"],
    ["crash with a child", "trainer-exited"],
  ])("%s: is killed with its children", async (fault, code) => {
    const place = scratch();
    const pids = join(place.directory, "pids");
    const failure = await failureOf(place, misbehaving(fault, pids));
    expect(failure.code).toBe(code);
    expect(existsSync(pids)).toBe(true);
    for (const pid of JSON.parse(readFileSync(pids, "utf8")) as number[]) {
      // A killed grandchild is reaped by init, a moment later.
      await expect.poll(() => isRunning(pid), { timeout: 10_000 }).toBe(false);
    }
  });

  it("leaves a child elsewhere that holds its output open: its own end is noticed all the same", async () => {
    const place = scratch();
    const pids = join(place.directory, "pids");
    const failure = await failureOf(place, misbehaving("crash with a child elsewhere", pids));
    const [, child] = JSON.parse(readFileSync(pids, "utf8")) as [number, number];
    expect(isRunning(child)).toBe(true);
    process.kill(child, "SIGKILL");
    expect(failure.code).toBe("trainer-exited");
    expect(failure.message).toContain("ended by exit code 7 in the middle of its work");
  });

  it("says more than this worker knows: further fields are left out, an unknown event is remarked on once", async () => {
    const remarks: string[] = [];
    const failure = await failureOf(scratch(), misbehaving("unknown events"), 30_000, (remark) =>
      remarks.push(remark),
    );
    expect(failure.code).toBe("unsupported");
    expect(remarks).toEqual([
      'the trainer writes events of type "progress", which this worker does not know and passes over',
    ]);
  });

  it("ends by a signal when it has finished a run: the run is finished, and the end is remarked on", async () => {
    const place = scratch();
    const remarks: string[] = [];
    const trainer = await TrainerProcess.start(misbehaving("aborted after its end"), {
      env: place.env,
      silenceMs: 30_000,
      onRemark: (remark) => remarks.push(remark),
    });
    const end = await trainer.run(command(place.directory), () => undefined);
    expect(end).toMatchObject({ type: "finished", validation_loss: 2 });
    await until(() =>
      expect(remarks).toEqual(["a trainer that had nothing left to do ended by signal SIGABRT"]),
    );
    expect(trainer.usable).toBe(false);
    await trainer.end();
  });

  it.each(["flood of steps", "flood on stderr"])(
    "%s: others go on beside it, and memory stays",
    async (fault) => {
      const place = scratch();
      const before = process.memoryUsage().rss;
      const flooding = await TrainerProcess.start(misbehaving(fault), { env: place.env, silenceMs: 30_000 });
      let last = 0;
      const plan = makePlan({ plan: { steps: 100_000_000 } });
      const run = flooding.run({ ...command(place.directory), plan }, (event) => {
        if (event.type === "step") last = event.step;
      });
      const ended = expect(run).rejects.toMatchObject({ code: "trainer-ended" });
      for (let i = 0; i < 3; i++)
        expect((await failureOf(place, misbehaving("failed for good"))).code).toBe("unsupported");
      if (fault === "flood of steps") await until(() => expect(last).toBeGreaterThan(100_000));
      await flooding.end(0);
      await ended;
      expect(process.memoryUsage().rss - before).toBeLessThan(300 * 2 ** 20);
    },
  );

  it("does not start to answer: it is ended when nobody waits for it any more", async () => {
    const place = scratch();
    const over = new AbortController();
    const starting = TrainerProcess.start(misbehaving("silent at start"), {
      env: place.env,
      silenceMs: 60_000,
      signal: over.signal,
    });
    over.abort();
    await expect(starting).rejects.toMatchObject({ code: "trainer-ended" });
    await place.expectNoProcess();
  });
});

const isRunning = (pid: number): boolean => {
  try {
    // A zombie that nobody has waited for yet still takes signals.
    process.kill(pid, 0);
    return !existsSync(`/proc/${pid}/stat`) || !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
};
