/** `musweep run`: from a sweep file to the answer, and what the same file does again. */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Ended, musweep, sql, succeed, writeSweep } from "../support/musweep.ts";
import { type Scratch, scratch } from "../support/scratch.ts";

/** What one `run` left; the tests below only read it, or go on from a copy of it. */
const place = scratch(afterAll);
let first: Ended;

function copyOfPlace(): Scratch {
  const copy = scratch();
  cpSync(place.directory, copy.directory, { recursive: true });
  return copy;
}

beforeAll(async () => {
  const file = writeSweep(place, {
    parameterization: "[mup, supar]",
    rates: "{ log2: { from: -8, to: -2 } }",
    steps: 40,
  });
  first = await musweep(place, "run", file, "--slots", "2");
});

describe("run", () => {
  it("ends with the answer, and leaves no process behind", async () => {
    expect(first).toMatchObject({ code: 0 });
    await place.expectNoProcess();
    // 2 parameterizations × 2 sparsities × 7 rates; at density 1 the two are one training.
    expect(first.stderr).toContain("28 grid points, 21 runs");
    expect(first.stdout).toMatch(/^tiny: 28 grid points, 21 runs finished, 0 diverged/);
  });

  it("prints the table that a query written by hand gives", async () => {
    interface Optimum {
      parameterization: string;
      sparsity: number;
      log2_lr: number | null;
      loss: number | null;
      low: number | null;
      high: number | null;
    }
    const query = `SELECT parameterization, sparsity, log2_lr, loss, log2_lr_low AS low, log2_lr_high AS high
      FROM optima WHERE sweep = 'tiny'`;
    const optima = JSON.parse((await succeed(place, "sql", query, "--json")).stdout) as Optimum[];
    const lines = first.stdout.split("\n");
    const heading = lines.findIndex((line) => line.startsWith("param."));
    const rows = lines.slice(heading + 1, heading + 5).map((line) => line.split(/ {2,}/));
    expect(rows.map((row) => [row[0], row[1], row[2]])).toEqual([
      ["μP", "32", "0"],
      ["μP", "32", "0.5"],
      ["SμPar", "32", "0"],
      ["SμPar", "32", "0.5"],
    ]);
    for (const [title, , sparsity, lr, interval, loss] of rows) {
      const optimum = optima.find(
        (o) => o.parameterization === (title === "μP" ? "mup" : "supar") && o.sparsity === Number(sparsity),
      )!;
      if (optimum.log2_lr !== null) {
        expect(lr).toBe(optimum.log2_lr.toFixed(2));
        expect(loss).toBe(optimum.loss!.toFixed(3));
        expect(interval).toBe(`${optimum.low!.toFixed(2)} to ${optimum.high!.toFixed(2)}`);
      } else {
        expect(lr).toMatch(/^[≥≤?]/);
        const [{ best }] = sql<{ best: number }>(
          place,
          `SELECT min(val_loss) AS best FROM run_results
           WHERE parameterization = '${optimum.parameterization}' AND sparsity = ${sparsity}`,
        ) as [{ best: number }];
        expect(loss).toBe(`≤ ${(Math.ceil(1000 * best) / 1000).toFixed(3)}`);
      }
    }
  });

  it("has trained: each run from a loss near that of guessing a byte to a lower one on held-out text", async () => {
    const rows = sql<{ val_loss: number; first: number; host: string; engine: string; attempts: number }>(
      place,
      `SELECT r.val_loss, r.host, r.engine, r.attempts, m.train_loss AS first
       FROM run_results r JOIN metrics m ON m.run_id = r.run AND m.step = 1`,
    );
    expect(rows.length).toBe(28);
    for (const row of rows) {
      expect(row.first).toBeGreaterThan(4.5);
      expect(row.val_loss).toBeLessThan(row.first);
      expect(row).toMatchObject({ attempts: 1, engine: expect.stringContaining("musweep-cpu") });
    }
  });

  it("says again what report says", async () => {
    const own = copyOfPlace();
    const report = JSON.parse((await succeed(own, "report", "tiny", "--json")).stdout) as { rows: unknown };
    const again = JSON.parse((await succeed(own, "run", "tiny.yaml", "--json")).stdout) as {
      rows: unknown;
    };
    expect(again.rows).toEqual(report.rows);
    const attempts = sql(own, "SELECT count(*) AS n, max(attempt) AS last FROM attempts");
    // The second run trained nothing.
    expect(attempts).toEqual([{ n: 21, last: 1001 }]);
  });

  it("trains only what an extended grid adds", async () => {
    const own = copyOfPlace();
    const before = sql(own, "SELECT run, val_loss FROM run_results ORDER BY run, parameterization");
    const file = join(own.directory, "tiny.yaml");
    writeFileSync(file, readFileSync(file, "utf8").replace("from: -8", "from: -9"));
    const { stderr } = await succeed(own, "run", "tiny.yaml", "--slots", "2");
    // One more rate for three distinct curves.
    expect(stderr).toContain("32 grid points, 24 runs; 21 already trained, 3 to train");
    expect(sql(own, "SELECT count(*) AS n FROM attempts")).toEqual([{ n: 24 }]);
    expect(
      sql(own, "SELECT run, val_loss FROM run_results WHERE log2_lr > -9 ORDER BY run, parameterization"),
    ).toEqual(before);
  });

  it("shares what another sweep has trained", async () => {
    const own = copyOfPlace();
    const other = writeSweep(own, {
      name: "other",
      sparsity: "[0.5]",
      rates: "{ log2: { from: -3, to: -2 } }",
      steps: 40,
    });
    const { stderr } = await succeed(own, "run", other);
    expect(stderr).toContain("2 grid points, 2 runs; 2 already trained, 0 to train");
    // Of nothing, neither FLOPs nor time nor the speed of the machine are told.
    const plan = (await succeed(own, "plan", other)).stdout;
    expect(plan).toMatch(/\n\nNothing is left to train\.\n$/);
    expect(sql(own, "SELECT count(*) AS n FROM attempts")).toEqual([{ n: 21 }]);
  });

  it("calls a rate far too high diverged, which is a result and not a failure", async () => {
    const own = copyOfPlace();
    const file = writeSweep(own, { name: "wall", sparsity: "[0]", rates: "[0.01, 1.0e+30]" });
    await succeed(own, "run", file);
    const rows = sql<{ outcome: string; val_loss: number | null; step: number }>(
      own,
      "SELECT outcome, val_loss, step FROM run_results WHERE sweep = 'wall' ORDER BY learning_rate",
    );
    expect(rows).toMatchObject([{ outcome: "finished" }, { outcome: "diverged", val_loss: null }]);
    expect(rows[1]!.step).toBeLessThanOrEqual(30);
    expect(sql(own, "SELECT count(*) AS n FROM missing")).toEqual([{ n: 0 }]);
  });

  it("names a query to go on with that shows what the curves are over", async () => {
    const own = copyOfPlace();
    const asked = async ({ stdout }: Ended) => {
      const query = /^ {2}musweep sql "(.*)"$/m.exec(stdout)![1]!;
      return JSON.parse((await succeed(own, "sql", query, "--json")).stdout) as Record<string, unknown>[];
    };
    const rates = (await asked(first)).filter(
      (row) => row.parameterization === "supar" && row.sparsity === 0.5,
    );
    expect(rates.map((row) => row.log2_lr)).toEqual([-8, -7, -6, -5, -4, -3, -2]);
    const file = writeSweep(own, { name: "inits", sparsity: "[0]", rates: "[0.01]" });
    const text = readFileSync(join(own.directory, file), "utf8");
    const inits = text.replace("learning_rate: [0.01]", "init_std: { log2: { from: -6, to: -4 } }");
    writeFileSync(
      join(own.directory, file),
      `${inits.replace("base: { width: 32 }", "base: { width: 32, learning_rate: 0.01 }")}tune: init_std\n`,
    );
    const rows = await asked(await succeed(own, "run", file));
    expect(rows.map((row) => row.log2_init_std)).toEqual([-6, -5, -4]);
    expect(rows.every((row) => typeof row.mean_loss === "number")).toBe(true);
  });

  it("and whose rows are told apart by whatever varies", async () => {
    const own = copyOfPlace();
    const withAxes = async (name: string, axes: string) => {
      const file = join(own.directory, writeSweep(own, { name, sparsity: "[0]", rates: "[0.01, 0.02]" }));
      const text = readFileSync(file, "utf8");
      writeFileSync(file, text.replace(/ {2}learning_rate.*\n/, axes));
      const { stdout } = await succeed(own, "run", `${name}.yaml`);
      const query = /^ {2}musweep sql "(.*)"$/m.exec(stdout)![1]!;
      return JSON.parse((await succeed(own, "sql", query, "--json")).stdout) as Record<string, unknown>[];
    };
    const rates = "  learning_rate: [0.01, 0.02]\n";
    const grid = await withAxes("varied", `  layers: [1, 2]\n  clip_norm: [0.5, 1]\n${rates}`);
    const places = grid.map(({ layers, clip_norm, log2_lr }) => `${layers} ${clip_norm} ${log2_lr}`);
    expect([grid.length, new Set(places).size]).toEqual([8, 8]);
    const drawn = await withAxes(
      "drawn",
      "  random: { n: 4, distributions: { learning_rate: { log_uniform: { from: 0.001, to: 0.1 } }, clip_norm: { choice: [0.5, 1] } } }\n",
    );
    expect(drawn.map((row) => Object.keys(row))[0]).toEqual(
      expect.arrayContaining(["learning_rate", "clip_norm", "val_loss"]),
    );
    const losses = drawn.map((row) => row.val_loss as number);
    expect(losses).toEqual(losses.toSorted((a, b) => a - b));
  });
});
