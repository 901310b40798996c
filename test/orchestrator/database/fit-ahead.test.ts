/** Fits made ahead of the transaction that stores them: they change nothing but how long it takes. */
import { expect, it } from "vitest";
import { applyEvent, foresee } from "../../../orchestrator/database/apply-event.ts";
import type { Database } from "../../../orchestrator/database/open.ts";
import { type Ahead, fitAhead, refreshRuns } from "../../../orchestrator/database/optima.ts";
import { advancePhases } from "../../../orchestrator/phases/advance.ts";
import type { WorkerEvent } from "../../../schema/wire/events.ts";
import {
  Attempt,
  applyAll,
  atOnce,
  cellsOf,
  freshDatabase,
  gridText,
  sqliteOf,
  submitText,
  train,
} from "../../support/database.ts";

const text = gridText({
  sparsity: "[0, 0.25, 0.5, 0.75]",
  rates: "{ log2: { from: -9, to: -5 } }",
  seeds: "[1, 2]",
});
const CURVES = 4;
const cells = cellsOf(text);
const lossOf = (i: number): number => {
  const { learning_rate, seed } = cells[i]!.coordinates;
  return 2 + 0.02 * (Math.log2(learning_rate) + 7.2) ** 2 + 0.01 * Math.sin(13 * i + 78 * seed);
};
const ends = (i: number): WorkerEvent[] => {
  const attempt = new Attempt(cells[i]!.run, 1001);
  return [attempt.claimed(), attempt.started(), attempt.finished(lossOf(i))];
};

/** The first seed has ended everywhere, the second nowhere: with its next result the noise of all curves is known. */
function halfTrained(): Database {
  const db = freshDatabase();
  submitText(db, text);
  sqliteOf(db).exec("UPDATE runs SET dispatch = 1");
  for (const [i, cell] of cells.entries()) if (cell.coordinates.seed === 1) train(db, cell.run, lossOf(i));
  return db;
}

const derived = (db: Database) =>
  ["curve_optima", "curve_transfer", "verdicts", "phase_exponents"].map((table) =>
    sqliteOf(db).prepare(`SELECT * FROM ${table} ORDER BY 1, 2, 3`).all(),
  );

const everything = (db: Database) =>
  sqliteOf(db)
    .prepare<[], string>("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .pluck()
    .all()
    .map((table) => sqliteOf(db).prepare(`SELECT * FROM ${table}`).all());

const firstOfSecondSeed = cells.findIndex((cell) => cell.coordinates.seed === 2);
const batch = [0, 1, 2].flatMap((i) => ends(firstOfSecondSeed + i));

/** As the collector stores a batch. */
function store(db: Database, events: readonly WorkerEvent[], ahead: Ahead): void {
  db.transaction(() => {
    for (const event of events) applyEvent(db, event);
    refreshRuns(
      db,
      events.map((event) => event.run),
      ahead,
    );
  });
}

it("makes a fit of every curve that a result touches, and writes nothing", () => {
  const db = halfTrained();
  const before = everything(db);
  expect(atOnce(fitAhead(db, foresee(batch))).optima.size).toBe(CURVES);
  expect(everything(db)).toEqual(before);
});

it("makes the fits and verdicts that are stored then: none is made twice", () => {
  const db = halfTrained();
  const { optima, verdicts } = atOnce(fitAhead(db, foresee(batch)));
  const marked = new Map([...optima].map(([basis, optimum]) => [basis, { ...optimum, valley_low: -99 }]));
  const said = new Map([...verdicts].map(([basis, verdict]) => [basis, { ...verdict, sentence: "ahead" }]));
  store(db, batch, { optima: marked, verdicts: said });
  const stored = (column: string, table: string) =>
    sqliteOf(db).prepare(`SELECT ${column} FROM ${table}`).pluck().all();
  expect(stored("valley_low", "curve_optima")).toEqual(Array(CURVES).fill(-99));
  expect(verdicts.size).toBeGreaterThan(0);
  expect(stored("sentence", "verdicts")).toEqual(Array(verdicts.size).fill("ahead"));
});

it("makes the verdicts of a search as they are stored, of whose curves some have no run", () => {
  const db = freshDatabase();
  submitText(db, text.replace("axes:", "noise: 0.5%\nsearch: { until: decided }\naxes:"));
  advancePhases(db);
  sqliteOf(db).exec("UPDATE runs SET dispatch = 1");
  const rows = sqliteOf(db).prepare("SELECT run, log2_lr FROM run_results ORDER BY sparsity, log2_lr").all();
  const [last, ...others] = (rows as { run: string; log2_lr: number }[]).reverse();
  const loss = (log2_lr: number) => 2 + 0.02 * (log2_lr + 7.2) ** 2;
  for (const { run, log2_lr } of others) train(db, run, loss(log2_lr));
  const attempt = new Attempt(last!.run, 1001);
  const events = [attempt.claimed(), attempt.started(), attempt.finished(loss(last!.log2_lr))];
  const { optima, verdicts } = atOnce(fitAhead(db, foresee(events)));
  expect([...verdicts.values()].map(({ cells, verdict }) => [cells.length, verdict])).toEqual([
    [1, "inconclusive"],
  ]);
  const said = new Map([...verdicts].map(([basis, verdict]) => [basis, { ...verdict, sentence: "ahead" }]));
  store(db, events, { optima, verdicts: said });
  expect(sqliteOf(db).prepare("SELECT sentence FROM verdicts").pluck().all()).toEqual(["ahead"]);
});

it("ends with what is stored without it, whatever is stored between its turns", () => {
  const [with_, without] = [halfTrained(), halfTrained()];
  const late = ends(firstOfSecondSeed + 3);
  const work = fitAhead(with_, foresee(batch));
  expect(work.next().done).toBe(false);
  applyAll(with_, late);
  store(with_, batch, atOnce(work));
  applyAll(without, late);
  applyAll(without, batch);
  expect(derived(with_)).toEqual(derived(without));
});

it("ends with what is stored without it, when events do not count that were foreseen to", () => {
  const [with_, without] = [halfTrained(), halfTrained()];
  const run = cells[firstOfSecondSeed]!.run;
  const superseded = new Attempt(run, 1001);
  const events = [superseded.claimed(), new Attempt(run, 1002).claimed(), superseded.finished(9)];
  store(with_, events, atOnce(fitAhead(with_, foresee(events))));
  applyAll(without, events);
  expect(derived(with_)).toEqual(derived(without));
});
