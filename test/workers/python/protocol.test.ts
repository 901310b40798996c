/** A script that imports musweep.py, as a worker sees it: a process on the other side of two pipes, whatever it prints. No PyTorch. */
import { execFileSync, spawnSync } from "node:child_process";
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { makePlan, temporaryDirectory } from "../trainers/support.ts";
import { scriptPlan } from "./script-plan.ts";
import { runCommand, ScriptProcess, scriptEnvironment, scriptPath } from "./script-process.ts";

const MINUTES = 300_000;

describe("a plan for a script alone", () => {
  test.each<[what: string, make: (at: string) => void, says: string]>([
    ["a pipe", (at) => void execFileSync("mkfifo", [at]), "it is no regular file"],
    ["a device without end", (at) => symlinkSync("/dev/zero", at), "it is no regular file"],
    ["too deep", (at) => writeFileSync(at, "[".repeat(100_000)), "it is too deep"],
    ["too large", (at) => writeFileSync(at, " ".repeat(2 << 20)), "it is larger than 1048576 bytes"],
  ])("that is %s is refused", async (_, make, says) => {
    const plan = join(temporaryDirectory(), "plan\u001b[31m.json");
    make(plan);
    const { status, stderr } = spawnSync("python3", [scriptPath("warm.py"), "--musweep-plan", plan], {
      env: scriptEnvironment({ MUSWEEP_THREADS: "" }),
      encoding: "utf8",
    });
    expect(status).toBe(1);
    expect(stderr).toMatch(/PlanError: cannot read the plan .*plan\\u001b\[31m\.json: /);
    expect(stderr).toContain(says);
  });
});

describe("a script as a trainer", () => {
  test("prints, warnings, programs and questions do not break the conversation", async () => {
    const script = new ScriptProcess(["python3", scriptPath("noisy.py")]);
    expect(await script.next("ready")).toMatchObject({
      protocol: 1,
      engine: "noisy",
      device: "cpu",
      single_run: true,
    });
    script.send(runCommand(scriptPlan(), "r1", { report_every_steps: 5 }));
    const finished = await script.next("finished");
    expect(await script.exit()).toBe(0);
    expect(script.story()).toEqual(
      ["ready", "started", "step 1", "step 5", "evaluation 8", "step 10", "step 15", "evaluation 16"].concat([
        "step 20",
        "evaluation 20",
        "finished 20",
      ]),
    );
    expect(script.events[1]).toMatchObject({ resumed_from_step: 0, parameters: 0, notes: [] });
    expect(script.events[3]).toMatchObject({ step: 5, train_loss: 0.6, gradient_norm: 0.5 });
    expect(script.events[3]!.metrics).toEqual({ accuracy: 0.25 });
    expect(script.events[3]!.tokens_per_second).toBeGreaterThan(0);
    expect(finished).toMatchObject({ train_loss: 0.15, validation_loss: 0.125, tokens: 1280, flops: 20_000 });
    for (const said of [
      "before musweep starts",
      "Epoch 1/10: loss 3.21",
      "width 64, seed 1",
      "half a line, ",
      "something is deprecated",
      "past Python's own buffer",
      "a program says hello\nand its input was empty",
      "another Python",
      "captured b'mine\\n'",
      "nobody answers",
      '"somebody else"',
      "the last word",
      "phase is not kept: 'warm' is no number.",
    ])
      expect(script.stderr).toContain(said);
  });

  test(
    "a warm script trains one run after the other, and none harms the next",
    async () => {
      const script = new ScriptProcess(["python3", scriptPath("warm.py")]);
      expect(await script.next("ready")).toMatchObject({ single_run: false });
      let runs = 0;
      const directory = temporaryDirectory();
      const run = async (mode: string, more: Record<string, unknown> = {}, plan = {}) => {
        const command = runCommand(scriptPlan({ settings: { mode }, plan }), `r${++runs}`, more);
        script.send(command);
        const end = await script.end();
        expect(end.run).toBe(`r${runs}`);
        return end;
      };
      const learns = { type: "finished", step: 20, train_loss: 1.8, validation_loss: 1.5, tokens: 200 };
      expect(await run("learn")).toMatchObject(learns);

      expect(await run("not a number")).toMatchObject({
        type: "diverged",
        step: 4,
        reason: "non-finite",
        last_finite_loss: 1.97,
      });
      expect(await run("not a number, and fails of it")).toMatchObject({ type: "diverged", step: 4 });
      expect(await run("infinite gradient")).toMatchObject({
        type: "diverged",
        step: 3,
        reason: "non-finite",
      });
      expect(await run("no validation loss")).toMatchObject({ type: "diverged", step: 20 });
      expect(await run("above", {}, { divergence: { patience_steps: 6 } })).toMatchObject({
        type: "diverged",
        step: 11,
        reason: "above-initial",
        last_finite_loss: 5,
      });
      expect(await run("above")).toMatchObject({ type: "finished" });

      const failures: [mode: string, message: RegExp, code: string, retryable: boolean][] = [
        ["fail", /^RuntimeError: out of luck \(warm.py, line \d+\)$/, "internal", true],
        ["exit", /^SystemExit: 3/, "internal", true],
        ["lose the device", /^RuntimeError: CUDA error: .*busy or unavailable/, "device-lost", true],
        ["misuse the device", /^RuntimeError: CUDA error: device-side assert/, "internal", true],
        ["break", /ended at step 2 of 20: loop over run.steps\(\) to its end/, "script", false],
        ["silent", /never called run.report/, "script", false],
        ["no evaluation", /without run.evaluate\(validation_loss=…\) after the last step/, "script", false],
        ["accuracy", /validation_loss is 0: musweep compares/, "script", false],
      ];
      for (const [mode, message, code, retryable] of failures) {
        const end = await run(mode);
        expect(end).toMatchObject({ type: "failed", code, retryable });
        expect(end.message).toMatch(message);
      }
      expect(script.stderr).toContain('raise RuntimeError("out of luck")');

      // Plans and commands that cannot be obeyed.
      script.send(runCommand(makePlan() as never, "r-built-in"));
      expect(await script.end()).toMatchObject({ run: "r-built-in", code: "unsupported", retryable: false });
      expect(await run("learn", {}, { mask: "blocks" })).toMatchObject({ code: "unsupported" });
      expect(await run("learn", {}, { roles: null })).toMatchObject({
        code: "invalid-command",
        message: "The plan cannot be trained: the plan has no valid roles: null.",
      });
      for (const [line, name] of [
        ["Epoch 1/10\n", "unknown"],
        ["[1, 2]\n", "unknown"],
        ['{"type": "train", "run": "r1"}\n', "r1"],
        ['{"type": "run"}\n', "unknown"],
        [`${"[".repeat(100_000)}${"]".repeat(100_000)}\n`, "unknown"],
      ] as const) {
        script.write(line);
        expect(await script.end()).toMatchObject({ code: "invalid-command", run: name, retryable: false });
      }
      script.send({ type: "stop", run: "r1" });
      // What it says is for a log that a terminal may show.
      script.send({ type: "stop", run: "\u001b]0;mine\u0007\u009b2J" });

      // One at a time; stop and cancel name the run that they mean.
      const checkpoint = { directory, every_seconds: 3600 };
      const long = scriptPlan({ steps: 100_000, settings: { mode: "endless" } });
      script.send(runCommand(long, "r-long", { checkpoint }));
      await script.next("step");
      script.send(runCommand(long, "r-second"));
      expect(await script.end()).toMatchObject({ run: "r-second", code: "busy", retryable: true });
      script.send({ type: "cancel", run: "r-second" });
      script.send({ type: "cancel", run: "r-long" });
      expect(await script.end()).toMatchObject({ run: "r-long", type: "stopped", checkpoint: null });
      script.send(runCommand(long, "r-long", { checkpoint }));
      await script.next("step");
      script.send({ type: "stop", run: "r-long" });
      const stopped = await script.end();
      expect(stopped).toMatchObject({ run: "r-long", type: "stopped" });
      expect(stopped.checkpoint).toContain(directory);
      script.send(
        runCommand(scriptPlan({ steps: 100_000, settings: { mode: "no checkpoint" } }), "r-bare", {
          checkpoint,
        }),
      );
      expect((await script.next("started")).notes).toEqual([
        "The script has no run.checkpoint: stopped, it starts anew.",
      ]);
      script.send({ type: "stop", run: "r-bare" });
      expect(await script.end()).toMatchObject({ type: "stopped", checkpoint: null });
      expect(await run("learn")).toMatchObject(learns);

      // The worker goes in the middle of a run.
      script.send(runCommand(long, "r-last"));
      await script.next("step");
      script.child.stdin.end();
      expect(await script.exit()).toBe(0);
      expect(script.stderr).toContain("no run \\u001b]0;mine\\u0007\\u009b2J to stop");
    },
    MINUTES,
  );

  test.each([false, true])("children of a script say nothing to the worker, spawned: %s", async (spawn) => {
    const script = new ScriptProcess(["python3", scriptPath("children.py")]);
    script.send(runCommand(scriptPlan({ steps: 3, settings: { spawn } }), "r1"));
    expect(await script.next("finished")).toMatchObject({ train_loss: 0.125, validation_loss: 1 });
    expect(await script.exit()).toBe(0);
    expect(script.story()).toEqual([
      ...["ready", "started", "step 1", "step 2", "step 3", "evaluation 3", "finished 3"],
    ]);
    expect(script.stderr).toContain("ZeroDivisionError");
    if (spawn) {
      expect(script.stderr).toContain('put its body under if __name__ == "__main__":');
      expect(script.stderr).toContain("the spawned child ended with 1");
    }
  });

  test("signals that stop all processes of a job end no script, and each process that it starts", async () => {
    const script = new ScriptProcess(["python3", scriptPath("signals.py")]);
    script.send(runCommand(scriptPlan({ steps: 100_000 }), "r1"));
    const { step } = await script.next("step");
    for (const signal of ["SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2"] as const) script.child.kill(signal);
    for (let after = step; after < step + 5; ) after = (await script.next("step")).step;
    script.send({ type: "stop", run: "r1" });
    expect(await script.end()).toMatchObject({ type: "stopped" });
    expect(await script.exit()).toBe(0);
    expect(script.stderr).toContain("the child ended with -15");
  });

  test("a script that ends before a worker has spoken to it ends quietly", async () => {
    const script = new ScriptProcess(["python3", scriptPath("warm.py")]);
    await script.next("ready");
    script.child.stdin.end();
    expect(await script.exit()).toBe(0);
    expect(script.story()).toEqual(["ready"]);
  });

  test("a line that is no command ends the script", async () => {
    const script = new ScriptProcess(["python3", scriptPath("warm.py")]);
    await script.next("ready");
    script.write("x".repeat((1 << 20) + 2));
    expect(await script.exit()).toBe(2);
    expect(script.stderr).toContain("this is not the trainer protocol");
  });

  test("a script whose run has ended takes no other", async () => {
    const script = new ScriptProcess(["python3", scriptPath("noisy.py")]);
    script.send(runCommand(scriptPlan(), "r1"));
    script.send(runCommand(scriptPlan(), "r2"));
    expect(await script.next("failed")).toMatchObject({ run: "r2", code: "busy", retryable: true });
    expect(await script.next("finished")).toMatchObject({ run: "r1" });
    expect(await script.exit()).toBe(0);
  });
});
