/**
 * Starts phases that are due, and moves runs between SQLite and the queue: puts pending runs on it, a bounded number at a time; takes cancelled ones off;
 * and, at start and every so often, finds the runs whose job Redis no longer has and makes them pending again.
 */
import { Queue } from "bullmq";
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import {
  CANCEL_CHANNEL,
  CAPABILITIES,
  type Capability,
  DISPATCH_KEY,
  type Dispatch,
  type Job,
  jobId,
  queueName,
} from "../../schema/queue.ts";
import { connectRedis } from "../../schema/redis.ts";
import type { Collector } from "../collector/collector.ts";
import type { Database } from "../database/open.ts";
import { refreshRuns } from "../database/optima.ts";
import { advancePhases } from "../phases/advance.ts";
import { runTitle } from "./title.ts";

/** Jobs kept waiting in Redis: enough for any fleet, small enough that a lost Redis costs nothing. */
const WAITING_TARGET = 2000;
const LOOP_MS = 250;
const RECONCILE_MS = 15_000;
const RECONCILE_PAGE = 500;
/** Tries at a run whose trainer fails; a lost worker's run does not count against these. */
const ATTEMPTS_PER_DISPATCH = 2;

export interface Dispatcher {
  /** Runs one pass of everything now, reconciliation included. */
  tick(): Promise<void>;
  close(): Promise<void>;
}

interface QueuedRow {
  id: string;
  dispatch: number;
  attempt: number;
  capability: Capability;
}

type WithdrawnRow = Pick<QueuedRow, "id" | "dispatch" | "capability">;

interface PendingRow {
  id: string;
  plan: string;
  dispatch: number;
  keep_weights: number;
}

export function startDispatcher(
  db: Database,
  redisUrl: string,
  log: Logger,
  collector: Pick<Collector, "caughtUp">,
): Dispatcher {
  const redis: Redis = connectRedis(redisUrl, (reason) =>
    log.warn(`Redis connection lost, waiting: ${reason}`),
  );
  const queues = new Map<Capability, Queue<Job>>(
    CAPABILITIES.map((c) => [c, new Queue<Job>(queueName(c), { connection: redis })]),
  );
  let lastReconcile = 0;

  /** Runs with a checkpoint go before all that waits, however much that is: they are few, and half done. */
  async function enqueue(capability: Capability, queue: Queue<Job>): Promise<void> {
    // What is added last is taken first.
    await put(capability, queue, takeBegun(db, capability).reverse(), { lifo: true });
    const room = WAITING_TARGET - (await queue.getWaitingCount());
    if (room > 0) await put(capability, queue, takePending(db, capability, room), { lifo: false });
  }

  async function put(
    capability: Capability,
    queue: Queue<Job>,
    rows: PendingRow[],
    { lifo }: { lifo: boolean },
  ): Promise<void> {
    if (rows.length === 0) return;
    const dispatches = rows.map((row): [string, string] => {
      const dispatch: Dispatch = { plan: row.plan, keep_weights: row.keep_weights === 1 };
      return [jobId(row.id, row.dispatch), JSON.stringify(dispatch)];
    });
    await redis.hset(DISPATCH_KEY, Object.fromEntries(dispatches));
    await queue.addBulk(
      rows.map((row) => ({
        name: runTitle(db, row.id),
        data: { run: row.id, dispatch: row.dispatch },
        opts: { jobId: jobId(row.id, row.dispatch), attempts: ATTEMPTS_PER_DISPATCH, lifo },
      })),
    );
    log.debug({ capability, runs: rows.length }, "runs put on the queue");
  }

  /**
   * Takes off the queue the jobs of cancelled runs, those included that are wanted again by now: they get a new job once the
   * old one is gone. One that a worker holds is asked for until the worker lets go.
   */
  async function withdraw(): Promise<void> {
    const rows = db.sqlite
      .prepare<[], WithdrawnRow>(
        `SELECT id, dispatch, capability FROM runs
         WHERE on_queue = 1 AND state IN ('cancelled', 'pending') LIMIT 1000`,
      )
      .all();
    const gone: WithdrawnRow[] = [];
    for (const row of rows) {
      const { id, dispatch, capability } = row;
      const job = await queues.get(capability)!.getJob(jobId(id, dispatch));
      const held = job ? await job.isActive() : false;
      if (held) {
        await redis.publish(CANCEL_CHANNEL, id);
        continue;
      }
      try {
        await job?.remove();
      } catch {
        // A worker took it this moment: the next pass asks the worker.
        continue;
      }
      await redis.hdel(DISPATCH_KEY, jobId(id, dispatch));
      gone.push(row);
    }
    if (gone.length === 0) return;
    // Workers report before their jobs end: an attempt that is still open then has no worker.
    await collector.caughtUp();
    db.sqlite.transaction(() => gone.forEach(letGo)).immediate();
  }

  function letGo(row: WithdrawnRow): void {
    const changed = db.sqlite
      .prepare(
        `UPDATE runs SET on_queue = 0
         WHERE id = @id AND dispatch = @dispatch AND on_queue = 1 AND state IN ('cancelled', 'pending')`,
      )
      .run(row).changes;
    if (changed === 0) return;
    db.sqlite
      .prepare(
        `UPDATE attempts SET outcome = 'lost', ended_at = ?, error = 'its worker was lost while the run was cancelled'
         WHERE run_id = ? AND outcome IS NULL`,
      )
      .run(Date.now(), row.id);
  }

  /** Holds every run that should have a job against Redis, a page at a time. */
  async function reconcile(): Promise<void> {
    const page = db.sqlite.prepare<[string], QueuedRow>(
      `SELECT id, dispatch, capability, attempt FROM runs
       WHERE on_queue = 1 AND state IN ('queued', 'running') AND id > ? ORDER BY id LIMIT ${RECONCILE_PAGE}`,
    );
    let after = "";
    while (true) {
      const rows = page.all(after);
      if (rows.length === 0) return;
      after = rows.at(-1)!.id;
      const gaveUp: QueuedRow[] = [];
      const lost: QueuedRow[] = [];
      for (const row of rows) {
        const state = await queues.get(row.capability)!.getJobState(jobId(row.id, row.dispatch));
        if (state === "failed") gaveUp.push(row);
        else if (state === "unknown" || state === "completed") lost.push(row);
      }
      if (gaveUp.length + lost.length === 0) continue;
      // A worker reports before its job ends, so what it said is in the stream: apply it before judging.
      await collector.caughtUp();
      gaveUp.forEach(giveUp);
      lost.forEach(putBack);
    }
  }

  /** The job is gone, or is done without a result having arrived: train it again. */
  function putBack(row: QueuedRow): void {
    const changed = db.sqlite
      .prepare(
        `UPDATE runs SET state = 'pending', on_queue = 0, updated_at = @now
         WHERE id = @id AND dispatch = @dispatch AND attempt = @attempt AND state IN ('queued', 'running')`,
      )
      .run({ ...row, now: Date.now() }).changes;
    if (changed > 0) log.warn({ run: row.id }, "its job was lost from the queue: queued again");
  }

  /** BullMQ gave the job up without the worker's word: its workers died again and again. */
  function giveUp(row: QueuedRow): void {
    const message = "given up: every worker that took this run was lost (killed, or out of memory)";
    db.sqlite
      .transaction(() => {
        const changed = db.sqlite
          .prepare(
            `UPDATE runs SET state = 'failed', on_queue = 0, error = @message, updated_at = @now
             WHERE id = @id AND dispatch = @dispatch AND attempt = @attempt AND state IN ('queued', 'running')`,
          )
          .run({ ...row, message, now: Date.now() }).changes;
        if (changed === 0) return;
        db.sqlite
          .prepare(
            "UPDATE attempts SET outcome = 'lost', ended_at = ?, error = ? WHERE run_id = ? AND outcome IS NULL",
          )
          .run(Date.now(), message, row.id);
        refreshRuns(db.sqlite, [row.id]);
        log.warn({ run: row.id }, message);
      })
      .immediate();
  }

  async function tick(): Promise<void> {
    // Phases start here; their runs go on the queue with the others below.
    const advanced = advancePhases(db);
    if (advanced.length > 0) log.debug({ sweeps: advanced }, "phases looked at");
    await withdraw();
    if (Date.now() - lastReconcile >= RECONCILE_MS) {
      await reconcile();
      lastReconcile = Date.now();
    }
    for (const [capability, queue] of queues) await enqueue(capability, queue);
  }

  /** One pass at a time: between SQLite and Redis a pass leaves runs in states that another would take for lost. */
  let turn: Promise<void> = Promise.resolve();
  const inTurn = (): Promise<void> => (turn = turn.catch(() => undefined).then(tick));

  let closed = false;
  let wake: () => void = () => undefined;
  const loop = (async () => {
    while (!closed) {
      try {
        await inTurn();
      } catch (error) {
        if (!closed) log.error(error, "dispatcher");
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
        setTimeout(resolve, LOOP_MS);
      });
    }
  })();

  return {
    tick: async () => {
      lastReconcile = 0;
      await inTurn();
    },
    async close() {
      closed = true;
      wake();
      await loop;
      await Promise.all([...queues.values()].map((queue) => queue.close()));
      redis.disconnect();
    },
  };
}

/**
 * Marks the next pending runs as queued, in training order, and returns them with their new dispatch numbers. One with a checkpoint, given
 * back since takeBegun looked, waits for its next look.
 */
const takePending = (db: Database, capability: Capability, limit: number): PendingRow[] =>
  markQueued(db, () =>
    db.sqlite
      .prepare<[string, number], PendingRow>(
        `SELECT id, plan, dispatch + 1 AS dispatch, keep_weights FROM runs JOIN plans ON run_id = id
         WHERE state = 'pending' AND on_queue = 0 AND capability = ?
           AND (step = 0 OR NOT EXISTS (SELECT 1 FROM attempts a WHERE a.run_id = runs.id AND checkpoint IS NOT NULL))
         ORDER BY ordinal LIMIT ?`,
      )
      .all(capability, Math.min(limit, RECONCILE_PAGE)),
  );

/** As takePending, those that go on from a checkpoint. Few runs have begun, but SQLite would look at all that are pending. */
const takeBegun = (db: Database, capability: Capability): PendingRow[] =>
  markQueued(db, () =>
    db.sqlite
      .prepare<[string], PendingRow>(
        `SELECT id, plan, dispatch + 1 AS dispatch, keep_weights
         FROM runs r INDEXED BY runs_under_way CROSS JOIN plans ON run_id = id
         WHERE step > 0 AND state IN ('pending', 'queued', 'running') AND state = 'pending' AND on_queue = 0
           AND capability = ? AND EXISTS (SELECT 1 FROM attempts a WHERE a.run_id = r.id AND checkpoint IS NOT NULL)
         ORDER BY ordinal`,
      )
      .all(capability),
  );

function markQueued(db: Database, select: () => PendingRow[]): PendingRow[] {
  return db.sqlite
    .transaction(() => {
      const rows = select();
      const mark = db.sqlite.prepare(
        "UPDATE runs SET state = 'queued', on_queue = 1, dispatch = ?, updated_at = ? WHERE id = ?",
      );
      for (const row of rows) mark.run(row.dispatch, Date.now(), row.id);
      return rows;
    })
    .immediate();
}
