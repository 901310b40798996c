/** `musweep coord-check` and the gate, as a user runs them: real training of tiny networks. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { openDatabase } from "../../orchestrator/database/open.ts";
import { browser, openApp } from "../orchestrator/dashboard/start-app.ts";
import { type Ended, musweep, sql, succeed } from "../support/musweep.ts";
import { scratch } from "../support/scratch.ts";

const place = scratch(afterAll);
/** Only the initial network is judged strictly enough to fail: with one step the rest is much the same. */
const SECTION = "density: [1, 0.25], seeds: 3, steps: 2, tolerance: 0.5";
const write = (name: string, rest: string): string => {
  const text = `name: ${name}
data: { corpus: moby-dick }
model: { width: 64, layers: 1, d_head: 16, sequence_length: 32 }
training: { steps: 20, batch_size: 4, evaluation: { sequences: 16 } }
base: { width: 64 }
${rest}
`;
  writeFileSync(join(place.directory, `${name}.yaml`), text);
  return `${name}.yaml`;
};
let file: string;
let first: Ended;

beforeAll(async () => {
  file = write(
    "tiny",
    `coordinate_check: { ${SECTION} }
axes: { parameterization: [mup, supar], sparsity: [0], learning_rate: [0.01] }`,
  );
  first = await musweep(
    place,
    "coord-check",
    file,
    "--slots",
    "2",
    "--svg",
    "figures",
    "--html",
    "check.html",
  );
});

describe("coord-check", () => {
  it("measures, judges, draws, and ends with 0: μP does not promise what it does not keep", async () => {
    expect(first, first.stderr).toMatchObject({ code: 0 });
    // 2 parameterizations × 2 densities × 3 seeds; at density 1 the two are one training.
    expect(first.stderr).toContain("12 grid points, 9 runs");
    expect(first.stdout).toMatch(
      /^μP along density .*: not flat, .*; its rules do not say that it would be flat$/m,
    );
    expect(first.stdout).toMatch(/^SμPar along density .*: flat$/m);
    expect(first.stdout).toContain("PASSED");
    expect(first.stdout).toContain("does not see weight decay");
    expect(existsSync(join(place.directory, "figures", "coordinates-by-density.svg"))).toBe(true);
    expect(readFileSync(join(place.directory, "check.html"), "utf8")).toContain(
      "Do activations keep their size?",
    );
    await place.expectNoProcess();
  });

  it("trains no grid, and again nothing at all", async () => {
    const named = ["--parameterizations", "μP,SμPar"];
    const again = await succeed(place, "coord-check", file, ...named, "--json");
    expect(again.stderr).toContain("9 already trained, 0 to train");
    expect(JSON.parse(again.stdout)).toMatchObject({
      sweep: "tiny.coordinate-check",
      checks: [{ passed: true }],
    });
    expect(sql(place, "SELECT DISTINCT sweep, phase FROM run_results")).toEqual([
      { sweep: "tiny.coordinate-check", phase: "grid.coordinate-check" },
    ]);
    // A row for each of the runs' 3 measurements of 5 modules, twice where two parameterizations share a run.
    expect(sql(place, "SELECT count(*) AS n FROM coordinates")).toEqual([{ n: 12 * 3 * 5 }]);
  });

  it("has its figures on its page, and to take away", async () => {
    const db = openDatabase(join(place.directory, ".musweep", "musweep.db"));
    onTestFinished(() => db.close());
    const { app } = openApp(undefined, db);
    const at = "/sweeps/tiny.coordinate-check";
    const text = await (await app.request(at, { headers: browser })).text();
    expect(text).toContain("Mean absolute activation on held-out text against density");
    expect(text).not.toContain("Nothing fits the filters");
    const files = [...text.matchAll(/\/files\/(coordinates-by-density\.(?:svg|png))"/g)].map((m) => m[1]!);
    expect(files).toEqual(["coordinates-by-density.svg", "coordinates-by-density.png"]);
    for (const name of files) expect((await app.request(`${at}/files/${name}`)).status).toBe(200);
  });

  it("with other settings measures what is new, and ends with 1 when a promise is not kept", async () => {
    const strict = await musweep(
      place,
      "coord-check",
      file,
      "--parameterizations",
      "supar",
      "--tolerance",
      "0.0001",
    );
    expect(strict).toMatchObject({ code: 1 });
    expect(strict.stderr).toContain("6 already trained, 0 to train");
    expect(strict.stdout).toContain("NOT PASSED");
  });

  it("refuses what it cannot check, with the place", async () => {
    expect(await musweep(place, "coord-check", file, "--widths", "64,100")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("width 100 is not divisible by d_head 16"),
    });
    const bad = await musweep(place, "coord-check", file, "--densities", "1,2,x");
    expect(bad).toMatchObject({ code: 2, stderr: expect.stringContaining("--densities") });
  });
});

describe("a required check", () => {
  const axes = "axes: { parameterization: [supar], sparsity: [0], learning_rate: [0.01] }";

  it("that passes lets its phase start; what was measured before is used", async () => {
    const gated = write("gated", `coordinate_check: { ${SECTION}, required: true }\n${axes}`);
    const { stderr, stdout } = await succeed(place, "run", gated);
    expect(stderr).toContain("6 already trained, 0 to train");
    expect(stdout).toContain("grid.coordinate-check: complete, 6 grid points");
    expect(stdout).toContain("grid: complete, 1 grid point");
  });

  it("that does not pass stops it, and says why", async () => {
    const strict = write(
      "strict",
      `coordinate_check: { ${SECTION.replace("0.5", "0.0001")}, required: true }\n${axes}`,
    );
    const { code, stdout } = await musweep(place, "run", strict);
    expect(code).toBe(1);
    expect(stdout).toMatch(/grid: STOPPED: its coordinate check did not pass: SμPar along density/);
    expect(
      sql(place, "SELECT count(*) AS n FROM run_results WHERE sweep = 'strict' AND phase = 'grid'"),
    ).toEqual([{ n: 0 }]);
  });
});
