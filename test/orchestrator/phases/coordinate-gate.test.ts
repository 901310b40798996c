/** Coordinate checks in the database: what is stored of them, and the phase that waits for one. Sizes are given by hand. */
import { describe, expect, it } from "vitest";
import type { Database } from "../../../orchestrator/database/open.ts";
import { progressOf } from "../../../orchestrator/database/progress.ts";
import { advancePhases } from "../../../orchestrator/phases/advance.ts";
import { readAnswer } from "../../../orchestrator/report/answer.ts";
import { answerText } from "../../../orchestrator/report/answer-text.ts";
import { COORDINATE_MODULES, type ModuleSize } from "../../../schema/wire/coordinates.ts";
import { Attempt, applyAll, freshDatabase, sqliteOf, submitText } from "../../support/database.ts";

const text = (check = "", parameterization = "[sp, supar]"): string => `name: gated
data: { corpus: moby-dick }
model: { width: 64, layers: 1, d_head: 16, sequence_length: 32 }
training: { steps: 20, batch_size: 4 }
base: { width: 32 }
coordinate_check: { density: [1, 0.5], seeds: 2, steps: 1, required: true, ${check} }
axes:
  parameterization: ${parameterization}
  learning_rate: [0.01, 0.02]
`;

interface Row {
  run: string;
  phase: string;
  parameterization: string;
  width: number;
  density: number;
  outcome: string;
}
const rowsOf = (db: Database): Row[] => sqliteOf(db).prepare("SELECT * FROM run_results").all() as Row[];
const states = (db: Database) =>
  Object.fromEntries(progressOf(db, "gated").phases.map((p) => [p.name, p.state]));
const reasonOf = (db: Database) => progressOf(db, "gated").phases.find((p) => p.name === "grid")!.reason;

const sizes = (size: number): ModuleSize[] =>
  COORDINATE_MODULES.map((module) => ({
    module,
    layer: module === "embedding" || module === "logits" ? null : 0,
    size,
    change: size,
  }));

/** Ends every pending run of the check; null: it diverges, undefined: it ends without having been measured. */
function measure(db: Database, size: (row: Row) => number | null | undefined): void {
  const pending = new Map(
    rowsOf(db)
      .filter((row) => row.outcome === "pending" && row.phase.endsWith("coordinate-check"))
      .map((row) => [row.run, row]),
  );
  for (const row of pending.values()) {
    const attempt = new Attempt(row.run, 1001);
    const value = size(row);
    applyAll(db, [
      attempt.claimed(),
      attempt.started(),
      ...(typeof value === "number" ? [0, 1].map((step) => attempt.coordinates(step, sizes(value))) : []),
      value === null ? attempt.diverged(1) : attempt.finished(5, 1),
    ]);
  }
  advancePhases(db);
}

/** As theory has it: SP's sizes are in proportion to density. */
const inTheory = (row: Row): number => (row.parameterization === "sp" ? row.density : 1);

describe("a phase whose coordinate check is required", () => {
  it("waits for it, and starts when every parameterization keeps its rules' word; SP has given none", () => {
    const db = freshDatabase();
    expect(submitText(db, text())).toMatchObject({ points: 8, runs: 8, waiting: ["grid"] });
    advancePhases(db);
    expect(states(db)).toEqual({ "grid.coordinate-check": "active", grid: "waiting" });
    measure(db, inTheory);
    expect(states(db)).toEqual({ "grid.coordinate-check": "complete", grid: "active" });
    expect(progressOf(db, "gated")).toMatchObject({ points: 12 });

    const slopes = sqliteOf(db)
      .prepare(
        `SELECT parameterization, claimed, min(slope) AS low, max(slope) AS high, group_concat(DISTINCT verdict) AS verdicts
         FROM coordinate_slopes WHERE axis = 'density' GROUP BY 1, 2 ORDER BY 1`,
      )
      .all();
    expect(slopes).toEqual([
      { parameterization: "sp", claimed: 0, low: 1, high: 1, verdicts: "not flat" },
      { parameterization: "supar", claimed: 1, low: 0, high: 0, verdicts: "flat" },
    ]);
    const rows = sqliteOf(db).prepare("SELECT * FROM coordinates WHERE parameterization = 'sp'").all();
    expect(rows).toHaveLength(2 * 2 * 2 * COORDINATE_MODULES.length);
    expect(rows.find((row) => (row as { module: string }).module === "logits")).toMatchObject({
      sweep: "gated",
      phase: "grid.coordinate-check",
      layer: null,
      step: 0,
    });
  });

  it("stops when sizes do not stay where the rules say so, and says which", () => {
    const db = freshDatabase();
    submitText(db, text());
    measure(db, (row) => row.density);
    expect(states(db)).toEqual({ "grid.coordinate-check": "complete", grid: "stopped" });
    expect(reasonOf(db)).toContain(
      "its coordinate check did not pass: SμPar along density (layers 1, width 64): not flat, embedding in the initial network: slope +1.00 (+1.00 to +1.00)",
    );
    expect(reasonOf(db)).not.toContain("SP along");
    // Judged again with another tolerance: nothing is trained again, and the phase starts.
    expect(submitText(db, text("tolerance: 1.5"))).toMatchObject({ new_runs: 0 });
    advancePhases(db);
    expect(states(db)).toEqual({ "grid.coordinate-check": "complete", grid: "active" });
  });

  it.each([
    ["one value", "d_head: 32", 32],
    ["two values", "d_head: [16, 32]", 16],
    ["a value for each width", "together: [{ width: 32, d_head: 16 }, { width: 64, d_head: 32 }]", 16],
  ])("tests width where d_head is an axis of the grid with %s", (_what, axis, d_head) => {
    const db = freshDatabase();
    submitText(
      db,
      text("width: [32, 64]").replace("density: [1, 0.5], ", "").replace("axes:", `axes:\n  ${axis}`),
    );
    measure(db, (row) => row.width);
    expect(states(db).grid).toBe("stopped");
    expect(reasonOf(db)).toContain(`SμPar along width (d_head ${d_head}, density 1, layers 1): not flat`);
  });

  it("does not start where no line brings the values of a claimed axis together", () => {
    const db = freshDatabase();
    submitText(db, text());
    // As if something else of the networks had changed with density.
    sqliteOf(db)
      .prepare("UPDATE cells SET coordinates = json_set(coordinates, '$.clip_norm', 1 - sparsity)")
      .run();
    measure(db, inTheory);
    expect(states(db).grid).toBe("stopped");
    expect(reasonOf(db)).toMatch(/SμPar along density \(clip_norm 1, layers 1, width 64\): inconclusive/);
    expect(readAnswer(db, "gated").checks).toMatchObject([{ passed: false }]);
  });

  it.each<[string, null | undefined, RegExp]>([
    ["diverged", null, /not flat, .*runs diverged or are missing/],
    [
      "was not measured, by a trainer that does not know how",
      undefined,
      /inconclusive, .*diverged or are missing/,
    ],
  ])("stops when a run of the check %s", (_what, ends, reason) => {
    const db = freshDatabase();
    submitText(db, text());
    measure(db, (row) => (row.parameterization === "supar" && row.density < 1 ? ends : 1));
    expect(states(db).grid).toBe("stopped");
    expect(reasonOf(db)).toMatch(reason);
  });

  it("has nothing to wait for once the section is gone", () => {
    const db = freshDatabase();
    submitText(db, text());
    measure(db, (row) => row.density);
    submitText(db, text().replace("required: true", "required: false"));
    advancePhases(db);
    expect(states(db)).toEqual({ grid: "active" });
    expect(sqliteOf(db).prepare("SELECT count(*) AS n FROM coordinate_fits").get()).toEqual({ n: 0 });
  });

  it("is in the answer with its slopes, and on no curve", () => {
    const db = freshDatabase();
    submitText(db, text());
    const before = answerText(readAnswer(db, "gated"));
    expect(before).toContain("slopes are known when every run has ended");
    measure(db, inTheory);
    const answer = readAnswer(db, "gated");
    expect(answer.checks).toMatchObject([{ phase: "grid.coordinate-check", passed: true, steps: 1 }]);
    expect(answer.rows.every((row) => row.phase === "grid")).toBe(true);
    expect(answerText(answer)).toContain("SμPar along density (layers 1, width 64): flat\n");
    expect(answerText(answer)).toContain("does not see weight decay");
  });

  it("has slopes only while it is complete", () => {
    const db = freshDatabase();
    submitText(db, text());
    measure(db, inTheory);
    const count = () =>
      (sqliteOf(db).prepare("SELECT count(*) AS n FROM coordinate_slopes").get() as { n: number }).n;
    expect(count()).toBeGreaterThan(0);
    submitText(db, text("layers: [1, 2]"));
    advancePhases(db);
    expect(count()).toBe(0);
    expect(states(db)).toEqual({ "grid.coordinate-check": "active", grid: "waiting" });
  });
});
