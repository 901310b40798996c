/** Phases as a user meets them: the built command line, real training of tiny models, and restarts in between. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Musweep, musweep, sql, succeed } from "../../support/musweep.ts";
import { type Scratch, scratch } from "../../support/scratch.ts";

interface File {
  steps?: number;
  rates?: string;
  proxy?: string;
  target?: string;
}

/** A proxy of one curve, and targets at two sparsities: 3 rates each. */
function writePhases(place: Scratch, file: File = {}): string {
  writeFileSync(
    join(place.directory, "two.yaml"),
    `name: two
data: { corpus: moby-dick }
model: { width: 32, layers: 1, d_head: 16, sequence_length: 32 }
training: { steps: ${file.steps ?? 30}, batch_size: 4, evaluation: { sequences: 16 } }
base: { width: 32 }
phases:
  - name: proxy
    ${file.proxy ?? ""}
    axes:
      parameterization: [supar]
      learning_rate: ${file.rates ?? "{ log2: { from: -10, to: -4 } }"}
  - name: target
    ${file.target ?? ""}
    axes:
      parameterization: [supar]
      sparsity: [0.5, 0.75]
      learning_rate: { from: proxy, at: { sparsity: 0 } }
`,
  );
  return "two.yaml";
}

const phases = (place: Scratch) =>
  sql<{ name: string; state: string }>(place, "SELECT name, state FROM phases ORDER BY position").map(
    ({ name, state }) => [name, state],
  );
const attempts = (place: Scratch) => sql<{ n: number }>(place, "SELECT count(*) AS n FROM attempts")[0]!.n;
/** Everything that a rerun must not change. */
const points = (place: Scratch) =>
  sql(
    place,
    "SELECT phase, sparsity, learning_rate, run, val_loss, reason FROM run_results ORDER BY 1, 2, 3",
  );

describe("run", () => {
  it("goes from the proxy to the targets by itself, and trains nothing twice when it is run again", async () => {
    const place = scratch();
    const file = writePhases(place);
    const { stdout, stderr } = await succeed(place, "run", file, "--slots", "2");
    expect(stderr).toContain("7 grid points, 7 runs");
    expect(stderr).toContain("Phase target starts with");
    expect(stdout).toMatch(/^two: 13 grid points, 13 runs finished, 0 diverged/);
    expect(phases(place)).toEqual([
      ["proxy", "complete"],
      ["target", "complete"],
    ]);
    const [optimum] = sql<{ log2_lr: number; flag: string }>(
      place,
      "SELECT log2_lr, flag FROM optima WHERE phase = 'proxy'",
    );
    expect(optimum!.flag).toBe("bracketed");
    const rates = sql<{ x: number }>(
      place,
      "SELECT log2_lr AS x FROM run_results WHERE phase = 'target' AND sparsity = 0.5 ORDER BY 1",
    );
    for (const [i, { x }] of rates.entries()) expect(x - optimum!.log2_lr).toBeCloseTo(i - 1, 4);
    expect(stdout).toMatch(/the rate taken is the best one tried in \d of 2 cells/);

    const before = points(place);
    await succeed(place, "run", file);
    expect(points(place)).toEqual(before);
    expect(attempts(place)).toBe(13);
  });

  it("stops before the targets when the proxy is not bracketed, with the reason and exit code 1, unless the file allows it", async () => {
    const place = scratch();
    // Far below where so short a training is best: the highest of them is.
    const rates = "{ log2: { from: -16, to: -14 } }";
    const stopped = await musweep(place, "run", writePhases(place, { rates }));
    expect(stopped.code).toBe(1);
    expect(stopped.stdout).toMatch(
      /target: STOPPED: the optimum of SμPar in phase proxy, sparsity 0 is not bracketed/,
    );
    expect(attempts(place)).toBe(3);
    const status = await succeed(place, "status", "two");
    expect(status.stdout).toMatch(/^two +stopped/m);
    expect(status.stdout).toContain("target: STOPPED: the optimum of SμPar in phase proxy");

    const allowed = await succeed(
      place,
      "run",
      writePhases(place, { rates, target: "allow_unbracketed: true" }),
    );
    expect(allowed.stdout).toMatch(/NOT BRACKETED/);
    expect(
      sql(place, "SELECT DISTINCT log2_lr AS x FROM run_results WHERE phase = 'target' ORDER BY 1"),
    ).toEqual([{ x: -15 }, { x: -14 }, { x: -13 }]);
    expect(attempts(place)).toBe(9);
  });

  it("extends a grid that missed the optimum until it is bracketed, then goes on to the targets", async () => {
    const place = scratch();
    const file = writePhases(place, {
      rates: "{ log2: { from: -12, to: -10 } }",
      proxy: "extend: { max: 9 }",
    });
    const { stdout } = await succeed(place, "run", file, "--slots", "2");
    expect(sql(place, "SELECT flag FROM optima WHERE phase = 'proxy'")).toEqual([{ flag: "bracketed" }]);
    const added = sql<{ x: number; reason: string }>(
      place,
      "SELECT log2_lr AS x, reason FROM run_results WHERE phase = 'proxy' AND reason <> 'grid' ORDER BY 1",
    );
    expect(added[0]).toEqual({ x: -9, reason: "extend: optimum at the high edge of 2^-12 to 2^-10" });
    expect(added.length).toBeLessThanOrEqual(9);
    expect(stdout).toContain("1 point added, extend: optimum at the high edge of 2^-12 to 2^-10");
    expect(phases(place)[1]).toEqual(["target", "complete"]);
    const before = points(place);
    await succeed(place, "run", file);
    expect(points(place)).toEqual(before);
  });

  it.each(["SIGTERM", "SIGKILL"] as const)(
    "killed with %s between the phases goes on to the same targets",
    async (signal) => {
      const place = scratch();
      const file = writePhases(place, { steps: 1500 });
      // A run that was claimed when everything died is taken up again when its lock has run out.
      const lock = ["--lock-seconds", "2"];
      const first = new Musweep(place, ["run", file, ...lock]);
      await first.says(/Phase target starts with/);
      const { code } = await first.signal(signal);
      if (signal === "SIGTERM") expect(code).toBe(130);
      const taken = sql(place, "SELECT taken FROM phases WHERE name = 'target'");
      await place.expectNoProcess();
      await succeed(place, "run", file, "--slots", "2", ...lock);
      expect(sql(place, "SELECT taken FROM phases WHERE name = 'target'")).toEqual(taken);
      expect(sql(place, "SELECT outcome, count(*) AS n FROM run_results GROUP BY 1")).toEqual([
        { outcome: "finished", n: 13 },
      ]);
      expect(phases(place)).toEqual([
        ["proxy", "complete"],
        ["target", "complete"],
      ]);
    },
  );
});

describe("plan and validate", () => {
  it("say what is known, and what waits", async () => {
    const place = scratch();
    const file = writePhases(place);
    const validated = await succeed(place, "validate", file);
    expect(validated.stdout).toContain("13 grid points in 2 phases (proxy 7, target 6)");
    const planned = await succeed(place, "plan", file, "--no-measure");
    expect(planned.stdout).toContain("7 grid points, 7 unique runs");
    expect(planned.stdout).toMatch(
      /Then phase target, once decided \(learning_rate from proxy × 0\.5, 1, 2\): 6 grid points, at most 6 runs/,
    );
  });
});
