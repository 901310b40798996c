/**
 * A database as a year of use would leave it: sweeps stored from their files by the program's own code, then results, attempts
 * and training curves as workers would have reported them, written in bulk.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { connectionOf } from "../orchestrator/database/connection.ts";
import { type Database, openDatabase } from "../orchestrator/database/open.ts";
import { refreshPhase } from "../orchestrator/database/optima.ts";
import { storeSweep } from "../orchestrator/database/submit.ts";
import { parseSweep } from "../orchestrator/sweep/parse-sweep.ts";

export const SIZE = { sweeps: 50, runs: 100_100, points: 102 };
/** Of what this file makes: another number makes it anew. */
const VERSION = 2;
const STEPS = 10 * SIZE.points;
const SEEDS = 14;
const DATA = { hash: "0123456789abcdef", vocab_size: 50257 };

const sweepText = (i: number): string => `name: sweep-${String(i).padStart(2, "0")}
data: { corpus: state-of-the-union }
model: { width: 128, layers: 2, sequence_length: 128 }
training: { steps: ${STEPS}, batch_size: 8 }
base: { width: 128 }
axes:
  parameterization: [sp, mup, supar]
  sparsity: [0, 0.5, 0.75, 0.9375]
  learning_rate: { log2: { from: -12, to: 0 } }
  seed: [${Array.from({ length: SEEDS }, (_, s) => 1 + i * SEEDS + s).join(", ")}]
`;

/** @returns the state directory, made when it is not there yet */
export function benchDirectory(root: string, say: (text: string) => void): string {
  const directory = join(root, "dashboard");
  const stamp = join(directory, "version");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === String(VERSION)) return directory;
  rmSync(directory, { recursive: true, force: true });
  const building = `${directory}-building`;
  rmSync(building, { recursive: true, force: true });
  mkdirSync(building, { recursive: true });
  const db = openDatabase(join(building, "musweep.db"));
  try {
    connectionOf(db).sqlite.pragma("synchronous = OFF");
    fill(db, say);
    connectionOf(db).sqlite.pragma("wal_checkpoint(TRUNCATE)");
  } finally {
    db.close();
  }
  writeFileSync(join(building, "version"), String(VERSION));
  renameSync(building, directory);
  return directory;
}

function fill(db: Database, say: (text: string) => void): void {
  const started = performance.now();
  const since = (): string => `${((performance.now() - started) / 1000).toFixed(0)} s`;
  for (let i = 0; i < SIZE.sweeps; i++) {
    const file = sweepText(i);
    const { name, priority, phases } = parseSweep(file, `${i}.yaml`);
    const submission = { name, file, data: DATA, priority, phases };
    for (const _turn of storeSweep(db, submission, Date.UTC(2026, 0, 1 + 7 * i)));
  }
  say(`${SIZE.sweeps} sweeps stored after ${since()}`);
  const runs = connectionOf(db)
    .sqlite.prepare<[], RunRow>(
      `SELECT r.id, c.learning_rate, c.sparsity, c.parameterization, c.phase_id FROM runs r
       JOIN cells c ON c.id = (SELECT min(id) FROM cells WHERE run_id = r.id) ORDER BY r.id`,
    )
    .all();
  if (runs.length !== SIZE.runs) throw new Error(`${runs.length} runs instead of ${SIZE.runs}`);
  const last = Math.max(...new Set(runs.map((run) => run.phase_id)));
  connectionOf(db).sqlite.transaction(() => writeResults(db, runs, last))();
  say(`results of ${SIZE.runs} runs, ${SIZE.points} points each, written after ${since()}`);
  const phases = connectionOf(db).sqlite.prepare<[], { id: number }>("SELECT id FROM phases").all();
  connectionOf(db).sqlite.transaction(() => {
    for (const { id } of phases) refreshPhase(db, id);
    connectionOf(db)
      .sqlite.prepare("UPDATE phases SET due = 0, state = iif(id = ?, 'active', 'complete')")
      .run(last);
  })();
  say(`optima fitted after ${since()}`);
}

interface RunRow {
  id: string;
  learning_rate: number;
  sparsity: number;
  parameterization: string;
  phase_id: number;
}

/** In the order of ids: rows of a table that is ordered by them are then only ever appended. */
function writeResults(db: Database, runs: readonly RunRow[], unfinishedPhase: number): void {
  const random = xoroshiro128plus(7);
  const uniform = (): number => (random.next() >>> 0) / 2 ** 32;
  const addPoint = connectionOf(db).sqlite.prepare(
    `INSERT INTO metrics (run_id, step, attempt, train_loss, validation_loss, gradient_norm, tokens_per_second)
     VALUES (?, ?, 1001, ?, ?, ?, ?)`,
  );
  const addAttempt = connectionOf(db).sqlite.prepare(
    `INSERT INTO attempts (run_id, attempt, token, sequence, worker, host, engine, device, started_at, ended_at, outcome,
       resumed_from_step, code, error, notes, log_tail, checkpoint)
     VALUES (@id, 1001, 'token', 9, 'worker-1', @host, 'musweep-cpu 1', 'cpu', @at, @at + 60000, @outcome, 0, @code, @error,
       '[]', @log, NULL)`,
  );
  const endRun = connectionOf(db).sqlite.prepare(
    `UPDATE runs SET state = @outcome, dispatch = 1, attempt = 1001, step = @step, train_loss = @train,
       validation_loss = @validation, last_finite_loss = @lastFinite, divergence = @divergence, tokens = @step * 1024,
       flops = planned_flops, seconds = 60, parameters = 6900000, nonzero_parameters = 6900000, host = @host,
       engine = 'musweep-cpu 1', error = @error, updated_at = @at WHERE id = @id`,
  );
  const error = "the trainer ended with exit code 1";
  for (const [i, run] of runs.entries()) {
    // The newest sweep is half trained.
    if (run.phase_id === unfinishedPhase && uniform() < 0.5) continue;
    const log2 = Math.log2(run.learning_rate);
    const best = run.parameterization === "supar" ? -6 : -6 - Math.log2(1 - run.sparsity) / 2;
    const outcome = uniform() < 0.002 ? "failed" : log2 > best + 4 ? "diverged" : "finished";
    const loss = 2 + run.sparsity / 4 + 0.02 * (log2 - best) ** 2 + 0.01 * uniform();
    const values = {
      id: run.id,
      outcome,
      host: `host-${i % 7}`,
      at: Date.UTC(2026, 6, 1) + i * 1000,
      step: STEPS,
      train: outcome === "finished" ? loss : null,
      validation: outcome === "finished" ? loss + 0.05 : null,
      lastFinite: outcome === "diverged" ? 9 : null,
      divergence: outcome === "diverged" ? "above-initial" : null,
      error: outcome === "failed" ? error : null,
      code: outcome === "failed" ? "trainer-exited" : null,
      log: outcome === "failed" ? "Traceback (most recent call last):\n".repeat(40) : "",
    };
    endRun.run(values);
    addAttempt.run(values);
    for (let p = 1; p <= SIZE.points; p++) {
      const step = 10 * p;
      const train = loss + 8 / (1 + step / 20) + 0.02 * uniform();
      addPoint.run(run.id, step, train, p % 20 === 0 ? train + 0.05 : null, 1 / (1 + step / 100), 42_000);
    }
  }
}
