/** Stop, resume, kill: a script that goes on from a checkpoint ends with the bits of one that was never disturbed. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { describeWithTorch } from "../../support/torch-python.ts";
import { temporaryDirectory } from "../trainers/support.ts";
import { scriptPlan } from "./script-plan.ts";
import { runCommand, type ScriptEvent, ScriptProcess, scriptPath } from "./script-process.ts";

const MINUTES = 600_000;
const plan = (pause: number) =>
  scriptPlan({ steps: 40, density: 0.25, weightDecay: 0.1, settings: { pause } });

/** Losses by step, evaluations too; a point that comes twice is one. */
function curve(...attempts: ScriptEvent[][]): Map<string, number> {
  const points = attempts.flat().filter(({ type }) => type === "step" || type === "evaluation");
  return new Map(
    points.map((e) => [`${e.type} ${e.step}`, e.type === "step" ? e.train_loss : e.validation_loss]),
  );
}

async function start(command: object): Promise<ScriptProcess> {
  const script = new ScriptProcess([scriptPath("resumed.py")]);
  await script.next("ready");
  script.send(command);
  return script;
}

const reach = async (script: ScriptProcess, step: number): Promise<void> => {
  while ((await script.next("step")).step < step);
};

describeWithTorch("a script that is interrupted", () => {
  test(
    "stopped, killed and resumed, it ends with the same bits, and passes over a damaged checkpoint",
    async () => {
      const directory = temporaryDirectory();
      const [plain, resumed] = ["plain", "resumed"].map((name) => join(directory, name)) as [string, string];
      const undisturbed = await start(runCommand(plan(0), "r1", { weights_path: plain }));
      const expected = await undisturbed.next("finished");
      expect(expected.weights_path).toBe(plain);

      const checkpoint = { directory: join(directory, "checkpoints"), every_seconds: 0.05 };
      const again = runCommand(plan(0.02), "r1", { checkpoint, weights_path: resumed });
      // Stopped.
      const first = await start(again);
      await reach(first, 8);
      first.send({ type: "stop", run: "r1" });
      const stopped = await first.next("stopped");
      expect(stopped.step).toBeGreaterThanOrEqual(8);
      expect(stopped.checkpoint).toBe(
        join(checkpoint.directory, `step-${String(stopped.step).padStart(9, "0")}`),
      );
      expect(await first.exit()).toBe(0);
      expect(readdirSync(checkpoint.directory)).toHaveLength(2);

      // Resumed, and killed.
      const second = await start(again);
      expect(await second.next("started")).toMatchObject({ resumed_from_step: stopped.step, notes: [] });
      await reach(second, stopped.step + 8);
      second.child.kill("SIGKILL");
      await second.exit();

      // The newest is damaged: the one before is whole.
      const kept = readdirSync(checkpoint.directory)
        .filter((name) => name.startsWith("step-"))
        .toSorted();
      const [older, newest] = kept.slice(-2) as [string, string];
      const state = join(checkpoint.directory, newest, "state.pt");
      const bytes = readFileSync(state);
      bytes[bytes.length >> 1]! ^= 1;
      writeFileSync(state, bytes);
      const third = await start(again);
      expect(await third.next("started")).toMatchObject({
        resumed_from_step: Number(older.slice("step-".length)),
        notes: [`Checkpoint ${newest} was passed over: a file of it is damaged or missing.`],
      });
      const finished = await third.next("finished");

      expect(finished.validation_loss).toBe(expected.validation_loss);
      expect(finished.train_loss).toBe(expected.train_loss);
      const position = (s: ScriptProcess): unknown =>
        s.events.findLast((e) => e.type === "evaluation")!.position;
      expect(position(third)).toBe(position(undisturbed));
      expect(readFileSync(resumed).equals(readFileSync(plain))).toBe(true);
      expect(readFileSync(plain).length).toBeGreaterThan(4 * 64 * 64);
      // No point of the curve is lost, whichever attempt said it, and none is another.
      expect(curve(first.events, second.events, third.events)).toEqual(curve(undisturbed.events));
      // Seconds are those of all attempts.
      expect(finished.seconds).toBeGreaterThan(40 * 0.02);
    },
    MINUTES,
  );

  test("a checkpoint of another run is passed over", { timeout: MINUTES }, async () => {
    const directory = temporaryDirectory();
    const checkpoint = { directory, every_seconds: 3600 };
    const first = await start(runCommand(plan(0.01), "r1", { checkpoint }));
    await reach(first, 3);
    first.send({ type: "stop", run: "r1" });
    await first.next("stopped");
    const second = await start(runCommand(plan(0), "r2", { checkpoint }));
    const { resumed_from_step, notes } = await second.next("started");
    expect(resumed_from_step).toBe(0);
    expect(notes[0]).toMatch(/^Checkpoint step-\d{9} was passed over: it belongs to r1\.$/);
    await second.next("finished");
    expect(readdirSync(directory).filter((name) => name.startsWith("."))).toEqual([]);
  });

  test("a coordinate check starts anew, and writes no checkpoint", { timeout: MINUTES }, async () => {
    const directory = temporaryDirectory();
    const checkpoint = { directory, every_seconds: 0.001 };
    const measured = { ...plan(0.01), coordinates: { steps: 10 } };
    const script = await start(runCommand(measured, "r1", { checkpoint }));
    await reach(script, 3);
    script.send({ type: "stop", run: "r1" });
    expect(await script.next("stopped")).toMatchObject({ checkpoint: null });
    expect(readdirSync(directory)).toEqual([]);
  });
});
