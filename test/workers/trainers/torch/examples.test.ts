/** The examples that need PyTorch, as their READMEs say to run them: each sweeps to an optimum. The MLP has a test of its own. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../../../../schema/wire/package.ts";
import { sql, succeed } from "../../../support/musweep.ts";
import { scratch } from "../../../support/scratch.ts";
import { describeWithTorch } from "../../../support/torch-python.ts";
import { PATIENT, python } from "../engines.ts";

/** The example's own file, with a smaller model, fewer steps, and one curve under one parameterization. */
async function sweepSmall(name: string): Promise<void> {
  const place = scratch();
  const example = join(packageRoot(), "examples", name);
  const text = readFileSync(join(example, "sweep.yaml"), "utf8")
    .replace("width: 128,", "width: 64,")
    .replace("steps: 150", "steps: 30")
    .replace("batch_size: 16", "batch_size: 8")
    .replace(/parameterization: .*/, "parameterization: supar")
    .replace(/sparsity: .*/, "sparsity: 0.75")
    .replace(/learning_rate: .*/, "learning_rate: { log2: { from: -11, to: -1, step: 2 } }");
  writeFileSync(join(place.directory, "sweep.yaml"), text);
  const trainer = `${name}=${python} ${join(example, "train.py")}`;
  await succeed(place, "run", "sweep.yaml", "--trainer", trainer, "--slots", "1");
  const [answer] = sql<{ flag: string; loss: number }>(place, "SELECT flag, loss FROM optima");
  expect(answer!.flag).toBe("bracketed");
  // Bytes at random: ln 256 = 5.5.
  expect(answer!.loss).toBeLessThan(4.5);
}

describe.skipIf(python === undefined)("the examples", PATIENT, () => {
  test("nanogpt sweeps to an optimum", () => sweepSmall("nanogpt"));
  describeWithTorch(
    "transformers",
    () => test("huggingface sweeps to an optimum", () => sweepSmall("huggingface")),
    ["transformers", "accelerate"],
  );
});
