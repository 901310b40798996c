/**
 * What keeps `serve` from answering, `npm run bench:planning`: a sweep of 1,000 and one of 10,000 grid points is planned, stored and
 * put on the queue, then results arrive that have every curve of it fitted again. With a redis-server and an SQLite file of its
 * own, in one process as `serve` is. Prints how long each step takes, and for how long at most the event loop stood still, so
 * that no page was answered and no event read.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { pathToFileURL } from "node:url";
import { pino } from "pino";
import { EVENT_STREAM, type WorkerEvent, type WorkerEventBody } from "../schema/wire/events.ts";
import { packageRoot } from "../schema/wire/package.ts";
import { connectRedis } from "../schema/wire/redis.ts";

/** What is shipped is measured: tsx, which runs this file, makes hot code slower. */
const built = async <Module>(path: string): Promise<Module> =>
  (await import(pathToFileURL(join(packageRoot(), "dist", path)).href)) as Module;
const { loadSweep, submitSweep } = await built<typeof import("../orchestrator/submission/load-sweep.ts")>(
  "orchestrator/submission/load-sweep.js",
);
const { summarizePlan } = await built<typeof import("../orchestrator/submission/plan-summary.ts")>(
  "orchestrator/submission/plan-summary.js",
);
const { parseSweepFile } = await built<typeof import("../orchestrator/sweep/parse-sweep.ts")>(
  "orchestrator/sweep/parse-sweep.js",
);
const { startService } = await built<typeof import("../orchestrator/queue/service.ts")>(
  "orchestrator/queue/service.js",
);
const { connectionOf } = await built<typeof import("../orchestrator/database/connection.ts")>(
  "orchestrator/database/connection.js",
);
const { stateDirectory } = await built<typeof import("../orchestrator/machine/state-directory.ts")>(
  "orchestrator/machine/state-directory.js",
);

/** Curves of ten learning rates at two seeds. */
const CURVES = [50, 500];
const POINTS = 20;
/** Runs that the dispatcher keeps on the queue at most. */
const QUEUED = 2000;

const sweepText = (curves: number): string => `name: curves-${curves}
data: { corpus: moby-dick }
model: { layers: 2, d_head: 16, sequence_length: 128 }
training: { steps: 1000, batch_size: 8 }
base: { width: 64, init_std: 0.02 }
axes:
  parameterization: [sp, mup, supar, supar-init-only, supar-lr-only]
  sparsity: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
  width: [${Array.from({ length: curves / 50 }, (_, i) => 64 * (i + 1)).join(", ")}]
  learning_rate: { log2: { from: -12, to: -3 } }
  seed: [1, 2]
`;

interface Step {
  step: string;
  points: number;
  ms: number;
  blocked_ms: number;
}

interface Cell {
  run_id: string;
  log2_lr: number;
}

const steps: Step[] = [];
for (const curves of CURVES) await measure(curves);
console.log("| step | grid points | ms | event loop blocked at most, ms |");
console.log("|---|--:|--:|--:|");
for (const { step, points, ms, blocked_ms } of steps)
  console.log(`| ${step} | ${points} | ${ms.toFixed(0)} | ${blocked_ms.toFixed(0)} |`);

async function measure(curves: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "musweep-bench-"));
  const state = stateDirectory({ dir: directory });
  const service = await startService(state, { redisUrl: undefined, log: pino({ level: "warn" }) });
  const { db } = service;
  const { sqlite } = connectionOf(db);
  const redis = connectRedis(service.redis.url);
  try {
    const text = sweepText(curves);
    const load = async () =>
      loadSweep({ ...parseSweepFile(text, "bench.yaml"), text, file: "bench.yaml", directory }, state);
    // The data is tokenized once, before.
    await load();
    const points = curves * POINTS;
    const during = async <T>(step: string, work: () => T | Promise<T>): Promise<T> => {
      const { result, ...took } = await timed(work);
      steps.push({ step, points, ...took });
      return result;
    };
    await during("plan", async () => summarizePlan(db, await load(), 2, 400, null));
    await during("store", async () => submitSweep(db, await load()));
    const queued = sqlite.prepare<[], number>("SELECT count(*) FROM runs WHERE on_queue = 1").pluck();
    await during("queue", async () => {
      while (queued.get()! < Math.min(points, QUEUED)) await pause();
    });
    await service.stopDispatching();

    const cellsOf = sqlite.prepare<[number], Cell>(
      "SELECT run_id, log2(learning_rate) AS log2_lr FROM cells WHERE seed = ? ORDER BY position",
    );
    const [first, second] = [cellsOf.all(1), cellsOf.all(2)];
    await during("results of the first seed", () => finish(first));
    // The first replicates: they say how noisy the phase is, and with every word on that all its curves are fitted again.
    await during("the next 20 results, one by one", async () => {
      for (const cell of second.slice(0, 20)) await finish([cell]);
    });
    await during("all other results", () => finish(second.slice(20)));
  } finally {
    redis.disconnect();
    await service.close();
    rmSync(directory, { recursive: true, force: true });
  }

  async function finish(cells: readonly Cell[]): Promise<void> {
    for (let from = 0; from < cells.length; from += 100) {
      const line = redis.pipeline();
      for (const cell of cells.slice(from, from + 100))
        for (const event of eventsOf(cell)) line.xadd(EVENT_STREAM, "*", "event", JSON.stringify(event));
      await line.exec();
    }
    await service.collected();
  }
}

/** An attempt at a run, as its worker tells it. The loss is a valley with its minimum near 2^-7, and 0.5% of scatter. */
function eventsOf({ run_id, log2_lr }: Cell): WorkerEvent[] {
  const scatter = Number.parseInt(run_id.slice(1, 7), 16) / 2 ** 24 - 0.5;
  const loss = 2 * (1 + 0.012 * (log2_lr + 7) ** 2 + 0.017 * scatter);
  const bodies: WorkerEventBody[] = [
    { type: "claimed" },
    {
      type: "finished",
      step: 1000,
      train_loss: loss,
      validation_loss: loss,
      tokens: 1e6,
      flops: 1e12,
      seconds: 10,
      weights_path: null,
      log_tail: "",
    },
  ];
  return bodies.map((body, i) => ({
    run: run_id,
    attempt: 1001,
    token: "token",
    sequence: i + 1,
    at: Date.now(),
    worker: "worker-1",
    host: "host",
    body,
  }));
}

async function timed<T>(work: () => T | Promise<T>): Promise<{ result: T; ms: number; blocked_ms: number }> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await pause();
  delay.reset();
  const started = performance.now();
  const result = await work();
  const ms = performance.now() - started;
  await pause();
  delay.disable();
  return { result, ms, blocked_ms: delay.max / 1e6 };
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}
