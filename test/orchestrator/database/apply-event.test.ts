/** How runs and attempts change with what workers say: every event, and every one that must not count. */
import { beforeEach, describe, expect, it } from "vitest";
import { applyEvent } from "../../../orchestrator/database/apply-event.ts";
import { takeAway, takeBack } from "../../../orchestrator/database/away-runs.ts";
import type { Database } from "../../../orchestrator/database/open.ts";
import { loseRun } from "../../../orchestrator/database/queued-runs.ts";
import { cancelSweep, requeueRuns } from "../../../orchestrator/database/stop-and-requeue.ts";
import { type WorkerEvent, workerEventSchema } from "../../../schema/wire/events.ts";
import { Attempt, applyAll, freshDatabase, gridText, sqliteOf, submitText } from "../../support/database.ts";

const TEXT = gridText({ rates: "[0.01]" });

let db: Database;
let run: string;

const runRow = () =>
  sqliteOf(db).prepare("SELECT * FROM runs WHERE id = ?").get(run) as Record<string, unknown>;
const attempts = () =>
  sqliteOf(db).prepare("SELECT * FROM attempts WHERE run_id = ? ORDER BY attempt").all(run) as Record<
    string,
    unknown
  >[];
const metrics = () =>
  sqliteOf(db)
    .prepare("SELECT step, attempt, train_loss, validation_loss FROM metrics WHERE run_id = ? ORDER BY step")
    .all(run);
const everything = () => ({ run: runRow(), attempts: attempts(), metrics: metrics() });

beforeEach(() => {
  db = freshDatabase();
  submitText(db, TEXT);
  run = (sqliteOf(db).prepare("SELECT id FROM runs").get() as { id: string }).id;
  // As the dispatcher leaves it.
  sqliteOf(db).prepare("UPDATE runs SET state = 'queued', on_queue = 1, dispatch = 1").run();
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
      engine: "musweep-cpu 1.0",
      parameters: 1000,
      nonzero_parameters: 600,
    });
    expect(attempts()).toMatchObject([
      { engine: "musweep-cpu 1.0", device: "cpu", notes: '["a note"]', checkpoint: `/checkpoints/${run}/10` },
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

  it("that fails leaves the run to be tried again, and failed where that cannot help", () => {
    const first = new Attempt(run, 1001);
    applyAll(db, [first.claimed(), first.failed(false, "no luck")]);
    expect(runRow()).toMatchObject({ state: "pending", on_queue: 0, error: "no luck" });
    const second = new Attempt(run, 2001);
    applyAll(db, [second.claimed()]);
    expect(runRow()).toMatchObject({ state: "running", attempt: 2001, error: null });
    applyAll(db, [second.failed(true)]);
    expect(runRow()).toMatchObject({ state: "failed", on_queue: 0, error: "out of luck" });
    expect(attempts()).toMatchObject([
      { attempt: 1001, outcome: "failed", code: "trainer-exited", error: "no luck", log_tail: "stack" },
      { attempt: 2001, outcome: "failed", error: "out of luck" },
    ]);
  });

  it("that its worker cannot make counts for nothing: the run waits for another worker", () => {
    for (let n = 1; n <= 5; n++) {
      const a = new Attempt(run, 1000 * n + 1);
      const inability = { code: "data-missing", message: "no data here", log_tail: "stack" };
      applyAll(db, [
        a.claimed(),
        a.event({ type: "released", step: 0, reason: "unable", checkpoint: null, inability }),
      ]);
      expect(runRow()).toMatchObject({ state: "pending", on_queue: 0, setbacks: 0 });
    }
    expect(attempts()[0]).toMatchObject({
      outcome: "released",
      code: "data-missing",
      error: "no data here",
      log_tail: "stack",
    });
  });

  it("given back at a worker's shutdown makes the run pending again, with its step", () => {
    const a = new Attempt(run, 1001);
    applyAll(db, [a.claimed(), a.started(), a.released("shutdown", 10)]);
    expect(runRow()).toMatchObject({ state: "pending", on_queue: 0, step: 10 });
    expect(attempts()).toMatchObject([{ outcome: "released", checkpoint: `/checkpoints/${run}/10` }]);
  });

  it("of a cancelled run says only that its worker let go", () => {
    const a = new Attempt(run, 1001);
    applyAll(db, [a.claimed(), a.started()]);
    sqliteOf(db).prepare("UPDATE runs SET state = 'cancelled'").run();
    expect(applyAll(db, [a.metrics(5, 3), a.released("cancelled", 5)])).toEqual(["fenced", "applied"]);
    expect(runRow()).toMatchObject({ state: "cancelled", on_queue: 0, step: 5 });
    expect(attempts()).toMatchObject([{ outcome: "cancelled" }]);
    expect(metrics()).toEqual([]);
  });
});

describe("a run whose attempts fail or are lost", () => {
  /** An attempt that goes on from a step, reaches checkpoints, and ends badly. */
  const attemptOf = (n: number, from: number, checkpoints: number[], end: "failed" | "lost") => {
    const a = new Attempt(run, 1000 * n + 1);
    applyAll(db, [a.claimed(), a.started(from), ...checkpoints.map(a.checkpoint)]);
    if (end === "failed") applyAll(db, [a.failed(false)]);
    else loseRun(db, { id: run, dispatch: n, attempt: 1000 * n + 1 }, { error: "killed", final: false });
  };

  it.each(["failed", "lost"] as const)("is given up after three that get no further (%s)", (end) => {
    attemptOf(1, 0, [7], end);
    attemptOf(2, 7, [], end);
    expect(runRow()).toMatchObject({ state: "pending", kept_step: 7, setbacks: 2 });
    attemptOf(3, 7, [], end);
    expect(runRow()).toMatchObject({
      state: "failed",
      on_queue: 0,
      error: `${end === "lost" ? "killed" : "out of luck"} (given up: 3 attempts in a row got no further than step 7)`,
    });
    expect(attempts().map((a) => a.outcome)).toEqual([end, end, end]);
  });

  it("is never given up while each gets further, though its worker may not have lived to say so", () => {
    for (const [i, from] of [0, 2, 4, 6, 8, 10, 12, 14, 16, 18].entries()) {
      attemptOf(i + 1, from, [], "lost");
      expect(runRow()).toMatchObject({ state: "pending", setbacks: 1, kept_step: from });
    }
  });

  it("starts to count anew when it is wanted again", () => {
    for (const n of [1, 2, 3]) attemptOf(n, 0, [], "lost");
    expect(runRow()).toMatchObject({ state: "failed", setbacks: 3 });
    expect(requeueRuns(db, "grid", { states: ["failed"] })).toBe(1);
    attemptOf(4, 0, [], "lost");
    expect(runRow()).toMatchObject({ state: "pending", setbacks: 1 });
  });

  it("that has its result and is wanted again starts its curve anew; one that failed goes on with its own", () => {
    const steps = () =>
      sqliteOf(db).prepare("SELECT step FROM metrics WHERE run_id = ? ORDER BY step").pluck().all(run);
    const a = new Attempt(run, 1001);
    applyAll(db, [a.claimed(), a.started(), a.metrics(1, 4), a.metrics(20, 3), a.finished(3)]);
    expect(requeueRuns(db, "grid", { states: ["failed"] })).toBe(0);
    expect(steps()).toEqual([1, 20]);
    expect(requeueRuns(db, "grid", { states: ["finished"], run })).toBe(1);
    expect(steps()).toEqual([]);
    const b = new Attempt(run, 2001);
    applyAll(db, [b.claimed(), b.started(), b.metrics(2, 5), b.failed(true)]);
    expect(requeueRuns(db, "grid", { states: ["failed"] })).toBe(1);
    expect(steps()).toEqual([2]);
  });

  it("of a cancelled sweep, of which none is trained again, leaves it cancelled", () => {
    cancelSweep(db, "grid");
    expect(requeueRuns(db, "grid", { states: ["failed"] })).toBe(0);
    expect(sqliteOf(db).prepare("SELECT state FROM sweeps").get()).toEqual({ state: "cancelled" });
  });

  it("hears nothing more of one that is lost", () => {
    const a = new Attempt(run, 1001);
    applyAll(db, [a.claimed(), a.started()]);
    loseRun(db, { id: run, dispatch: 1, attempt: 1001 }, { error: "killed", final: false });
    expect(applyAll(db, [a.metrics(5, 3), a.checkpoint(5), a.finished(3)])).toEqual(Array(3).fill("fenced"));
    expect(runRow()).toMatchObject({ state: "pending", kept_step: 0 });
  });
});

describe("a run that was cancelled while its worker holds it", () => {
  const cancelled = () => {
    const a = new Attempt(run, 1001);
    applyAll(db, [a.claimed(), a.started()]);
    sqliteOf(db).prepare("UPDATE runs SET state = 'cancelled'").run();
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
    sqliteOf(db).prepare("UPDATE runs SET state = 'pending'").run();
    expect(applyAll(db, [a.metrics(5, 3), a.released("cancelled", 5)])).toEqual(["fenced", "applied"]);
    expect(runRow()).toMatchObject({ state: "pending", on_queue: 0 });
  });
});

describe("a run that was away, and is wanted here after all", () => {
  it.each([
    ["taken back", (db: Database) => [takeBack(db, "grid")]],
    ["cancelled and submitted again", (db: Database) => [cancelSweep(db, "grid"), submitText(db, TEXT)]],
  ])("%s: the result counts that comes before another attempt has begun", (_, wantHere) => {
    const db = freshDatabase();
    submitText(db, TEXT);
    const [job] = db.transaction(() => takeAway(db, "grid", 1));
    const away = new Attempt(job!.run, job!.attempt, job!.token);
    expect([applyEvent(db, away.claimed()), applyEvent(db, away.started())]).toEqual(["applied", "applied"]);
    wantHere(db);
    const state = () => sqliteOf(db).prepare("SELECT state, on_queue FROM runs WHERE id = ?").get(job!.run);
    expect(state()).toEqual({ state: "pending", on_queue: 0 });
    expect(applyEvent(db, away.finished(3))).toBe("applied");
    expect(state()).toEqual({ state: "finished", on_queue: 0 });
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
    expect(
      applyAll(db, [impostor.claimed(), impostor.started(), impostor.metrics(3, 1), impostor.finished(1)]),
    ).toEqual(["fenced", "fenced", "fenced", "fenced"]);
    expect(everything()).toEqual(after);
  });

  it("an attempt that never claimed", () => {
    expect(applyAll(db, [new Attempt(run, 1001).finished(1)])).toEqual(["fenced"]);
    expect(runRow()).toMatchObject({ state: "queued", attempt: 0 });
  });

  it("a claim for a run that has its result, failed for good, or was cancelled", () => {
    for (const state of ["finished", "diverged", "failed", "cancelled"]) {
      sqliteOf(db).prepare("UPDATE runs SET state = ?, validation_loss = 4").run(state);
      expect(applyAll(db, [new Attempt(run, 1001).claimed()])).toEqual(["fenced"]);
      expect([runRow().state, attempts().length]).toEqual([state, 0]);
    }
  });

  it("a run that this database does not know", () => {
    expect(applyAll(db, [new Attempt("r-unknown", 1001).claimed()])).toEqual(["unknown"]);
  });
});

describe("what no worker of ours would say", () => {
  const refused = (...events: WorkerEvent[]) => {
    const before = everything();
    expect(db.transaction(() => events.map((event) => applyEvent(db, event)))).toEqual(
      events.map(() => "refused"),
    );
    expect(everything()).toEqual(before);
  };

  it("a claim beyond what was put on the queue, which would fence out every true one", () => {
    refused(new Attempt(run, 2001).claimed(), new Attempt(run, 999_999_001).claimed());
    expect(applyAll(db, [new Attempt(run, 1001).claimed()])).toEqual(["applied"]);
  });

  it("a result, points or checkpoints of an attempt that has not started", () => {
    const a = new Attempt(run, 1001);
    applyAll(db, [a.claimed()]);
    refused(a.finished(4), a.diverged(), a.metrics(1, 5), a.checkpoint(1), a.coordinates(0, []));
    expect(applyAll(db, [a.failed(false)])).toEqual(["applied"]);
  });

  it("steps that the plan does not have", () => {
    const a = new Attempt(run, 1001);
    applyAll(db, [a.claimed(), a.started()]);
    refused(
      a.metrics(21, 5),
      a.finished(4, 999_999_999),
      a.diverged(21),
      a.checkpoint(21),
      a.released("shutdown", 21),
    );
  });

  it("files that are not the run's own", () => {
    const a = new Attempt(run, 1001);
    applyAll(db, [a.claimed(), a.started()]);
    const finished = a.finished(4);
    refused(
      { ...finished, body: { ...finished.body, weights_path: "/etc/passwd" } as WorkerEvent["body"] },
      a.event({ type: "checkpoint", step: 1, path: "/etc/passwd" }),
      a.event({ type: "released", step: 1, reason: "shutdown", checkpoint: "../../x" }),
    );
  });

  it.each<[string, unknown]>([
    ["a loss larger than any float32", { type: "finished", validation_loss: 1e308 }],
    ["a negative loss", { type: "finished", validation_loss: -1 }],
    ["negative tokens", { type: "finished", tokens: -5 }],
    ["a step that is no whole number", { type: "finished", step: 1.5 }],
    ["a field of its own", { type: "finished", command: "rm" }],
  ])("%s: no event at all", (_what, wrong) => {
    const good = new Attempt(run, 1001).finished(4);
    expect(workerEventSchema.safeParse(good).success).toBe(true);
    const bad = { ...good, body: { ...good.body, ...(wrong as object) } };
    expect(workerEventSchema.safeParse(bad).success).toBe(false);
  });
});
