/** A phase that is a search, in the database: which runs it adds, what counts as done, when it ends; losses are given by hand. */
import { describe, expect, it } from "vitest";
import type { Database } from "../../../orchestrator/database/open.ts";
import { readPhases } from "../../../orchestrator/database/phases.ts";
import { progressOf } from "../../../orchestrator/database/progress.ts";
import { advancePhases } from "../../../orchestrator/phases/advance.ts";
import { simulateSearches } from "../../../orchestrator/phases/simulate-search.ts";
import { phaseLines } from "../../../orchestrator/report/phase-states.ts";
import { expandPhase } from "../../../orchestrator/sweep/expand-sweep.ts";
import { freshDatabase, sqliteOf, submitText, train } from "../../support/database.ts";

const text = (extra: string, name = "sought") => `name: ${name}
data: { corpus: moby-dick }
model: { layers: 1, d_head: 16, sequence_length: 32 }
training: { steps: 20, batch_size: 4 }
base: { width: 32 }
noise: 0.1%
${extra}
axes:
  parameterization: [supar]
  width: [32, 64, 128]
  learning_rate: { log2: { from: -10, to: -4 } }
  seed: { count: 3 }
`;
const SEARCH = "search: { until: decided }";

interface Row {
  run: string;
  width: number;
  seed: number;
  log2_lr: number;
  outcome: string;
  reason: string;
}
const rowsOf = (db: Database, sweep = "sought"): Row[] =>
  sqliteOf(db)
    .prepare<[string], Row>("SELECT * FROM run_results WHERE sweep = ? ORDER BY width, seed, log2_lr")
    .all(sweep);

/** 1% an octave² around each width's optimum. */
const loss = (optima: Record<number, number>) => (row: Row) =>
  3 *
  Math.exp(0.01 * (row.log2_lr - optima[row.width]!) ** 2) *
  (1 + 0.0004 * Math.sin(7 * row.log2_lr + 3 * row.seed));
const STILL = { 32: -7.2, 64: -7.2, 128: -7.2 };
const MOVING = { 32: -7.2, 64: -9, 128: -11 };

/** Trains what is open, a look at a time. @returns how many runs each look had */
function trainOut(db: Database, optima: Record<number, number>, until = Number.POSITIVE_INFINITY): number[] {
  const looks: number[] = [];
  while (looks.length < until) {
    const open = rowsOf(db).filter((row) => row.outcome === "pending");
    if (open.length === 0) break;
    looks.push(open.length);
    for (const row of open) train(db, row.run, loss(optima)(row));
    advancePhases(db, { slots: 4 });
  }
  return looks;
}
const stateOf = (db: Database) => readPhases(db, progressOf(db, "sought").id)[0]!;

describe("a search", () => {
  it("trains a part of the grid, says why each run is there, and what decided it", () => {
    const db = freshDatabase();
    submitText(db, text(SEARCH));
    advancePhases(db);
    const first = rowsOf(db);
    expect(first.map((row) => [row.width, row.log2_lr])).toEqual(
      [32, 64].flatMap((width) => [-8.5, -7, -5.5].map((rate) => [width, rate])),
    );
    expect(new Set(first.map((row) => row.reason))).toEqual(
      new Set(["search: start in the middle of the file's rates"]),
    );
    trainOut(db, STILL);
    expect(stateOf(db)).toMatchObject({ state: "complete", search: { stopped: "decided" } });
    expect(rowsOf(db).every((row) => row.reason.startsWith("search: "))).toBe(true);
    expect(stateOf(db).search!.share).toBeLessThan(0.5);
    expect(sqliteOf(db).prepare("SELECT verdict FROM verdicts").pluck().all()).toEqual(["transfers"]);
  });

  it("never trains the widest where a narrower one loses surely", () => {
    const db = freshDatabase();
    submitText(db, text(SEARCH));
    advancePhases(db);
    trainOut(db, MOVING);
    expect(stateOf(db).search).toMatchObject({ stopped: "decided" });
    expect(rowsOf(db).filter((row) => row.width === 128)).toEqual([]);
  });

  it("goes on as it was from the database alone, submitted again or not", () => {
    const [whole, torn] = [freshDatabase(), freshDatabase()];
    for (const db of [whole, torn]) {
      submitText(db, text(SEARCH));
      advancePhases(db);
    }
    trainOut(whole, STILL);
    for (;;) {
      const looks = trainOut(torn, STILL, 1);
      submitText(torn, text(SEARCH));
      advancePhases(torn, { slots: 4 });
      if (looks.length === 0) break;
    }
    const told = (db: Database) => rowsOf(db).map(({ run, reason }) => [run, reason]);
    expect(told(torn)).toEqual(told(whole));
  });

  it("counts what was trained before, and keeps to its budget of runs that it adds", () => {
    const db = freshDatabase();
    submitText(db, text("", "grid"));
    for (const row of rowsOf(db, "grid").filter((r) => r.width === 32)) train(db, row.run, loss(STILL)(row));
    submitText(db, text("search: { until: decided, budget: 8 }"));
    advancePhases(db);
    const earlier = rowsOf(db).filter((row) => row.reason === "search: trained before");
    expect(earlier).toHaveLength(21);
    trainOut(db, STILL);
    expect(rowsOf(db)).toHaveLength(29);
    expect(stateOf(db).search).toMatchObject({ stopped: "its budget is spent", added: 8, earlier: 21 });
  });

  it("says that its budget is too small, where that does not reach for one run", () => {
    const db = freshDatabase();
    submitText(db, text("search: { until: decided, budget: 0.1% }"));
    advancePhases(db);
    expect(rowsOf(db)).toEqual([]);
    expect(phaseLines(progressOf(db, "sought"))).toEqual([
      "Phases of sought:",
      "  grid: complete, 0 grid points",
      "    search: 0 runs, 0.0% of the grid's FLOPs (budget 0.1%)",
      "    open: SμPar across width: cost at width 64, width 128",
      "    no more runs: its budget is less than its first run costs",
    ]);
  });

  it("says of nothing that it transfers while a curve has no run: its budget ended before", () => {
    const db = freshDatabase();
    submitText(db, text("", "grid"));
    for (const row of rowsOf(db, "grid").filter((r) => r.width < 128)) train(db, row.run, loss(STILL)(row));
    submitText(db, text("search: { until: decided, budget: 1% }"));
    advancePhases(db);
    expect(stateOf(db).search).toMatchObject({
      stopped: "its budget is spent",
      questions: [{ state: "open", says: "cost at width 128" }],
    });
    const verdict = () =>
      sqliteOf(db).prepare("SELECT * FROM verdicts WHERE phase_id = ?").get(stateOf(db).id);
    expect(verdict()).toMatchObject({
      verdict: "inconclusive",
      drift_verdict: "inconclusive",
      cost_verdict: "open",
      costs_at_most: null,
      within: null,
      more_seeds: null,
      sentence:
        "transfers by cost up to width 64; open at 128: no run there yet, with a larger budget the search goes on",
    });
    submitText(db, text(SEARCH));
    advancePhases(db);
    trainOut(db, STILL);
    expect(verdict()).toMatchObject({ verdict: "transfers", cost_verdict: "costs at most" });
  });

  it("goes on where it was with a larger budget, and with another question of its runs", () => {
    const db = freshDatabase();
    const budget = (runs: number) => text(`search: { until: decided, budget: ${runs} }`);
    submitText(db, budget(8));
    advancePhases(db);
    trainOut(db, STILL);
    const before = rowsOf(db);
    expect(stateOf(db)).toMatchObject({
      state: "complete",
      search: { stopped: "its budget is spent", added: 8 },
    });

    expect(submitText(db, budget(9))).toMatchObject({ points: 8, removed: 0 });
    advancePhases(db);
    trainOut(db, STILL);
    expect(stateOf(db).search).toMatchObject({ stopped: "its budget is spent", added: 9, earlier: 0 });
    expect(rowsOf(db)).toEqual(expect.arrayContaining(before));

    const asked = [
      "margin: { cost: 2% }",
      "criterion: octaves",
      "pooling: none",
      "search: { until: decided, batch: 2 }",
    ];
    for (const line of asked)
      expect(submitText(db, text(line.startsWith("search") ? line : `${SEARCH}\n${line}`))).toMatchObject({
        points: 9,
        removed: 0,
      });
    expect(submitText(db, text(SEARCH).replace("noise: 0.1%\n", ""))).toMatchObject({
      points: 9,
      removed: 0,
    });
    // Another training is another search.
    expect(submitText(db, text(SEARCH).replace("steps: 20", "steps: 40"))).toMatchObject({
      points: 0,
      removed: 9,
    });
  });

  it("goes on where it was in a phase that takes its rates from another, which stay as they are", () => {
    const db = freshDatabase();
    const phases = (budget: number) => `${text("").split("axes:")[0]}phases:
  - name: proxy
    model: { width: 32 }
    axes: { parameterization: [supar], learning_rate: { log2: { from: -10, to: -4 } } }
  - name: wider
    search: { until: decided, budget: ${budget} }
    axes:
      parameterization: [supar]
      width: [64, 128]
      learning_rate: { from: proxy, multiples: [0.125, 0.25, 0.5, 1, 2, 4, 8] }
`;
    submitText(db, phases(4));
    trainOut(db, STILL);
    const before = rowsOf(db);
    expect(submitText(db, phases(5))).toMatchObject({ removed: 0, waiting: [] });
    advancePhases(db);
    trainOut(db, STILL);
    expect(rowsOf(db)).toEqual(expect.arrayContaining(before));
    const [, wider] = readPhases(db, progressOf(db, "sought").id);
    expect(wider!.search).toMatchObject({ added: 5, earlier: 0 });
  });

  it("is replayed on results that exist: what it would have said and cost beside their grid", () => {
    const db = freshDatabase();
    submitText(db, text("", "grid"));
    for (const row of rowsOf(db, "grid")) train(db, row.run, loss(STILL)(row));
    submitText(db, text(SEARCH));
    const { phase, data } = stateOf(db).definition;
    const [simulation, ...others] = simulateSearches(db, [{ phase, expansion: expandPhase(phase, data) }], 2);
    expect(others).toEqual([]);
    expect(simulation).toMatchObject({
      curves: "results of this database",
      draws: 2,
      same: 1,
      decided: { grid: 1, search: 1 },
      wrong: { grid: 0, search: 0 },
      runs: { grid: 63 },
    });
    expect(simulation!.share).toBeLessThan(0.5);
  });

  it("of a curve that stands alone has no verdicts to be right or wrong", () => {
    const db = freshDatabase();
    submitText(db, text(SEARCH).replace("[32, 64, 128]", "32"));
    const { phase, data } = stateOf(db).definition;
    for (const simulation of simulateSearches(db, [{ phase, expansion: expandPhase(phase, data) }], 1))
      expect(simulation).toMatchObject({
        same: null,
        decided: { grid: null, search: null },
        wrong: { grid: null, search: null },
      });
  });
});
