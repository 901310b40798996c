/** Chaos leaves a run alone that would be given up next, however slow the machine: until it has got further. */
import { expect, it } from "vitest";
import { runsAtLastTry } from "../../../orchestrator/database/accepted.ts";
import { Attempt, applyAll, freshDatabase, gridText, sqliteOf, submitText } from "../../support/database.ts";

it("a run is at its last try after two attempts without progress, until a checkpoint or its end", () => {
  const db = freshDatabase();
  submitText(db, gridText({ rates: "[0.01]" }));
  const [run] = sqliteOf(db).prepare<[], string>("SELECT id FROM runs").pluck().all() as [string];
  const fail = (attempt: Attempt): void =>
    void applyAll(db, [attempt.claimed(), attempt.started(), attempt.failed(false)]);
  expect(runsAtLastTry(db)).toBe(0);
  fail(new Attempt(run, 1001));
  expect(runsAtLastTry(db)).toBe(0);
  fail(new Attempt(run, 2001));
  expect(runsAtLastTry(db)).toBe(1);
  const third = new Attempt(run, 3001);
  applyAll(db, [third.claimed(), third.started()]);
  expect(runsAtLastTry(db)).toBe(1);
  applyAll(db, [third.checkpoint(5)]);
  expect(runsAtLastTry(db)).toBe(0);
  applyAll(db, [third.failed(false)]);
  fail(new Attempt(run, 4001));
  expect(runsAtLastTry(db)).toBe(1);
  const last = new Attempt(run, 5001);
  applyAll(db, [last.claimed(), last.started(), last.finished(4)]);
  expect(runsAtLastTry(db)).toBe(0);
});
