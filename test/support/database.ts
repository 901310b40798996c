/** A database as an orchestrator keeps it, and the events of workers, made by hand. */

import { join } from "node:path";
import type Sqlite from "better-sqlite3";
import { onTestFinished } from "vitest";
import { applyEvent } from "../../orchestrator/database/apply-event.ts";
import { connectionOf } from "../../orchestrator/database/connection.ts";
import { type Database, openDatabase } from "../../orchestrator/database/open.ts";
import { refreshRuns } from "../../orchestrator/database/optima.ts";
import { type Stored, storeSweep } from "../../orchestrator/database/submit.ts";
import { expandPhase } from "../../orchestrator/sweep/expand-sweep.ts";
import { parseSweep } from "../../orchestrator/sweep/parse-sweep.ts";
import type { ModuleSize } from "../../schema/wire/coordinates.ts";
import type { WorkerEvent, WorkerEventBody } from "../../schema/wire/events.ts";
import { dispatchOf } from "../../schema/wire/job.ts";
import { modelCells } from "./model-cells.ts";
import { scratch } from "./scratch.ts";

export const DATA = { hash: "0123456789abcdef", vocab_size: 256 };

/** A migrated database in a directory of its own, closed and removed at the test's end. */
export function freshDatabase(): Database {
  const db = openDatabase(join(scratch().directory, "musweep.db"));
  onTestFinished(() => db.close());
  return db;
}

/** The connection itself, for tests that look into the file or put it into a state by hand. */
export const sqliteOf = (db: Database): Sqlite.Database => connectionOf(db).sqlite;

/** Stores a sweep file without its data, in turns: what is trained on does not matter to the database. */
export function storingText(db: Database, text: string): Generator<void, Stored> {
  const file_name = "test.yaml";
  const { name, priority, phases } = parseSweep(text, file_name);
  return storeSweep(db, { name, file: text, file_name, data: DATA, priority, phases });
}

/** Work in turns where nobody else waits. */
export function atOnce<T>(work: Generator<void, T>): T {
  while (true) {
    const { done, value } = work.next();
    if (done) return value;
  }
}

export const submitText = (db: Database, text: string): Stored => atOnce(storingText(db, text));

export const cellsOf = (text: string) =>
  modelCells(expandPhase(parseSweep(text, "test.yaml").phases[0], DATA).cells());

export interface Gridded {
  name?: string;
  parameterization?: string;
  sparsity?: string;
  rates?: string;
  seeds?: string;
  steps?: number;
}

/** A sweep over powers of two; the fields are YAML. */
export const gridText = (grid: Gridded = {}): string => `name: ${grid.name ?? "grid"}
data: { corpus: moby-dick }
model: { width: 64, layers: 1, d_head: 16, sequence_length: 32 }
training: { steps: ${grid.steps ?? 20}, batch_size: 4 }
base: { width: 32 }
axes:
  parameterization: ${grid.parameterization ?? "[supar]"}
  sparsity: ${grid.sparsity ?? "[0]"}
  learning_rate: ${grid.rates ?? "{ log2: { from: -8, to: -6 } }"}
  seed: ${grid.seeds ?? "[1]"}
`;

/** The events of one attempt, numbered as its worker numbers them. */
export class Attempt {
  readonly #identity: Omit<WorkerEvent, "sequence" | "at" | "body">;
  #sequence = 0;

  constructor(run: string, attempt: number, token = `token-${run}-${attempt}`) {
    this.#identity = { run, attempt, token, worker: `worker-${attempt}`, host: "a-host" };
  }

  event(body: WorkerEventBody): WorkerEvent {
    this.#sequence++;
    return { ...this.#identity, sequence: this.#sequence, at: 1000 * this.#sequence, body };
  }

  claimed = () => this.event({ type: "claimed" });
  started = (resumed_from_step = 0) =>
    this.event({
      type: "started",
      engine: "musweep-cpu",
      engine_version: "1.0",
      device: "cpu",
      resumed_from_step,
      parameters: 1000,
      nonzero_parameters: 600,
      notes: ["a note"],
    });
  metrics = (
    step: number,
    train_loss: number | null,
    validation_loss: number | null = null,
    own_metrics?: Record<string, number>,
  ) =>
    this.event({
      type: "metrics",
      points: [{ step, train_loss, validation_loss, gradient_norm: 1, tokens_per_second: 100, own_metrics }],
    });
  coordinates = (step: number, modules: ModuleSize[]) => this.event({ type: "coordinates", step, modules });
  checkpoint = (step: number) =>
    this.event({ type: "checkpoint", step, path: `/checkpoints/${this.#identity.run}/${step}` });
  finished = (validation_loss: number, step = 20) =>
    this.event({
      type: "finished",
      step,
      train_loss: validation_loss + 0.1,
      validation_loss,
      tokens: step * 128,
      flops: 1e6,
      seconds: 2,
      weights_path: null,
      log_tail: "",
    });
  diverged = (step = 7) =>
    this.event({
      type: "diverged",
      step,
      last_finite_loss: 9,
      reason: "non-finite",
      tokens: step * 128,
      flops: 1e5,
      seconds: 1,
      log_tail: "nan!",
    });
  failed = (final: boolean, message = "out of luck") =>
    this.event({ type: "failed", code: "trainer-exited", message, final, log_tail: "stack" });
  released = (reason: "shutdown" | "cancelled", step = 10) =>
    this.event({
      type: "released",
      step,
      reason,
      checkpoint: reason === "shutdown" ? `/checkpoints/${this.#identity.run}/10` : null,
    });
}

/** Applies events and keeps the optima current, as the collector does. */
export function applyAll(db: Database, events: WorkerEvent[]): string[] {
  const putOnQueue = sqliteOf(db).prepare("UPDATE runs SET dispatch = max(dispatch, ?) WHERE id = ?");
  return db.transaction(() => {
    // As the dispatcher has them when a worker can say anything of them.
    for (const { run, attempt } of events) putOnQueue.run(dispatchOf(attempt), run);
    const results = events.map((event) => applyEvent(db, event));
    refreshRuns(
      db,
      events.map((event) => event.run),
    );
    return results;
  });
}

/** Ends a run with this validation loss; null: it diverges. */
export function train(db: Database, run: string, loss: number | null): void {
  const attempt = new Attempt(run, 1001);
  applyAll(db, [
    attempt.claimed(),
    attempt.started(),
    loss === null ? attempt.diverged() : attempt.finished(loss),
  ]);
}
