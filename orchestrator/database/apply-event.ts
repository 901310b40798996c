/**
 * Applies one worker event to the database: the only place where a run's state follows from what a worker said.
 *
 * Delivery is at least once and may come from a worker that has lost its run, so every write is fenced: it must carry the
 * run's current attempt number, that attempt's token, and a sequence number not seen before.
 */
import type Sqlite from "better-sqlite3";
import type { WorkerEvent, WorkerEventBody } from "../../schema/queue.ts";

type Applied =
  | "applied"
  /** Seen before. */
  | "duplicate"
  /** From an attempt that no longer holds the run, or for a run that already has its result. */
  | "fenced"
  /** No such run in this database. */
  | "unknown";

export interface EventApplier {
  /** Call inside a transaction. */
  apply(event: WorkerEvent): Applied;
}

interface RunRow {
  state: string;
  attempt: number;
  on_queue: number;
}

/** The events that end an attempt; a run that was cancelled under its worker takes no others from it. */
export const ENDS = new Set<WorkerEventBody["type"]>(["finished", "diverged", "failed", "released"]);

/** The layer of what a model has once: a key holds no NULL. */
const ONCE = -1;

export function eventApplier(sqlite: Sqlite.Database): EventApplier {
  const findRun = sqlite.prepare<[string], RunRow>("SELECT state, attempt, on_queue FROM runs WHERE id = ?");
  const findAttempt = sqlite.prepare<[string, number], { token: string; sequence: number }>(
    "SELECT token, sequence FROM attempts WHERE run_id = ? AND attempt = ?",
  );
  const loseOlderAttempts = sqlite.prepare(
    `UPDATE attempts SET outcome = 'lost', ended_at = @at, error = 'its worker was lost; attempt taken over'
     WHERE run_id = @run AND attempt < @attempt AND outcome IS NULL`,
  );
  const addAttempt = sqlite.prepare(
    `INSERT INTO attempts (run_id, attempt, token, sequence, worker, host, started_at)
     VALUES (@run, @attempt, @token, @sequence, @worker, @host, @at)`,
  );
  const claimRun = sqlite.prepare(
    `UPDATE runs SET state = 'running', attempt = @attempt, error = NULL, updated_at = @at
     WHERE id = @run AND attempt < @attempt AND state IN ('pending', 'queued', 'running')`,
  );
  const setSequence = sqlite.prepare(
    "UPDATE attempts SET sequence = @sequence WHERE run_id = @run AND attempt = @attempt",
  );
  const startAttempt = sqlite.prepare(
    `UPDATE attempts SET engine = @engine, device = @device, resumed_from_step = @resumed_from_step, notes = @notes
     WHERE run_id = @run AND attempt = @attempt`,
  );
  const startRun = sqlite.prepare(
    `UPDATE runs SET host = @host, engine = @engine, parameters = @parameters,
       nonzero_parameters = @nonzero_parameters, step = @resumed_from_step, updated_at = @at WHERE id = @run`,
  );
  const addMetric = sqlite.prepare(
    `INSERT INTO metrics (run_id, step, attempt, train_loss, validation_loss, gradient_norm, tokens_per_second)
     VALUES (@run, @step, @attempt, @train_loss, @validation_loss, @gradient_norm, @tokens_per_second)
     ON CONFLICT (run_id, step) DO UPDATE SET
       attempt = excluded.attempt,
       train_loss = coalesce(excluded.train_loss, train_loss),
       validation_loss = coalesce(excluded.validation_loss, validation_loss),
       gradient_norm = coalesce(excluded.gradient_norm, gradient_norm),
       tokens_per_second = coalesce(excluded.tokens_per_second, tokens_per_second)`,
  );
  const addSize = sqlite.prepare(
    `INSERT INTO activation_sizes (run_id, step, module, layer, attempt, size, change)
     VALUES (@run, @step, @module, @layer, @attempt, @size, @change)
     ON CONFLICT (run_id, step, module, layer) DO UPDATE SET
       attempt = excluded.attempt, size = excluded.size, change = excluded.change`,
  );
  const setStep = sqlite.prepare("UPDATE runs SET step = @step, updated_at = @at WHERE id = @run");
  const setCheckpoint = sqlite.prepare(
    "UPDATE attempts SET checkpoint = @path WHERE run_id = @run AND attempt = @attempt",
  );
  const finishRun = sqlite.prepare(
    `UPDATE runs SET state = 'finished', on_queue = 0, step = @step, train_loss = @train_loss,
       validation_loss = @validation_loss, last_finite_loss = NULL, divergence = NULL, tokens = @tokens, flops = @flops,
       seconds = @seconds, weights_path = @weights_path, error = NULL, updated_at = @at WHERE id = @run`,
  );
  const divergeRun = sqlite.prepare(
    `UPDATE runs SET state = 'diverged', on_queue = 0, step = @step, last_finite_loss = @last_finite_loss,
       divergence = @reason, train_loss = NULL, validation_loss = NULL, tokens = @tokens, flops = @flops,
       seconds = @seconds, error = NULL, updated_at = @at WHERE id = @run`,
  );
  const failRun = sqlite.prepare(
    "UPDATE runs SET state = @state, on_queue = @on_queue, error = @message, updated_at = @at WHERE id = @run",
  );
  const releaseRun = sqlite.prepare(
    "UPDATE runs SET state = @state, on_queue = 0, step = @step, updated_at = @at WHERE id = @run",
  );
  const endAttempt = sqlite.prepare(
    `UPDATE attempts SET outcome = @outcome, ended_at = @at, code = @code, error = @error,
       checkpoint = coalesce(@checkpoint, checkpoint), log_tail = coalesce(@log_tail, log_tail)
     WHERE run_id = @run AND attempt = @attempt`,
  );

  function claim(event: WorkerEvent, run: RunRow): Applied {
    if (event.attempt === run.attempt) {
      return findAttempt.get(event.run, event.attempt)?.token === event.token ? "duplicate" : "fenced";
    }
    const { run: id, attempt, token, sequence, worker, host, at } = event;
    if (claimRun.run({ run: id, attempt, at }).changes === 0) return "fenced";
    loseOlderAttempts.run({ run: id, attempt, at });
    addAttempt.run({ run: id, attempt, token, sequence, worker, host, at });
    return "applied";
  }

  function applyBody(
    event: WorkerEvent,
    body: Exclude<WorkerEventBody, { type: "claimed" }>,
    state: string,
  ): void {
    const { run, attempt, at, host } = event;
    const end = (
      outcome: string,
      fields: { code?: string; error?: string; checkpoint?: string | null; log_tail?: string },
    ) =>
      endAttempt.run({
        run,
        attempt,
        at,
        outcome,
        code: null,
        error: null,
        checkpoint: null,
        log_tail: null,
        ...fields,
      });
    switch (body.type) {
      case "started": {
        const engine = `${body.engine} ${body.engine_version}`;
        const { resumed_from_step, parameters, nonzero_parameters } = body;
        startAttempt.run({
          run,
          attempt,
          engine,
          device: body.device,
          resumed_from_step,
          notes: JSON.stringify(body.notes),
        });
        startRun.run({ run, at, host, engine, parameters, nonzero_parameters, resumed_from_step });
        return;
      }
      case "metrics":
        for (const point of body.points) addMetric.run({ run, attempt, ...point });
        setStep.run({ run, at, step: body.points.at(-1)?.step ?? 0 });
        return;
      case "coordinates":
        for (const { layer, ...size } of body.modules)
          addSize.run({ run, attempt, step: body.step, layer: layer ?? ONCE, ...size });
        return;
      case "checkpoint":
        setCheckpoint.run({ run, attempt, path: body.path });
        return;
      case "finished": {
        const { type, log_tail, ...result } = body;
        finishRun.run({ run, at, ...result });
        end(type, { log_tail });
        return;
      }
      case "diverged": {
        const { type, log_tail, ...result } = body;
        divergeRun.run({ run, at, ...result });
        end(type, { log_tail });
        return;
      }
      case "failed": {
        const { code, message, final, log_tail } = body;
        if (state === "running")
          failRun.run({ run, at, message, state: final ? "failed" : "queued", on_queue: final ? 0 : 1 });
        end("failed", { code, error: message, log_tail });
        return;
      }
      case "released": {
        const cancelled = body.reason === "cancelled";
        const next = state !== "running" ? state : cancelled ? "cancelled" : "pending";
        releaseRun.run({ run, at, step: body.step, state: next });
        end(cancelled ? "cancelled" : "released", { checkpoint: body.checkpoint });
        return;
      }
    }
  }

  return {
    apply(event) {
      const run = findRun.get(event.run);
      if (!run) return "unknown";
      if (event.body.type === "claimed") return claim(event, run);
      const attempt = findAttempt.get(event.run, event.attempt);
      if (event.attempt !== run.attempt || attempt?.token !== event.token) return "fenced";
      if (event.sequence <= attempt.sequence) return "duplicate";
      // Cancelled, and perhaps wanted again, while its worker holds it.
      const withdrawn = run.on_queue === 1 && (run.state === "cancelled" || run.state === "pending");
      if (run.state !== "running" && !(withdrawn && ENDS.has(event.body.type))) return "fenced";
      setSequence.run({ sequence: event.sequence, run: event.run, attempt: event.attempt });
      applyBody(event, event.body, run.state);
      return "applied";
    },
  };
}
