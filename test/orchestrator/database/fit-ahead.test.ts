/** Fits made ahead of the transaction that stores them: they change nothing but how long it takes. */
import { expect, it } from "vitest";
import { eventApplier } from "../../../orchestrator/database/apply-event.ts";
import type { Database } from "../../../orchestrator/database/open.ts";
import { fitAhead } from "../../../orchestrator/database/optima.ts";
import { atOnce } from "../../../orchestrator/turns.ts";
import type { WorkerEvent } from "../../../schema/queue.ts";
import {
  Attempt,
  applyAll,
  cellsOf,
  freshDatabase,
  gridText,
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
  return [attempt.claimed(), attempt.finished(lossOf(i))];
};

/** The first seed has ended everywhere, the second nowhere: with its next result the noise of all curves is known. */
function halfTrained(): Database {
  const db = freshDatabase();
  submitText(db, text);
  for (const [i, cell] of cells.entries()) if (cell.coordinates.seed === 1) train(db, cell.run, lossOf(i));
  return db;
}

const derived = (db: Database) =>
  ["curve_optima", "curve_transfer", "verdicts", "phase_exponents"].map((table) =>
    db.sqlite.prepare(`SELECT * FROM ${table} ORDER BY 1, 2, 3`).all(),
  );

const everything = (db: Database) =>
  db.sqlite
    .prepare<[], string>("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .pluck()
    .all()
    .map((table) => db.sqlite.prepare(`SELECT * FROM ${table}`).all());

/** As the collector tries a batch of events. */
function trying(db: Database, events: readonly WorkerEvent[]): () => string[] {
  const applier = eventApplier(db.sqlite);
  return () => {
    for (const event of events) expect(applier.apply(event)).toBe("applied");
    return events.map((event) => event.run);
  };
}

const firstOfSecondSeed = cells.findIndex((cell) => cell.coordinates.seed === 2);
const batch = [0, 1, 2].flatMap((i) => ends(firstOfSecondSeed + i));

it("foresees every curve that a result touches, and leaves the database as it was", () => {
  const db = halfTrained();
  const before = everything(db);
  const fits = [...fitAhead(db.sqlite, trying(db, batch))];
  expect(fits).toHaveLength(CURVES);
  expect(db.sqlite.inTransaction).toBe(false);
  expect(everything(db)).toEqual(before);
});

it("ends with what is stored without it, whatever is stored between its turns", () => {
  const [with_, without] = [halfTrained(), halfTrained()];
  const late = ends(firstOfSecondSeed + 3);
  const work = fitAhead(with_.sqlite, trying(with_, batch));
  expect(work.next().done).toBe(false);
  applyAll(with_, late);
  atOnce(work);
  applyAll(with_, batch);
  applyAll(without, late);
  applyAll(without, batch);
  expect(derived(with_)).toEqual(derived(without));
});

it("undoes what it tried when that fails", () => {
  const db = halfTrained();
  const before = everything(db);
  const work = fitAhead(db.sqlite, () => {
    trying(db, batch)();
    throw new Error("no further");
  });
  expect(() => work.next()).toThrow("no further");
  expect(db.sqlite.inTransaction).toBe(false);
  expect(everything(db)).toEqual(before);
});
