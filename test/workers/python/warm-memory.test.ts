/** What a warm script holds of the runs before: nothing, or a second model finds no room on its GPU. */
import { expect, test } from "vitest";
import { describeWithTorch } from "../../support/torch-python.ts";
import { scriptPlan } from "./script-plan.ts";
import { runCommand, ScriptProcess, scriptPath } from "./script-process.ts";

describeWithTorch("a warm script", () => {
  test("the model of a run is gone when the next one begins, however it ended", {
    timeout: 300_000,
  }, async () => {
    const script = new ScriptProcess([scriptPath("released.py")]);
    for (const end of ["finished", "diverged", "failed", "finished"]) {
      script.send(runCommand(scriptPlan({ steps: 5, settings: { end } }), `r-${end}`));
      expect((await script.next("step")).metrics).toEqual({ held: 0 });
      expect((await script.end()).type).toBe(end);
    }
  });
});
