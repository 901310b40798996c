/** A sweep from its file to its answer with the trainer in PyTorch, through queue and database as users run it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { musweep, succeed } from "../../../support/musweep.ts";
import { scratch } from "../../../support/scratch.ts";
import { PATIENT, python } from "../engines.ts";

const SWEEP = (name: string, precision: string) => `
name: ${name}
data: { corpus: moby-dick, tokenizer: bytes }
model: { layers: 1, d_head: 8, sequence_length: 32 }
training: { steps: 20, batch_size: 4, precision: ${precision}, evaluation: { sequences: 8 } }
base: { width: 16 }
axes:
  parameterization: [supar]
  width: [16]
  sparsity: [0, 0.5]
  learning_rate: [0.01, 0.02, 0.04]
`;

describe.skipIf(python === undefined)("musweep run --trainer torch", PATIENT, () => {
  test("trains a sweep; the embedded engine then has nothing to do", async () => {
    const place = scratch();
    const file = join(place.directory, "sweep.yaml");
    writeFileSync(file, SWEEP("tiny", "float32"));
    const torch = ["--trainer", "torch", "--python", python!, "--devices", "cpu", "--slots", "1"];
    await succeed(place, "run", file, ...torch);
    const query = `SELECT r.state, r.engine, a.device, count(*) AS runs
      FROM runs r JOIN attempts a ON a.run_id = r.id GROUP BY 1, 2, 3`;
    const { stdout } = await succeed(place, "sql", query, "--json");
    expect(JSON.parse(stdout)).toEqual([
      {
        state: "finished",
        engine: "musweep-torch 1",
        device: expect.stringMatching(/^cpu, torch 2\./),
        runs: 6,
      },
    ]);
    const again = await succeed(place, "run", file);
    expect(again.stderr).toContain("6 already trained, 0 to train");
  });

  test("passes the check of trainers", async () => {
    const place = scratch();
    const file = join(place.directory, "sweep.yaml");
    writeFileSync(file, SWEEP("checked", "float32").replace("steps: 20", "steps: 400"));
    const torch = ["--trainer", "torch", "--python", python!, "--devices", "cpu", "--slots", "1"];
    const { stdout } = await succeed(place, "trainer", "check", file, ...torch, "--json");
    const findings = JSON.parse(stdout) as { verdict: string }[];
    expect(findings.filter(({ verdict }) => verdict !== "passed")).toEqual([]);
    expect(findings.length).toBeGreaterThan(5);
  });

  test("trains in bfloat16 what the embedded engine refuses", async () => {
    const place = scratch();
    const file = join(place.directory, "sweep.yaml");
    writeFileSync(file, SWEEP("half", "bfloat16"));
    expect(await musweep(place, "run", file)).toMatchObject({
      code: 3,
      stderr: expect.stringContaining("with PyTorch"),
    });
    await succeed(place, "run", file, "--trainer", "torch", "--python", python!, "--slots", "1");
  });

  test("says what to install where a Python has no PyTorch, before anything is begun", async () => {
    const place = scratch();
    const file = join(place.directory, "sweep.yaml");
    writeFileSync(file, SWEEP("none", "float32"));
    const { code, stderr } = await musweep(
      place,
      "run",
      file,
      "--trainer",
      "torch",
      "--python",
      "/nonexistent/python",
    );
    expect(code).toBe(3);
    expect(stderr).toContain("/nonexistent/python: There is no such program. ".trim());
  });
});
