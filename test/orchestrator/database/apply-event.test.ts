/** How runs and attempts change with what workers say: every event, and every one that must not count. */
import { beforeEach, describe, expect, it } from "vitest";
import type { Database } from "../../../orchestrator/database/open.ts";
import { Attempt, applyAll, freshDatabase, gridText, submitText } from "../../support/database.ts";

let db: Database;
let run: string;

const runRow = () => db.sqlite.prepare("SELECT * FROM runs WHERE id = ?").get(run) as Record<string, unknown>;
const attempts = () =>
  db.sqlite.prepare("SELECT * FROM attempts WHERE run_id = ? ORDER BY attempt").all(run) as Record<
    string,
    unknown
  >[];
const metrics = () =>
  db.sqlite
    .prepare("SELECT step, attempt, train_loss, validation_loss FROM metrics WHERE run_id = ? ORDER BY step")
    .all(run);
const everything = () => ({ run: runRow(), attempts: attempts(), metrics: metrics() });

beforeEach(() => {
  db = freshDatabase();
  submitText(db, gridText({ rates: "[0.01]" }));
  run = (db.sqlite.prepare("SELECT id FROM runs").get() as { id: string }).id;
  // As the dispatcher leaves it.
  db.sqlite.prepare("UPDATE runs SET state = 'queued', on_queue = 1, dispatch = 1").run();
});

describe("an attempt", () => {
  it("is claimed, started, measured and finished", () => {
    const a = new Attempt(run, 1001);
    expect(applyAll(db, [a.claimed()])).toEqual(["applied"]);
    expect(runRow()).toMatchObject({ state: "running", attempt: 1001 });
    expect(attempts()).toMatchObject([
      { attempt: 1001, worker: "worker-1001", host: "a-host", outcome: null },
    ]);

    applyAll(db, [a.started(), a.metrics(1, 5.5), a.metrics(10, 4.5), a.checkpoint(10)]);
    expect(runRow()).toMatchObject({
      step: 10,
      engine: "onnx 1.0",
      parameters: 1000,
      nonzero_parameters: 600,
    });
    expect(attempts()).toMatchObject([
      { engine: "onnx 1.0", device: "cpu", notes: '["a note"]', checkpoint: "/checkpoints/10" },
    ]);

    applyAll(db, [a.metrics(20, 4.2), a.metrics(20, null, 4.1), a.finished(4.1)]);
    expect(runRow()).toMatchObject({
      state: "finished",
      on_queue: 0,
      step: 20,
      validation_loss: 4.1,
      train_loss: 4.1 + 0.1,
      tokens: 2560,
      flops: 1e6,
      seconds: 2,
      error: null,
    });
    expect(attempts()).toMatchObject([{ outcome: "finished", ended_at: 8000, started_at: 1000 }]);
    expect(metrics()).toEqual([
      { step: 1, attempt: 1001, train_loss: 5.5, validation_loss: null },
      { step: 10, attempt: 1001, train_loss: 4.5, validation_loss: null },
      { step: 20, attempt: 1001, train_loss: 4.2, validation_loss: 4.1 },
    ]);
  });

  it("that diverges is a result with its last finite loss, not a failure", () => {
    const a = new Attempt(run, 1001);
    applyAll(db, [a.claimed(), a.started(), a.diverged(7)]);
    expect(runRow()).toMatchObject({
      state: "diverged",
      on_queue: 0,
      step: 7,
      divergence: "non-finite",
      last_finite_loss: 9,
      validation_loss: null,
      train_loss: null,
      error: null,
    });
    expect(attempts()).toMatchObject([{ outcome: "diverged", error: null, log_tail: "nan!" }]);
  });

  it("that fails leaves the run queued while another try follows, and failed after the last", () => {
    const first = new Attempt(run, 1001);
    applyAll(db, [first.claimed(), first.failed(false, "no luck")]);
    expect(runRow()).toMatchObject({ state: "queued", on_queue: 1, error: "no luck" });
    const second = new Attempt(run, 1002);
    applyAll(db, [second.claimed()]);
    expect(runRow()).toMatchObject({ state: "running", attempt: 1002, error: null });
    applyAll(db, [second.failed(true)]);
    expect(runRow()).toMatchObject({ state: "failed", on_queue: 0, error: "out of luck" });
    expect(attempts()).toMatchObject([
      { attempt: 1001, outcome: "failed", code: "trainer-exited", error: "no luck", log_tail: "stack" },
      { attempt: 1002, outcome: "failed", error: "out of luck" },
    ]);
  });

  it("given back at a worker's shutdown makes the run pending again, with its step", () => {
    const a = new Attempt(run, 1001);
    applyAll(db, [a.claimed(), a.started(), a.released("shutdown", 10)]);
    expect(runRow()).toMatchObject({ state: "pending", on_queue: 0, step: 10 });
    expect(attempts()).toMatchObject([{ outcome: "released", checkpoint: "/checkpoints/10" }]);
  });

  it("of a cancelled run says only that its worker let go", () => {
    const a = new Attempt(run, 1001);
    applyAll(db, [a.claimed(), a.started()]);
    db.sqlite.prepare("UPDATE runs SET state = 'cancelled'").run();
    expect(applyAll(db, [a.metrics(5, 3), a.released("cancelled", 5)])).toEqual(["fenced", "applied"]);
    expect(runRow()).toMatchObject({ state: "cancelled", on_queue: 0, step: 5 });
    expect(attempts()).toMatchObject([{ outcome: "cancelled" }]);
    expect(metrics()).toEqual([]);
  });
});

describe("a run that was cancelled while its worker holds it", () => {
  const cancelled = () => {
    const a = new Attempt(run, 1001);
    applyAll(db, [a.claimed(), a.started()]);
    db.sqlite.prepare("UPDATE runs SET state = 'cancelled'").run();
    return a;
  };

  it("stays cancelled when the worker is shut down instead, and when its trainer fails", () => {
    const a = cancelled();
    expect(applyAll(db, [a.failed(false)])).toEqual(["applied"]);
    expect(runRow()).toMatchObject({ state: "cancelled", error: null });
    expect(attempts()).toMatchObject([{ outcome: "failed", error: "out of luck" }]);
    expect(applyAll(db, [a.released("shutdown")])).toEqual(["applied"]);
    expect(runRow()).toMatchObject({ state: "cancelled", on_queue: 0 });
  });

  it("keeps the result of a trainer that was done first", () => {
    applyAll(db, [cancelled().finished(4)]);
    expect(runRow()).toMatchObject({ state: "finished", validation_loss: 4, on_queue: 0 });
  });

  it("and is wanted again, waits for a worker of its own", () => {
    const a = cancelled();
    db.sqlite.prepare("UPDATE runs SET state = 'pending'").run();
    expect(applyAll(db, [a.metrics(5, 3), a.released("cancelled", 5)])).toEqual(["fenced", "applied"]);
    expect(runRow()).toMatchObject({ state: "pending", on_queue: 0 });
  });
});

describe("what must not count", () => {
  it("events seen before, in any order", () => {
    const a = new Attempt(run, 1001);
    const events = [a.claimed(), a.started(), a.metrics(1, 5), a.metrics(20, 4), a.finished(4)];
    applyAll(db, events);
    const after = everything();
    for (const event of [...events, ...[...events].reverse(), events[2]!, events[0]!]) {
      expect(applyAll(db, [event])).toEqual(["duplicate"]);
    }
    expect(everything()).toEqual(after);
  });

  it("a superseded attempt: marked lost when the next claims, and heard no more", () => {
    const [old, next] = [new Attempt(run, 1001), new Attempt(run, 1002)];
    applyAll(db, [old.claimed(), old.started(), old.metrics(1, 5), next.claimed()]);
    expect(attempts()).toMatchObject([
      { attempt: 1001, outcome: "lost", error: expect.stringContaining("worker was lost") },
      { attempt: 1002, outcome: null },
    ]);
    const after = everything();
    expect(applyAll(db, [old.metrics(2, 1), old.finished(1), old.claimed()])).toEqual([
      "fenced",
      "fenced",
      "fenced",
    ]);
    expect(everything()).toEqual(after);
    applyAll(db, [next.started(), next.finished(4)]);
    expect(runRow()).toMatchObject({ state: "finished", validation_loss: 4 });
  });

  it("the same attempt number with another token", () => {
    const [a, impostor] = [new Attempt(run, 1001), new Attempt(run, 1001, "another token")];
    applyAll(db, [a.claimed(), a.started()]);
    const after = everything();
    expect(applyAll(db, [impostor.claimed(), impostor.metrics(3, 1), impostor.finished(1)])).toEqual([
      "fenced",
      "fenced",
      "fenced",
    ]);
    expect(everything()).toEqual(after);
  });

  it("an attempt that never claimed", () => {
    expect(applyAll(db, [new Attempt(run, 1001).finished(1)])).toEqual(["fenced"]);
    expect(runRow()).toMatchObject({ state: "queued", attempt: 0 });
  });

  it("a claim for a run that has its result, failed for good, or was cancelled", () => {
    for (const state of ["finished", "diverged", "failed", "cancelled"]) {
      db.sqlite.prepare("UPDATE runs SET state = ?, validation_loss = 4").run(state);
      expect(applyAll(db, [new Attempt(run, 1001).claimed()])).toEqual(["fenced"]);
      expect([runRow().state, attempts().length]).toEqual([state, 0]);
    }
  });

  it("a run that this database does not know", () => {
    expect(applyAll(db, [new Attempt("r-unknown", 1001).claimed()])).toEqual(["unknown"]);
  });
});
