/** A script under torchrun: two real ranks on gloo, of which one speaks and both stop, resume and draw the same masks. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { describeWithTorch, torchPython } from "../../support/torch-python.ts";
import { temporaryDirectory } from "../trainers/support.ts";
import { scriptPlan } from "./script-plan.ts";
import { runCommand, ScriptProcess, scriptPath } from "./script-process.ts";

const TORCHRUN = [torchPython, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"];

const start = (seen: string, ranks = 2): ScriptProcess =>
  new ScriptProcess([...TORCHRUN, `${ranks}`, scriptPath("ranks.py")], { SEEN: seen, OMP_NUM_THREADS: "1" });

/**
 * A rank's threads may still run when its Python is taken down, which then aborts: after the end of everything, and by no fault of the
 * script or of what is tested.
 */
const ended = async (script: ScriptProcess): Promise<void> => {
  const code = await script.exit();
  const aborts = script.stderr.match(/exitcode +: +-?\d+/g)?.map((line) => line.split(/ +: +/)[1]) ?? [];
  if (code === 0 || (aborts.length > 0 && aborts.every((exit) => exit === "-6"))) return;
  throw new Error(`exit code ${code}\n${script.stderr}`);
};

describeWithTorch("a script under torchrun", () => {
  test("one rank speaks, all stop, and both go on with the same bits", async () => {
    const directory = temporaryDirectory();
    const seen = (from: number): Record<string, unknown>[] =>
      [0, 1].map((rank) =>
        JSON.parse(readFileSync(join(directory, `rank-${rank}-from-${from}.json`), "utf8")),
      );
    const plan = (pause: number) =>
      scriptPlan({ steps: 30, density: 0.25, weightDecay: 0.1, settings: { pause } });

    const undisturbed = start(directory);
    undisturbed.send(runCommand(plan(0), "r1"));
    const expected = await undisturbed.next("finished");
    await ended(undisturbed);
    expect(
      undisturbed.story().filter((s) => s === "ready" || s === "started" || s === "step 7"),
    ).toHaveLength(3);
    for (const rank of [0, 1])
      for (const when of ["before", "after"])
        expect(undisturbed.stderr).toContain(`rank ${rank} prints ${when}`);
    const [zero, one] = seen(0);
    expect(zero).toEqual(one);
    expect(zero).toMatchObject({ steps: 30, zeros: (64 * 64 * 3) / 4 });

    const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 3600 };
    const first = start(directory);
    first.send(runCommand(plan(0.05), "r1", { checkpoint }));
    while ((await first.next("step")).step < 5);
    first.send({ type: "stop", run: "r1" });
    const stopped = await first.next("stopped");
    await ended(first);
    expect(seen(0).map(({ steps }) => steps)).toEqual([stopped.step, stopped.step]);
    expect(readdirSync(checkpoint.directory)).toHaveLength(1);

    const second = start(directory);
    second.send(runCommand(plan(0), "r1", { checkpoint }));
    expect((await second.next("started")).resumed_from_step).toBe(stopped.step);
    expect(await second.next("finished")).toMatchObject({
      train_loss: expected.train_loss,
      validation_loss: expected.validation_loss,
    });
    await second.exit();
    // Dropout of each rank went on where it was: the weights are those of the undisturbed run.
    expect(seen(stopped.step).map(({ weights }) => weights)).toEqual([zero!.weights, zero!.weights]);

    // The worker goes in the middle: no rank is left behind.
    const left = start(directory);
    left.send(runCommand(plan(0.05), "r1"));
    await left.next("step");
    left.child.stdin.end();
    await left.exit();
  }, 600_000);

  test("goes on with more ranks than its checkpoint has random states of, and says so", async () => {
    const directory = temporaryDirectory();
    const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 3600 };
    const plan = (pause: number) => scriptPlan({ steps: 30, settings: { pause } });
    const alone = start(directory, 1);
    alone.send(runCommand(plan(0.05), "r1", { checkpoint }));
    await alone.next("step");
    alone.send({ type: "stop", run: "r1" });
    const { step } = await alone.next("stopped");
    await alone.exit();

    const both = start(directory);
    both.send(runCommand(plan(0), "r1", { checkpoint }));
    expect(await both.next("started")).toMatchObject({
      resumed_from_step: step,
      notes: ["The checkpoint has random states for 1 of 2 ranks: the others are seeded anew."],
    });
    await both.next("finished");
    await both.exit();
  }, 600_000);
});
