/**
 * Trains a sweep on this machine, start to end: stores it, starts Redis, collector and workers, shows how far it is, and
 * shuts all of it down. Interrupted, it checkpoints; the same command goes on.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { pino } from "pino";
import { EXIT_CODES, MusweepError } from "../../schema/errors.ts";
import type { Dashboard } from "../dashboard/listen.ts";
import { isSettled, progressOf, type SweepProgress } from "../database/progress.ts";
import { loadSweep, type SweepText, submitSweep } from "../load-sweep.ts";
import { type LocalWorker, startLocalWorker } from "../local-worker.ts";
import { type Service, startService } from "../service.ts";
import { type StateDirectory, stateDirectory } from "../state.ts";
import { quantity } from "../terminal/format.ts";
import { phaseNews } from "../terminal/phases.ts";
import { progressLine, timeLeft } from "../terminal/progress.ts";
import { type CommonOptions, say, sayInstalling } from "./common.ts";
import { submittedText } from "./submit.ts";
import { type WorkerOptions, workerConfig } from "./worker-options.ts";

export interface TrainOptions extends CommonOptions, WorkerOptions {
  redis?: string;
  open?: boolean;
  port?: number;
}

const POLL_MS = 250;
/** A local worker that keeps dying without finishing anything is not started for ever. */
const WORKER_STARTS = 5;

/**
 * @param resume the command that goes on where this one is interrupted
 * @param finish told when nothing is left to train
 */
export async function trainHere(
  read: SweepText,
  options: TrainOptions,
  resume: string,
  finish: (service: Service, seconds: number) => void,
): Promise<void> {
  const started = Date.now();
  const state = stateDirectory(options);
  mkdirSync(state.logs, { recursive: true });
  const log = pino(
    { base: null },
    pino.destination({ dest: join(state.logs, "orchestrator.log"), mkdir: true, sync: true }),
  );
  const interrupted = new AbortController();
  let kill: () => void = () => undefined;
  const onSignal = (): void => {
    if (interrupted.signal.aborted) {
      kill();
      process.exit(EXIT_CODES.interrupted);
    }
    interrupted.abort();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  try {
    const service = await startService(state, {
      redisUrl: options.redis,
      log,
      onInstall: sayInstalling,
      signal: interrupted.signal,
    });
    try {
      await submitFile(service, state, read, interrupted.signal);
      const dashboard = await showDashboard(service, state, read.sweep.name, options);
      const worker = superviseWorker(() =>
        startLocalWorker(
          workerConfig(state, service.redis.url, options, true),
          join(state.logs, "worker.log"),
        ),
      );
      kill = worker.kill;
      try {
        await watch(service, read.sweep.name, interrupted.signal, worker.gaveUp, state);
        if (interrupted.signal.aborted)
          say("Stopping: runs in progress are checkpointed. Ctrl-C again to stop at once.");
      } finally {
        await dashboard?.close();
        await service.stopDispatching();
        await worker.stop();
      }
      await service.collected();
      if (interrupted.signal.aborted) throw resumeLater(service, read.sweep.name, resume);
      finish(service, (Date.now() - started) / 1000);
    } finally {
      await service.close();
    }
  } catch (error) {
    if (!interrupted.signal.aborted || error instanceof MusweepError) throw error;
    throw new MusweepError("interrupted", "Stopped before training began.", { kind: "interrupted" });
  } finally {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
}

async function submitFile(
  service: Service,
  state: StateDirectory,
  read: SweepText,
  signal: AbortSignal,
): Promise<void> {
  const line = progressLine();
  const loaded = await loadSweep(read, state, {
    signal,
    onProgress: ({ read_bytes, total_bytes }) =>
      line.update(total_bytes > 0 ? read_bytes / total_bytes : 0, `tokenizing: ${quantity(read_bytes)}B`),
  }).finally(() => line.end());
  say(submittedText(await submitSweep(service.db, loaded)));
}

/** On a free port unless one was asked for. */
async function showDashboard(
  service: Service,
  state: StateDirectory,
  sweep: string,
  options: TrainOptions,
): Promise<Dashboard | undefined> {
  if (!options.open && options.port === undefined) return undefined;
  // Loaded only here: the pages' libraries would slow every other command down.
  const [{ serveDashboard }, { openBrowser }] = await Promise.all([
    import("../dashboard/listen.ts"),
    import("../dashboard/open-browser.ts"),
  ]);
  const address = { host: "127.0.0.1", port: options.port ?? 0, token: undefined };
  const dashboard = await serveDashboard(service, state, address);
  const url = dashboard.sweepUrl(sweep);
  say(`Dashboard: ${url}`);
  if (options.open) await openBrowser(url);
  return dashboard;
}

/** Shows progress until no phase of the sweep has anything left to train, or the signal comes. */
async function watch(
  service: Service,
  sweep: string,
  signal: AbortSignal,
  gaveUp: Promise<void>,
  state: StateDirectory,
): Promise<void> {
  const line = progressLine();
  const first = progressOf(service.db, sweep);
  let last = first;
  const started = Date.now();
  let failed: Error | undefined;
  void gaveUp.then(() => {
    failed = new MusweepError("worker-died", `the worker process died ${WORKER_STARTS} times`, {
      kind: "unavailable",
      remedy: `Its log is ${join(state.logs, "worker.log")}. What is done is kept; run the same command to resume.`,
    });
  });
  void service.broken.then((error) => {
    failed = error;
  });
  try {
    while (!signal.aborted) {
      const progress = progressOf(service.db, sweep);
      for (const news of phaseNews(last, progress)) {
        line.end();
        say(news);
      }
      last = progress;
      if (isSettled(progress)) return;
      if (failed) throw failed;
      line.update(progress.fraction, progressText(progress, first, (Date.now() - started) / 1000));
      await sleep(POLL_MS, signal);
    }
  } finally {
    line.end();
  }
}

function progressText(p: SweepProgress, first: SweepProgress, seconds: number): string {
  const { finished, diverged, failed, running } = p.by_state;
  const left = timeLeft(p.done_flops, first.done_flops, p.planned_flops, seconds);
  const parts = [`${finished + diverged}/${p.runs} runs`, `${running} training`];
  if (diverged > 0) parts.push(`${diverged} diverged`);
  if (failed > 0) parts.push(`${failed} failed`);
  const waiting = p.phases.filter((phase) => phase.state === "waiting").map((phase) => phase.name);
  const more = waiting.length > 0 ? `, then ${waiting.join(", ")} (not counted yet)` : "";
  return `${parts.join(", ")}, ${left} left${more}`;
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done);
  });
}

/** A worker that is started again when it dies (killed for memory, say), a few times. */
function superviseWorker(start: () => LocalWorker): {
  gaveUp: Promise<void>;
  stop(): Promise<void>;
  kill(): void;
} {
  let stopping = false;
  let worker = start();
  const gaveUp = (async () => {
    for (let starts = 1; ; starts++) {
      await worker.ended;
      if (stopping) return new Promise<void>(() => undefined);
      if (starts === WORKER_STARTS) return;
      worker = start();
    }
  })();
  return {
    gaveUp,
    async stop() {
      stopping = true;
      await worker.stop();
    },
    kill: () => worker.kill(),
  };
}

function resumeLater(service: Service, sweep: string, resume: string): MusweepError {
  const { by_state, runs } = progressOf(service.db, sweep);
  return new MusweepError(
    "interrupted",
    `Stopped: ${by_state.finished + by_state.diverged} of ${runs} runs done, the rest is kept.`,
    {
      kind: "interrupted",
      remedy: `Resume with: ${resume}`,
    },
  );
}
