/** Properties of the event applier: whatever order several attempts' events come in, and however often. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Database } from "../../../orchestrator/database/open.ts";
import type { WorkerEvent } from "../../../schema/wire/events.ts";
import { Attempt, applyAll, freshDatabase, gridText, sqliteOf, submitText } from "../../support/database.ts";

const ENDINGS = ["finished", "diverged", "failed", "failed for good", "released", "none"] as const;
type Ending = (typeof ENDINGS)[number];

/** What an attempt's worker says after its claim; its losses tell it apart from every other. */
function storyOf(run: string, number: number, steps: number, ending: Ending) {
  const attempt = new Attempt(run, number);
  const claim = attempt.claimed();
  const rest = [attempt.started()];
  for (let step = 1; step <= steps; step++) rest.push(attempt.metrics(step, number + step / 100));
  if (ending === "finished") rest.push(attempt.finished(number));
  if (ending === "diverged") rest.push(attempt.diverged(number - 1000));
  if (ending === "failed") rest.push(attempt.failed(false));
  if (ending === "failed for good") rest.push(attempt.failed(true));
  if (ending === "released") rest.push(attempt.released("shutdown"));
  return { claim, rest };
}

const story = fc.record({ steps: fc.nat(3), ending: fc.constantFrom(...ENDINGS) });
const stories = fc.array(story, { minLength: 1, maxLength: 4 });
/** Endless supply of choices for merging and repeating. */
const choices = fc.infiniteStream(fc.nat(1000));

/** One order of all events that keeps the order within each list. */
function merge(lists: WorkerEvent[][], choose: Iterator<number>): WorkerEvent[] {
  const left = lists.map((list) => [...list]);
  const merged: WorkerEvent[] = [];
  for (let open = left.filter((l) => l.length > 0); open.length > 0; open = left.filter((l) => l.length > 0))
    merged.push(open[choose.next().value % open.length]!.shift()!);
  return merged;
}

/** Every event may come again, any time later. */
function repeated(events: WorkerEvent[], choose: Iterator<number>): WorkerEvent[] {
  const delivered: WorkerEvent[] = [];
  for (const event of events) {
    delivered.push(event);
    while (choose.next().value % 3 === 0) delivered.push(delivered[choose.next().value % delivered.length]!);
  }
  return delivered;
}

/** Puts the run back to the moment before its first attempt. */
function reset(db: Database): void {
  sqliteOf(db).exec(`DELETE FROM metrics; DELETE FROM attempts;
    UPDATE runs SET state = 'queued', on_queue = 1, dispatch = 1, attempt = 0, step = 0, train_loss = NULL,
      validation_loss = NULL, last_finite_loss = NULL, divergence = NULL, tokens = NULL, flops = NULL, seconds = NULL,
      parameters = NULL, nonzero_parameters = NULL, host = NULL, engine = NULL, error = NULL, updated_at = 0,
      kept_step = 0, setbacks = 0`);
}

const dump = (db: Database) =>
  ["runs", "attempts", "metrics"].map((table) => sqliteOf(db).prepare(`SELECT * FROM ${table}`).all());

interface RunRow {
  state: string;
  attempt: number;
  validation_loss: number | null;
  last_finite_loss: number | null;
  step: number;
}

function oneRun(): { db: Database; run: string; read: () => RunRow } {
  const db = freshDatabase();
  submitText(db, gridText({ rates: "[0.01]" }));
  const { id: run } = sqliteOf(db).prepare("SELECT id FROM runs").get() as { id: string };
  return { db, run, read: () => sqliteOf(db).prepare("SELECT * FROM runs").get() as RunRow };
}

describe("any interleaving of the events of several attempts", () => {
  it("delivered again and again, leaves exactly what one delivery leaves", () => {
    const { db, run } = oneRun();
    fc.assert(
      fc.property(stories, choices, (told, stream) => {
        const choose = stream[Symbol.iterator]();
        const lists = told.map(({ steps, ending }, i) => storyOf(run, 1001 + i, steps, ending));
        const once = merge(
          lists.map(({ claim, rest }) => [claim, ...rest]),
          choose,
        );
        reset(db);
        applyAll(db, once);
        const expected = dump(db);
        reset(db);
        applyAll(db, repeated(once, choose));
        expect(dump(db)).toEqual(expected);
      }),
      { numRuns: 150 },
    );
  });

  it("has at most one result, that of the last attempt that claimed the run", () => {
    const { db, run, read } = oneRun();
    fc.assert(
      fc.property(stories, choices, (told, stream) => {
        const choose = stream[Symbol.iterator]();
        const lists = told.map(({ steps, ending }, i) => storyOf(run, 1001 + i, steps, ending));
        reset(db);
        applyAll(
          db,
          repeated(
            merge(
              lists.map(({ claim, rest }) => [claim, ...rest]),
              choose,
            ),
            choose,
          ),
        );
        const { state, attempt, validation_loss } = read();
        const attempts = sqliteOf(db)
          .prepare("SELECT attempt, outcome FROM attempts ORDER BY attempt")
          .all() as { attempt: number; outcome: string | null }[];
        expect(attempt).toBe(attempts.at(-1)?.attempt);
        const results = attempts.filter(({ outcome }) => outcome === "finished" || outcome === "diverged");
        expect(results.length).toBe(state === "finished" || state === "diverged" ? 1 : 0);
        if (state === "finished") expect(validation_loss).toBe(attempt);
        // Every attempt that another one took over from has ended.
        for (const earlier of attempts.slice(0, -1)) expect(earlier.outcome).not.toBeNull();
        for (const point of sqliteOf(db).prepare("SELECT step, attempt, train_loss FROM metrics").all() as {
          step: number;
          attempt: number;
          train_loss: number;
        }[])
          expect(point.train_loss).toBe(point.attempt + point.step / 100);
      }),
      { numRuns: 150 },
    );
  });

  it("once all have claimed it, ends as the last of them says, whatever the others say and when", () => {
    const { db, run, read } = oneRun();
    fc.assert(
      fc.property(stories, choices, (told, stream) => {
        const choose = stream[Symbol.iterator]();
        const lists = told.map(({ steps, ending }, i) => storyOf(run, 1001 + i, steps, ending));
        const events = [
          ...lists.map(({ claim }) => claim),
          ...merge(
            lists.map(({ rest }) => rest),
            choose,
          ),
        ];
        reset(db);
        applyAll(db, repeated(events, choose));
        const last = 1000 + told.length;
        const row = read();
        const state = {
          finished: "finished",
          diverged: "diverged",
          failed: "pending",
          "failed for good": "failed",
          released: "pending",
          none: "running",
        }[told.at(-1)!.ending];
        expect([row.state, row.attempt]).toEqual([state, last]);
        expect(row.validation_loss).toBe(state === "finished" ? last : null);
        if (state === "diverged") expect(row.step).toBe(last - 1000);
      }),
      { numRuns: 150 },
    );
  });
});
