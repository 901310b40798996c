/** musweep.py: roles, initial weights, masks, rates, multipliers, schedules. The checks are Python's; here they are run. */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { describeWithTorch, torchPython } from "../../support/torch-python.ts";
import { temporaryDirectory } from "../trainers/support.ts";
import { scriptPlan } from "./script-plan.ts";
import { scriptEnvironment, scriptPath } from "./script-process.ts";

describeWithTorch("musweep.py and a model", () => {
  test("every check of scripts/weights.py holds", async () => {
    const sparse = { density: 0.25, weightDecay: 0.1 };
    const plans = {
      sp: scriptPlan({ ...sparse, parameterization: "sp" }),
      mup: scriptPlan({ ...sparse, parameterization: "mup" }),
      supar: scriptPlan(sparse),
      "supar bernoulli": scriptPlan({ ...sparse, seed: 4294967295, plan: { mask: "bernoulli" } }),
      "supar without schedule": scriptPlan({ ...sparse, schedule: null }),
    };
    const file = join(temporaryDirectory(), "plans.json");
    writeFileSync(file, JSON.stringify(plans));
    const run = promisify(execFile)(torchPython, [scriptPath("weights.py")], {
      env: scriptEnvironment({ PLANS: file }),
      maxBuffer: 1 << 24,
    });
    // unittest lists its tests, and each failure with its trace, on stderr.
    const { stderr } = await run.catch((error: { stderr: string }) => {
      throw new Error(error.stderr.slice(-20_000));
    });
    expect(Number(/Ran (\d+) tests/.exec(stderr)?.[1])).toBeGreaterThan(30);
    expect(stderr).toMatch(/\nOK\n/);
  }, 600_000);
});
