/** The benchmark for GPUs runs from end to end, on models of no size, and measures the models that the sweep files name. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { expandPhase } from "../../orchestrator/sweep/expand-sweep.ts";
import { parseSweep } from "../../orchestrator/sweep/parse-sweep.ts";
import { flopsPerToken, parameterCount, tokenCount } from "../../schema/wire/cost.ts";
import { packageRoot } from "../../schema/wire/package.ts";
import { modelCells } from "../support/model-cells.ts";
import { inTorch, PATIENT, python } from "../workers/trainers/engines.ts";
import { temporaryDirectory } from "../workers/trainers/support.ts";

const run = promisify(execFile);
const bench = join(packageRoot(), "bench");
const sweepFile = join(packageRoot(), "sweeps", "target-610m.yaml");
const env = (): NodeJS.ProcessEnv => ({ ...process.env, ...inTorch().env, OMP_NUM_THREADS: "1" });

describe.skipIf(python === undefined)("bench/gpu.py", PATIENT, () => {
  test("measures every part", async () => {
    const out = join(temporaryDirectory(), "gpu.json");
    const { stdout } = await run(
      python!,
      [join(bench, "gpu.py"), "--tiny", "--device", "cpu", "--out", out],
      {
        env: env(),
      },
    );
    const result = JSON.parse(readFileSync(out, "utf8"));
    expect(JSON.stringify(result)).not.toContain('"error"');
    expect(result.counting).toMatch(/^FLOPs of a token/);
    expect(result.environment).toMatchObject({ torch: expect.stringMatching(/^2\./), device: "cpu" });
    expect(result.compared.eager).toEqual({
      masked_weights_that_differ: 0,
      largest_difference_of_initial_weights: 0,
      largest_difference_of_losses: 0,
    });
    for (const part of ["target", "proxy"]) {
      expect(result[part].tokens_per_second).toBeGreaterThan(0);
      expect(result[part].share_of_roofline).toBeGreaterThan(0);
    }
    expect(
      result.cohorts.map((r: Record<string, unknown>) => [r.tokens_per_step, r.replicas, r.mode]),
    ).toEqual([
      [64, 1, "eager"],
      [64, 2, "eager"],
      [128, 1, "eager"],
      [128, 2, "eager"],
    ]);
    expect(stdout).toContain("| tokens a step | runs at once |");
  });

  test("goes on after what fails, and begins nothing that would end too late", async () => {
    const program = `
import json, torch, gpu
clock = gpu.Clock(torch.device("cpu"), 1000)
def out_of_memory():
    raise torch.OutOfMemoryError("no room\\nfor this")
found = [clock.attempt(out_of_memory), clock.attempt(lambda: {"fits": True})]
clock.longest = 2000
found.append(clock.attempt(lambda: {"fits": True}))
found.append(gpu.model(gpu.sizes(True)["proxy"], "eager", type("Options", (), {"pad": 8}), clock, {"error": "no speeds"}, None, 0.01)["share_of_roofline"])
print(json.dumps(found))
rows = gpu.cohorts(gpu.sizes(True)["cohorts"][:1], ("graphs",), None, gpu.Clock(torch.device("cpu"), 1000), lambda rows: None, 0.01)
print(json.dumps(rows))
print(gpu.told({"environment": gpu.environment(torch.device("cpu")), "target": found[0], "cohorts": rows}))`;
    const { stdout } = await run(python!, ["-c", program], {
      env: { ...env(), PYTHONPATH: `${env().PYTHONPATH}:${bench}` },
    });
    const [found, rows, ...told] = stdout.split("\n");
    expect(JSON.parse(found!)).toEqual([
      { error: "OutOfMemoryError: no room" },
      { fits: true },
      { error: "not measured: out of time" },
      null,
    ]);
    expect(JSON.parse(rows!)).toMatchObject([
      { mode: "graphs", error: expect.stringContaining("nothing was compiled") },
    ]);
    expect(told.join("\n")).toContain("OutOfMemoryError: no room");
  });

  test("counts the models of sweeps/target-610m.yaml as the rest of musweep does", async () => {
    const program = `
import json, gpu
from musweep_torch.plan import flops_per_token, parameter_count
plans = [gpu.plan_of(**gpu.sizes(False)[name]) for name in ("proxy", "target")]
print(json.dumps([[parameter_count(p), p["shape"]["layers"], p["shape"]["d_model"], flops_per_token(p), p["batch_size"] * p["shape"]["sequence_length"]] for p in plans]))`;
    const { stdout } = await run(python!, ["-c", program], {
      env: { ...env(), PYTHONPATH: `${env().PYTHONPATH}:${bench}` },
    });
    const counted = JSON.parse(stdout) as number[][];
    const { phases } = parseSweep(readFileSync(sweepFile, "utf8"), sweepFile);
    const axes = { parameterization: ["supar" as const], learning_rate: [2 ** -6] };
    const identity = { hash: "0123456789abcdef", vocab_size: 50_257 };
    for (const [i, name] of ["proxy", "target"].entries()) {
      const [cell] = modelCells(
        expandPhase({ ...phases.find((p) => p.name === name)!, axes }, identity).cells(),
      );
      const { plan } = cell!;
      const { layers, d_model } = plan.shape;
      expect(counted[i]).toEqual([
        parameterCount(plan),
        layers,
        d_model,
        flopsPerToken(plan),
        tokenCount(plan) / plan.steps,
      ]);
    }
  });
});
