/** What submitting does to runs and grid points: what is new, what is shared, what is left over. */
import { describe, expect, it } from "vitest";
import { removeSweep } from "../../../orchestrator/database/keep-and-remove.ts";
import type { Database } from "../../../orchestrator/database/open.ts";
import { cancelSweep } from "../../../orchestrator/database/stop-and-requeue.ts";
import {
  Attempt,
  applyAll,
  atOnce,
  cellsOf,
  freshDatabase,
  gridText,
  sqliteOf,
  storingText,
  submitText,
  train,
} from "../../support/database.ts";

const rates = (...exponents: number[]) => `[${exponents.map((e) => 2 ** e).join(", ")}]`;
const states = (db: Database) =>
  Object.fromEntries(
    (
      sqliteOf(db).prepare("SELECT state, count(*) AS n FROM runs GROUP BY state").all() as {
        state: string;
        n: number;
      }[]
    ).map(({ state, n }) => [state, n]),
  );
const pointsOf = (db: Database, sweep: string) =>
  (
    sqliteOf(db).prepare("SELECT log2_lr FROM run_results WHERE sweep = ? ORDER BY log2_lr").all(sweep) as {
      log2_lr: number;
    }[]
  ).map((row) => row.log2_lr);

describe("submitting", () => {
  it("the same file again brings nothing", () => {
    const db = freshDatabase();
    const text = gridText({ rates: rates(-8, -7, -6) });
    expect(submitText(db, text)).toEqual({
      sweep: "grid",
      points: 3,
      added: 3,
      removed: 0,
      runs: 3,
      new_runs: 3,
      done: 0,
      failed: 0,
      engines: [],
      waiting: [],
    });
    for (const { run } of cellsOf(text)) train(db, run, 3);
    expect(submitText(db, text)).toMatchObject({ added: 0, removed: 0, new_runs: 0, done: 3 });
    expect(states(db)).toEqual({ finished: 3 });
    expect(sqliteOf(db).prepare("SELECT revision FROM sweeps").get()).toEqual({ revision: 1 });
  });

  it("an extended grid adds what is new alone", () => {
    const db = freshDatabase();
    const text = gridText({ rates: rates(-8, -7) });
    submitText(db, text);
    for (const { run } of cellsOf(text)) train(db, run, 3);
    const extended = gridText({ rates: rates(-9, -8, -7, -6) });
    expect(submitText(db, extended)).toMatchObject({ points: 4, added: 2, removed: 0, new_runs: 2, done: 2 });
    expect(states(db)).toEqual({ finished: 2, pending: 2 });
    expect(pointsOf(db, "grid")).toEqual([-9, -8, -7, -6]);
    expect(sqliteOf(db).prepare("SELECT revision, file FROM sweeps").get()).toEqual({
      revision: 2,
      file: extended,
    });
  });

  it("a smaller grid drops points, cancels what nobody has trained yet, and keeps results", () => {
    const db = freshDatabase();
    const text = gridText({ rates: rates(-9, -8, -7, -6) });
    submitText(db, text);
    const [first, second] = cellsOf(text);
    train(db, first!.run, 3);
    train(db, second!.run, 2);
    expect(submitText(db, gridText({ rates: rates(-8, -7) }))).toMatchObject({
      points: 2,
      added: 0,
      removed: 2,
      new_runs: 0,
      done: 1,
    });
    expect(pointsOf(db, "grid")).toEqual([-8, -7]);
    expect(states(db)).toEqual({ finished: 2, pending: 1, cancelled: 1 });
    // The dropped result is there for whoever asks again.
    expect(submitText(db, text)).toMatchObject({ added: 2, new_runs: 0, done: 2 });
    expect(states(db)).toEqual({ finished: 2, pending: 2 });
  });

  it("another training under the same name trains it all, and keeps the old results for later", () => {
    const db = freshDatabase();
    const [short, long] = [gridText({ steps: 20 }), gridText({ steps: 40 })];
    submitText(db, short);
    for (const { run } of cellsOf(short)) train(db, run, 3);
    expect(submitText(db, long)).toMatchObject({ points: 3, new_runs: 3, done: 0 });
    expect(states(db)).toEqual({ finished: 3, pending: 3 });
    expect(sqliteOf(db).prepare("SELECT count(*) AS n FROM run_results").get()).toEqual({ n: 3 });
    expect(submitText(db, short)).toMatchObject({ new_runs: 0, done: 3 });
    expect(sqliteOf(db).prepare("SELECT outcome, count(*) AS n FROM run_results GROUP BY 1").all()).toEqual([
      { outcome: "finished", n: 3 },
    ]);
  });

  it("takes up what was cancelled, and leaves what failed", () => {
    const db = freshDatabase();
    const text = gridText();
    submitText(db, text);
    const attempt = new Attempt(cellsOf(text)[0]!.run, 1001);
    applyAll(db, [attempt.claimed(), attempt.failed(true)]);
    expect(cancelSweep(db, "grid")).toBe(2);
    expect(states(db)).toEqual({ failed: 1, cancelled: 2 });
    expect(submitText(db, text)).toMatchObject({ runs: 3, done: 0, failed: 1 });
    expect(states(db)).toEqual({ failed: 1, pending: 2 });
    expect(sqliteOf(db).prepare("SELECT state FROM sweeps").get()).toEqual({ state: "active" });
  });
});

describe("a large grid, stored in turns with other work", () => {
  const many = (name: string) =>
    gridText({
      name,
      sparsity: "[0, 0.25, 0.5, 0.75]",
      rates: "{ log2: { from: -12, to: -3 } }",
      seeds: "{ count: 4 }",
    });
  const count = (db: Database, table: string) =>
    sqliteOf(db).prepare<[], number>(`SELECT count(*) FROM ${table}`).pluck().get();

  it("is nowhere until all of it is there, and results of others are stored meanwhile", () => {
    const db = freshDatabase();
    const other = gridText({ name: "other", steps: 40 });
    submitText(db, other);
    const work = storingText(db, many("large"));
    expect(work.next().done).toBe(false);
    expect(work.next().done).toBe(false);
    train(db, cellsOf(other)[0]!.run, 3);
    expect([count(db, "sweeps"), count(db, "runs"), count(db, "cells")]).toEqual([1, 3, 3]);
    expect(atOnce(work)).toMatchObject({ points: 160, added: 160, new_runs: 160 });
    expect(states(db)).toEqual({ finished: 1, pending: 162 });
  });

  it("does not mix with another that comes between", () => {
    const db = freshDatabase();
    const [one, two] = [storingText(db, many("one")), storingText(db, many("two"))];
    for (const work of [one, two, two, one, one]) expect(work.next().done).toBe(false);
    expect(atOnce(two)).toMatchObject({ sweep: "two", points: 160, runs: 160, new_runs: 160 });
    expect(atOnce(one)).toMatchObject({ sweep: "one", points: 160, runs: 160, new_runs: 0 });
    const plain = freshDatabase();
    submitText(plain, many("two"));
    const stored = (of: Database, sweep: string) =>
      sqliteOf(of)
        .prepare(
          `SELECT c.run_id, c.position, c.curve, c.coordinates, c.tuned_value, r.ordinal, r.planned_flops, p.plan
           FROM cells c JOIN runs r ON r.id = c.run_id JOIN plans p ON p.run_id = r.id
           JOIN phases ON phases.id = c.phase_id JOIN sweeps s ON s.id = sweep_id WHERE s.name = ? ORDER BY c.id`,
        )
        .all(sweep);
    expect(stored(db, "two")).toEqual(stored(plain, "two"));
    expect(stored(db, "one")).toEqual(stored(plain, "two"));
  });

  it("is refused where runs of it are removed between the turns: they would be left without a plan", () => {
    const db = freshDatabase();
    submitText(db, many("one"));
    const work = storingText(db, many("two"));
    for (let turn = 0; turn < 2; turn++) expect(work.next().done).toBe(false);
    removeSweep(db, "one");
    expect(() => atOnce(work)).toThrow("runs of this sweep were removed while it was being stored");
    expect([count(db, "sweeps"), count(db, "runs"), count(db, "cells")]).toEqual([0, 0, 0]);
    expect(submitText(db, many("two"))).toMatchObject({ new_runs: 160 });
    expect(count(db, "plans")).toBe(160);
  });

  it("leaves nothing behind when it is given up", () => {
    const db = freshDatabase();
    const work = storingText(db, many("large"));
    work.next();
    work.return({} as never);
    expect([count(db, "sweeps"), count(db, "runs"), count(db, "gathered_cells")]).toEqual([0, 0, 0]);
  });
});

describe("a run that several points ask for", () => {
  it("is one run for two sweeps, and goes on until neither wants it", () => {
    const db = freshDatabase();
    submitText(db, gridText({ name: "one", rates: rates(-8, -7) }));
    expect(submitText(db, gridText({ name: "two", rates: rates(-7, -6) }))).toMatchObject({
      points: 2,
      runs: 2,
      new_runs: 1,
    });
    expect(states(db)).toEqual({ pending: 3 });
    expect(cancelSweep(db, "one")).toBe(1);
    expect(states(db)).toEqual({ pending: 2, cancelled: 1 });
    expect(cancelSweep(db, "two")).toBe(2);
    expect(states(db)).toEqual({ cancelled: 3 });
  });

  it("counts in both sweeps when it ends", () => {
    const db = freshDatabase();
    const text = gridText({ name: "one", rates: rates(-7) });
    submitText(db, text);
    submitText(db, gridText({ name: "two", rates: rates(-7, -6) }));
    train(db, cellsOf(text)[0]!.run, 2.5);
    expect(
      sqliteOf(db)
        .prepare("SELECT sweep, val_loss FROM run_results WHERE outcome = 'finished' ORDER BY 1")
        .all(),
    ).toEqual([
      { sweep: "one", val_loss: 2.5 },
      { sweep: "two", val_loss: 2.5 },
    ]);
  });

  it("at density 1 SμPar is μP: one training", () => {
    const db = freshDatabase();
    // 2 parameterizations × 2 sparsities × 3 rates, of which the 3 dense ones are shared.
    expect(
      submitText(db, gridText({ parameterization: "[mup, supar]", sparsity: "[0, 0.5]" })),
    ).toMatchObject({
      points: 12,
      runs: 9,
      new_runs: 9,
    });
    const shared = sqliteOf(db)
      .prepare(
        `SELECT a.sparsity FROM run_results a JOIN run_results b ON a.run = b.run
         WHERE a.parameterization = 'mup' AND b.parameterization = 'supar'`,
      )
      .all();
    expect(shared).toEqual([{ sparsity: 0 }, { sparsity: 0 }, { sparsity: 0 }]);
  });
});
