/** The example that ships, as its README says to run it: a sweep to an answer, and what the coordinate check sees of its rules. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { packageRoot } from "../../schema/wire/package.ts";
import { musweep, sql, succeed } from "../support/musweep.ts";
import { scratch } from "../support/scratch.ts";
import { describeWithTorch, torchPython } from "../support/torch-python.ts";

const MINUTES = 600_000;
const place = scratch(afterAll);
const TRAINER = `mlp=${torchPython} ${join(packageRoot(), "examples", "mlp", "train.py")}`;
const HEAD = `trainer: mlp
model: { width: 256, layers: 3 }
base: { width: 256, init_std: 0.0884, alpha_input: 0.5, alpha_output: 1 }
`;
const write = (name: string, text: string): void => writeFileSync(join(place.directory, name), text);

describeWithTorch("the MLP", () => {
  it("sweeps to an optimum", { timeout: MINUTES }, async () => {
    write(
      "mlp.yaml",
      `name: mlp
${HEAD}training: { steps: 100, batch_size: 128, warmup_steps: 5 }
axes: { parameterization: supar, sparsity: 0.75, learning_rate: { log2: { from: -9, to: -4 } } }
`,
    );
    await succeed(place, "run", "mlp.yaml", "--trainer", TRAINER, "--slots", "1");
    expect(sql(place, "SELECT flag FROM optima")).toEqual([{ flag: "bracketed" }]);
  });

  it("along density SP loses half an octave a masked layer, and SμPar nothing", {
    timeout: MINUTES,
  }, async () => {
    write(
      "check.yaml",
      `name: check
${HEAD}training: { batch_size: 128 }
coordinate_check: { parameterization: [sp, supar], sparsity: [0, 0.75, 0.9375], seeds: 3, steps: 2, batch_size: 128 }
`,
    );
    await musweep(place, "coord-check", "check.yaml", "--trainer", TRAINER, "--slots", "1");
    const slopes = sql<{ parameterization: string; layer: number; slope: number }>(
      place,
      `SELECT parameterization, layer, slope FROM coordinate_slopes
       WHERE module = 'hidden' AND quantity = 'size' AND step = 0 ORDER BY parameterization, layer`,
    );
    // A sum over a quarter of the inputs is half as large: 1/2 a layer; SμPar's deviation 1/√m_ρ makes up for it.
    const expected = [0.5, 1, 1.5, 0, 0, 0];
    expect(slopes.map(({ parameterization: p, layer }) => `${p} ${layer}`)).toEqual(
      ["sp", "supar"].flatMap((p) => [0, 1, 2].map((layer) => `${p} ${layer}`)),
    );
    for (const [i, { slope }] of slopes.entries()) expect(Math.abs(slope - expected[i]!)).toBeLessThan(0.15);
  });
});
