/** The views that people query, against numbers worked by hand, and against the report. */
import { describe, expect, it } from "vitest";
import type { Database } from "../../../orchestrator/database/open.ts";
import { refreshPhase } from "../../../orchestrator/database/optima.ts";
import { readAnswer } from "../../../orchestrator/report/answer.ts";
import {
  Attempt,
  applyAll,
  cellsOf,
  freshDatabase,
  gridText,
  sqliteOf,
  submitText,
  train,
} from "../../support/database.ts";

const all = (db: Database, sql: string) => sqliteOf(db).prepare(sql).all() as Record<string, unknown>[];

/** Trains every cell by what `loss` says: a number, null for a divergence, undefined for not at all. */
function trainGrid(
  db: Database,
  text: string,
  loss: (c: { log2: number; seed: number; sparsity: number }) => number | null | undefined,
): void {
  submitText(db, text);
  for (const { run, coordinates } of cellsOf(text)) {
    const { learning_rate, seed, sparsity } = coordinates;
    const value = loss({ log2: Math.log2(learning_rate), seed, sparsity });
    if (value !== undefined) train(db, run, value);
  }
}

describe("curves", () => {
  it("give mean, spread and counts over seeds", () => {
    const db = freshDatabase();
    const losses: Record<string, number | null | undefined> = {
      "-8 1": 2.0,
      "-8 2": 2.1,
      "-8 3": 2.3,
      "-7 1": 1.5,
      "-7 2": 1.7,
      "-7 3": undefined,
      "-6 1": 4,
      "-6 2": null,
      "-6 3": null,
    };
    trainGrid(db, gridText({ seeds: "[1, 2, 3]" }), ({ log2, seed }) => losses[`${log2} ${seed}`]);
    const rows = all(db, "SELECT * FROM curves ORDER BY log2_lr");
    // Sample standard deviations: of (2, 2.1, 2.3) √(0.14/6) = 0.152753, of (1.5, 1.7) 0.2/√2 = 0.141421.
    expect(rows).toMatchObject([
      { log2_lr: -8, seeds: 3, finished: 3, diverged: 0, min_loss: 2, max_loss: 2.3 },
      { log2_lr: -7, seeds: 3, finished: 2, diverged: 0, min_loss: 1.5, max_loss: 1.7 },
      {
        log2_lr: -6,
        seeds: 3,
        finished: 1,
        diverged: 2,
        min_loss: 4,
        max_loss: 4,
        mean_loss: 4,
        sd_loss: null,
      },
    ]);
    expect(rows[0]!.mean_loss).toBeCloseTo(6.4 / 3, 12);
    expect(rows[0]!.sd_loss).toBeCloseTo(0.152753, 6);
    expect(rows[1]!.mean_loss).toBeCloseTo(1.6, 12);
    expect(rows[1]!.sd_loss).toBeCloseTo(0.141421, 6);
  });
});

describe("run_results", () => {
  it("has a row per grid point with what it is and how it ended", () => {
    const db = freshDatabase();
    const text = gridText({ sparsity: "[0.75]" });
    submitText(db, text);
    const [first, second] = cellsOf(text);
    const lost = new Attempt(first!.run, 1001);
    const kept = new Attempt(first!.run, 1002);
    applyAll(db, [lost.claimed(), lost.started(), kept.claimed(), kept.started(10), kept.finished(2.5)]);
    train(db, second!.run, null);
    expect(all(db, "SELECT * FROM run_results ORDER BY learning_rate")).toMatchObject([
      {
        sweep: "grid",
        phase: "grid",
        parameterization: "supar",
        width: 64,
        layers: 1,
        sparsity: 0.75,
        density: 0.25,
        learning_rate: 0.00390625,
        log2_lr: -8,
        seed: 1,
        outcome: "finished",
        val_loss: 2.5,
        train_loss: 2.6,
        tokens: 2560,
        host: "a-host",
        engine: "musweep-cpu 1.0",
        attempts: 2,
        run: first!.run,
      },
      { log2_lr: -7, outcome: "diverged", val_loss: null, last_finite_loss: 9, step: 7, attempts: 1 },
      { log2_lr: -6, outcome: "pending", val_loss: null, attempts: 0 },
    ]);
  });
});

describe("missing", () => {
  it("lists what has no result and why", () => {
    const db = freshDatabase();
    const text = gridText({ rates: "{ log2: { from: -9, to: -6 } }" });
    submitText(db, text);
    const [finished, diverged, failed] = cellsOf(text);
    train(db, finished!.run, 2);
    train(db, diverged!.run, null);
    const attempt = new Attempt(failed!.run, 1001);
    applyAll(db, [attempt.claimed(), attempt.failed(true, "no memory")]);
    expect(all(db, "SELECT log2_lr, state, error FROM missing ORDER BY log2_lr")).toEqual([
      { log2_lr: -7, state: "failed", error: "no memory" },
      { log2_lr: -6, state: "pending", error: null },
    ]);
  });
});

describe("optima", () => {
  /** A valley that is the same to both sides has its minimum in the middle. */
  const valley = (centre: number) => (log2: number) => 2 + 0.02 * (log2 - centre) ** 2;

  it("find the middle of a symmetric valley, and say when there is none", () => {
    const db = freshDatabase();
    const text = gridText({
      sparsity: "[0, 0.5]",
      rates: "{ log2: { from: -10, to: -4 } }",
      seeds: "[1, 2]",
    });
    trainGrid(db, text, ({ log2, seed, sparsity }) =>
      sparsity === 0 ? valley(-7)(log2) + seed / 1000 : 3 - log2 / 10,
    );
    const [dense, sparse] = all(db, "SELECT * FROM optima ORDER BY sparsity");
    expect(dense).toMatchObject({
      sparsity: 0,
      density: 1,
      flag: "bracketed",
      grid_log2_lr: -7,
      points: 7,
      seeds: 2,
      missing: 0,
    });
    expect(dense!.grid_loss).toBeCloseTo(2.0015, 12);
    expect(dense!.log2_lr).toBeCloseTo(-7, 1);
    expect(dense!.loss).toBeCloseTo(2.0015, 2);
    // Falls to the right all along.
    expect(sparse).toMatchObject({ flag: "at high edge", log2_lr: null, grid_log2_lr: -4 });
    expect(sparse!.grid_loss).toBeCloseTo(3.4, 12);
  });

  it("are the report's, and what a fresh fit of all results says, after every change", () => {
    const db = freshDatabase();
    const text = gridText({
      parameterization: "[mup, supar]",
      sparsity: "[0, 0.5]",
      rates: "{ log2: { from: -9, to: -5 } }",
      seeds: "[1, 2]",
    }).replace("axes:", "axes:\n  width: [32, 64]");
    const DERIVED = ["curve_optima", "curve_transfer", "verdicts", "phase_exponents"];
    const stored = () => DERIVED.map((table) => all(db, `SELECT * FROM ${table} ORDER BY 1, 2, 3`));
    /** What is derived, made from nothing but the results. */
    const afresh = () => {
      for (const table of DERIVED) sqliteOf(db).exec(`DELETE FROM ${table}`);
      for (const { id } of all(db, "SELECT id FROM phases")) refreshPhase(db, id as number);
      return stored();
    };
    const agree = () => {
      const now = stored();
      expect(afresh()).toEqual(now);
      const sweeps = all(db, "SELECT name FROM sweeps") as { name: string }[];
      for (const { name } of sweeps) {
        const { rows, transfer, exponents, level } = readAnswer(db, name);
        for (const [view, answered] of Object.entries({ transfer, exponents, level })) {
          const inSql = sqliteOf(db).prepare(`SELECT * FROM ${view} WHERE sweep = ?`).all(name);
          expect(answered).toHaveLength(inSql.length);
          expect(answered).toEqual(expect.arrayContaining(inSql));
        }
        const sql = sqliteOf(db).prepare("SELECT * FROM optima WHERE sweep = ?").all(name) as {
          curve: string;
        }[];
        expect(sql.length).toBe(rows.length);
        for (const row of rows)
          expect(sql.find((o) => o.curve === row.curve)).toMatchObject({
            ...row.optimum,
            places: JSON.stringify(row.optimum.places),
            parameterization: row.parameterization,
            sparsity: row.sparsity,
          });
      }
    };
    submitText(db, text);
    agree();
    for (const [i, { run, coordinates }] of cellsOf(text).entries()) {
      const log2 = Math.log2(coordinates.learning_rate);
      if (all(db, `SELECT 1 FROM attempts WHERE run_id = '${run}'`).length > 0) continue;
      if (i % 7 === 3) {
        const attempt = new Attempt(run, 1001);
        applyAll(db, [attempt.claimed(), attempt.failed(true)]);
      } else train(db, run, log2 > -6 && coordinates.seed === 2 ? null : valley(-7.3)(log2) + i / 5000);
      if (i % 11 === 0) agree();
    }
    agree();
    submitText(db, gridText({ name: "other", rates: "{ log2: { from: -8, to: -6 } }", seeds: "[1, 2]" }));
    agree();
    submitText(db, text.replace("from: -9", "from: -8"));
    agree();
  });
});
