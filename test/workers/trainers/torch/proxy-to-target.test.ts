/** One file, one sweep: the proxy trains in the embedded engine, the target in PyTorch with what the proxy found, to the answer. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { musweep, sql, succeed } from "../../../support/musweep.ts";
import { scratch } from "../../../support/scratch.ts";
import { PATIENT, python } from "../engines.ts";

const FILE = `name: both
data: { corpus: moby-dick }
device: cpu
model: { width: 32, layers: 1, d_head: 16, sequence_length: 32 }
training: { steps: 30, batch_size: 4, evaluation: { sequences: 16 } }
base: { width: 32 }
phases:
  - name: proxy
    engine: musweep-cpu
    axes: { parameterization: [supar], learning_rate: { log2: { from: -10, to: -4 } } }
  - name: target
    training: { precision: bfloat16 }
    model: { width: 64 }
    axes:
      parameterization: [supar]
      sparsity: [0, 0.5]
      learning_rate: { from: proxy, at: { sparsity: 0 } }
`;

describe.skipIf(python === undefined)("a proxy on one engine and its target on the other", PATIENT, () => {
  test("train from one file to the answer, each phase where the file says", async () => {
    const place = scratch();
    writeFileSync(join(place.directory, "both.yaml"), FILE);
    const refused = await musweep(place, "run", "both.yaml");
    expect(refused.code).toBe(3);
    expect(refused.stderr).toMatch(
      /phase target needs a cpu worker with PyTorch, which this command would not start[\s\S]*Add --trainer musweep --trainer torch --devices cpu/,
    );
    const { stdout } = await succeed(
      place,
      "run",
      "both.yaml",
      "--slots",
      "2",
      ...["--trainer", "musweep", "--trainer", "torch", "--devices", "cpu", "--python", python!],
    );
    expect(stdout).toContain("0 diverged");
    const engines = sql<{ phase: string; engine: string; runs: number }>(
      place,
      `SELECT phase, substr(engine, 1, instr(engine, ' ') - 1) AS engine, count(*) AS runs
       FROM run_results WHERE outcome = 'finished' GROUP BY 1, 2 ORDER BY 1`,
    );
    expect(engines.map(({ phase, engine }) => [phase, engine])).toEqual([
      ["proxy", "musweep-cpu"],
      ["target", "musweep-torch"],
    ]);
    expect(engines[1]!.runs).toBe(6);
    expect(sql(place, "SELECT sweep FROM optima WHERE phase = 'target'").length).toBe(2);
  });
});
