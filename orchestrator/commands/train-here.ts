/**
 * Trains a sweep on this machine, start to end: stores it, starts Redis, collector and workers, shows how far it is, and
 * shuts all of it down. Interrupted, it checkpoints; the same command goes on.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Logger, pino } from "pino";
import { EXIT_CODES, MusweepError } from "../../schema/wire/errors.ts";
import { logStream } from "../../schema/wire/log.ts";
import { describeNeed, workerCommandFor, workerOptionsFor } from "../../schema/wire/need.ts";
import { onStopSignal } from "../../schema/wire/stop-signals.ts";
import { EXIT_WITHOUT_TRAINER, type OfferedTrainer } from "../../schema/wire/worker.ts";
import { lossText } from "../analysis/loss-text.ts";
import type { Dashboard } from "../dashboard/listen.ts";
import { lastGivenBack } from "../database/attempts.ts";
import { awayRuns } from "../database/away-runs.ts";
import { bestRun } from "../database/best-run.ts";
import {
  isSettled,
  progressOf,
  type SweepProgress,
  sweepProgress,
  unfinished,
} from "../database/progress.ts";
import { type LocalWorker, startLocalWorker } from "../machine/local-worker.ts";
import { keepFilesPrivate, openState } from "../machine/open-state.ts";
import type { StateDirectory } from "../machine/state-directory.ts";
import { namedToken, ownToken } from "../machine/token.ts";
import { workerDisk } from "../machine/worker-disk.ts";
import { type Service, startService } from "../queue/service.ts";
import { inTime } from "../redis/in-time.ts";
import { phaseNews } from "../report/phase-states.ts";
import { loadSweep, type SweepText, submitSweep } from "../submission/load-sweep.ts";
import { needsOfPhase } from "../sweep/needs-of-phase.ts";
import { titleOf } from "../sweep/title.ts";
import { amount, plural } from "../terminal/format.ts";
import { progressLine, timeLeft } from "../terminal/progress.ts";
import { type CommonOptions, commandLine, say, sayGone, sayInstalling } from "./common.ts";
import { submittedText } from "./submit.ts";
import { type WorkerOptions, workerConfig } from "./worker-options.ts";
import { isFor, needsMetBy, type Offer, programOf, resolveTrainers, trainerIn } from "./worker-trainer.ts";

export interface TrainOptions extends CommonOptions, WorkerOptions {
  redis?: string;
  /** Whatever other sweeps still want is trained as well. */
  all?: boolean;
  open?: boolean;
  port?: number;
}

const POLL_MS = 250;
const BEST_MS = 2000;
const COLLECT_MS = 10_000;
/** A local worker that dies so often in a row, while nothing is trained, is not started again. */
const DEATHS_WITHOUT_PROGRESS = 5;

/**
 * @param finish told when nothing is left to train
 */
export async function trainHere(
  read: SweepText,
  options: TrainOptions,
  finish: (service: Service, seconds: number) => void,
): Promise<void> {
  const started = Date.now();
  const offer = await resolveTrainers(options);
  // A private Redis has no other workers than those of this command.
  if (options.redis === undefined) refuseUnmet(read, offer);
  const endPrivacy = keepFilesPrivate();
  const state = openState(options);
  mkdirSync(state.logs, { recursive: true });
  const log = pino({ base: null }, logStream(join(state.logs, "orchestrator.log")));
  const interrupted = new AbortController();
  let kill: () => void = () => undefined;
  const endSignals = onStopSignal((_signal, again) => {
    if (again) {
      kill();
      process.exit(EXIT_CODES.interrupted);
    }
    interrupted.abort();
  });
  try {
    const service = await startService(state, {
      redisUrl: options.redis,
      log,
      onInstall: sayInstalling,
      signal: interrupted.signal,
      only: options.all ? undefined : read.sweep.name,
    });
    try {
      await submitFile(service, state, read, interrupted.signal);
      if (!options.all) sayOthers(service, read.sweep.name);
      const dashboard = await showDashboard(service, state, read.sweep.name, options, log);
      const worker = superviseWorker(
        () => workDone(service, read.sweep.name),
        () =>
          startLocalWorker(
            workerConfig(state, service.redis.url, options, offer, { givesBack: false }),
            join(state.logs, "worker.log"),
          ),
      );
      kill = worker.kill;
      try {
        const failed = worker.gaveUp.then((code) => whyGaveUp(service, code, state, offer));
        await watch(service, read.sweep.name, interrupted.signal, failed);
        if (interrupted.signal.aborted)
          say("Stopping: runs in progress are checkpointed. Ctrl-C again to stop at once.");
      } finally {
        await dashboard?.close();
        await service.stopDispatching();
        await worker.stop();
      }
      // Not for ever, with a Redis that is away: every result is stored by now, or the next command collects it.
      await inTime(service.collected(), COLLECT_MS);
      if (interrupted.signal.aborted) throw resumeLater(service, read.sweep.name);
      finish(service, (Date.now() - started) / 1000);
    } finally {
      await service.close();
    }
  } catch (error) {
    if (!interrupted.signal.aborted || error instanceof MusweepError) throw error;
    throw new MusweepError("interrupted", "Stopped before training began.", { kind: "interrupted" });
  } finally {
    endSignals();
    endPrivacy();
  }
}

/** @throws MusweepError where a phase would wait for a worker that this command does not start */
function refuseUnmet({ sweep, text }: SweepText, offer: Offer): void {
  const met = needsMetBy(offer);
  const known = trainerIn(text);
  const isUsed = sweep.phases.some((phase) => needsOfPhase(phase).some((need) => met.has(need)));
  for (const phase of sweep.phases) {
    const need = needsOfPhase(phase).find((need) => !met.has(need));
    if (need === undefined) continue;
    const options = [
      ...(isUsed && offer.trainers.some(isEmbedded) ? ["--trainer musweep"] : []),
      workerOptionsFor(need, known),
    ];
    throw new MusweepError(
      "no-worker",
      `phase ${phase.name} needs ${describeNeed(need)}, which this command would not start`,
      {
        kind: "unavailable",
        remedy: `Add ${options.join(" ")}; or train with \`musweep serve\`, and \`${workerCommandFor(need, known)}\` where there is one.`,
      },
    );
  }
}

const isEmbedded = ({ start }: OfferedTrainer): boolean => start === "embedded";

async function submitFile(
  service: Service,
  state: StateDirectory,
  read: SweepText,
  signal: AbortSignal,
): Promise<void> {
  const line = progressLine();
  const loaded = await loadSweep(read, state, {
    signal,
    onGone: sayGone,
    verify: true,
    onProgress: ({ read_bytes, total_bytes }) =>
      line.update(total_bytes > 0 ? read_bytes / total_bytes : 0, `tokenizing: ${amount(read_bytes, "B")}`),
  }).finally(() => line.end());
  say(submittedText(await submitSweep(service.db, loaded)));
}

/** What other sweeps want stays as it is, and is not forgotten. */
function sayOthers({ db }: Service, sweep: string): void {
  const others = sweepProgress(db).filter(
    (p) => p.sweep !== sweep && p.state === "active" && unfinished(p) > 0,
  );
  if (others.length === 0) return;
  const runs = others.reduce((sum, p) => sum + unfinished(p), 0);
  const names = others.slice(0, 3).map((p) => p.sweep);
  const more = others.length > names.length ? " and others" : "";
  say(`Not trained here: ${plural(runs, "run")} of ${names.join(", ")}${more} (--all trains them too).`);
}

/** On a free port unless one was asked for; where nobody watches at a terminal, only when it was asked for. */
async function showDashboard(
  service: Service,
  state: StateDirectory,
  sweep: string,
  options: TrainOptions,
  log: Logger,
): Promise<Dashboard | undefined> {
  if (!options.open && options.port === undefined && !process.stderr.isTTY) return undefined;
  // Loaded only here: the pages' libraries would slow every other command down.
  const [{ serveDashboard }, { sweepPath }, { openBrowser }] = await Promise.all([
    import("../dashboard/listen.ts"),
    import("../dashboard/components.ts"),
    import("../machine/open-browser.ts"),
  ]);
  const address = { host: "127.0.0.1", port: options.port ?? 0 };
  const named = namedToken({});
  const dashboard = await serveDashboard(service, state, address, {
    token: named ?? ownToken(state),
    ownerOnly: named === undefined,
    log,
  });
  say(`Dashboard: ${dashboard.link(sweepPath(sweep))} (logs in once, within an hour)`);
  if (options.open) await openBrowser(dashboard.link(sweepPath(sweep)));
  return dashboard;
}

/** Shows progress until no phase of the sweep has anything left to train, or the signal comes. */
async function watch(
  service: Service,
  sweep: string,
  signal: AbortSignal,
  workerFailed: Promise<Error>,
): Promise<void> {
  const line = progressLine();
  const best = bestSoFar(service);
  const first = progressOf(service.db, sweep);
  let last = first;
  const started = Date.now();
  let failed: Error | undefined;
  void Promise.race([workerFailed, service.broken]).then((error) => {
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
      refuseAway(service, progress);
      const text = progressText(progress, first, (Date.now() - started) / 1000);
      line.update(progress.fraction, text + best(progress));
      await sleep(POLL_MS, signal);
    }
  } finally {
    line.end();
  }
}

/** @param code of the worker that is not started again */
async function whyGaveUp(
  service: Service,
  code: number | null,
  state: StateDirectory,
  offer: Offer,
): Promise<MusweepError> {
  if (code === EXIT_CODES.unavailable) return workerDisk(state);
  const log = join(state.logs, "worker.log");
  if (code !== EXIT_WITHOUT_TRAINER)
    return new MusweepError(
      "worker-died",
      `the worker process died ${DEATHS_WITHOUT_PROGRESS} times in a row, and nothing was trained between`,
      {
        kind: "unavailable",
        remedy: `Its log is ${log}. What is done is kept; run the same command to resume.`,
      },
    );
  await inTime(service.collected(), COLLECT_MS);
  const last = lastGivenBack(service.db);
  const trainer = offer.trainers.find((trainer) => last !== undefined && isFor(trainer, last.need));
  return new MusweepError(
    "trainer-start",
    `${trainer === undefined ? "the trainer" : programOf(trainer)} does not start: ${last?.error ?? `see ${log}`}`,
    {
      kind: "unavailable",
      remedy:
        "No run has failed by it: they all wait. Mend what it says, then run the same command again; " +
        "`musweep trainer check FILE` with the same --trainer tries the program alone.",
    },
  );
}

/** @throws MusweepError where nothing is left but runs that are trained elsewhere: they would be waited for in vain */
function refuseAway({ db }: Service, progress: SweepProgress): void {
  const left = unfinished(progress);
  if (left === 0 || progress.by_state.pending > 0) return;
  const { sweep } = progress;
  if (awayRuns(db, sweep).length < left) return;
  throw new MusweepError(
    "runs-away",
    `the ${plural(left, "run")} that ${left === 1 ? "is" : "are"} left of ${sweep} ${left === 1 ? "is" : "are"} away`,
    {
      kind: "unavailable",
      remedy: `\`musweep collect FILE\` brings results back; \`musweep jobs ${sweep} --take-back\` trains them here.`,
    },
  );
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

/** The lowest loss and where it is, looked for again only after a run has finished, and not with each of thousands. */
function bestSoFar({ db }: Service): (progress: SweepProgress) => string {
  let seen = 0;
  let next = 0;
  let text = "";
  return ({ id, by_state: { finished } }) => {
    if (finished === seen || Date.now() < next) return text;
    seen = finished;
    next = Date.now() + BEST_MS;
    const best = bestRun(db, id);
    if (best === undefined) return text;
    const { parameterization, sparsity, learning_rate } = best.coordinates;
    text = `; best ${lossText(best.loss, 3)} at ${titleOf({ learning_rate })} (${titleOf({ parameterization, sparsity })})`;
    return text;
  };
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

/** Grows with every run that ends, and with every step of the others. */
function workDone({ db }: Service, sweep: string): number {
  const { done_flops, by_state } = progressOf(db, sweep);
  return done_flops + by_state.failed;
}

/** A worker that is started again whenever it dies (killed for memory, say), as long as there is progress. */
function superviseWorker(
  progress: () => number,
  start: () => LocalWorker,
): {
  /** With the last exit code. */
  gaveUp: Promise<number | null>;
  stop(): Promise<void>;
  kill(): void;
} {
  let stopping = false;
  let worker = start();
  const gaveUp = (async () => {
    let furthest = progress();
    for (let deaths = 1; ; deaths++) {
      const code = await worker.ended;
      if (stopping) return new Promise<never>(() => undefined);
      // Its disk is full, or its trainer does not start: another one would find it so too.
      if (code === EXIT_CODES.unavailable || code === EXIT_WITHOUT_TRAINER) return code;
      const reached = progress();
      if (reached > furthest) deaths = 1;
      if (deaths === DEATHS_WITHOUT_PROGRESS) return code;
      furthest = Math.max(furthest, reached);
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

function resumeLater(service: Service, sweep: string): MusweepError {
  const { by_state, runs } = progressOf(service.db, sweep);
  return new MusweepError(
    "interrupted",
    `Stopped: ${by_state.finished + by_state.diverged} of ${runs} runs done, the rest is kept.`,
    {
      kind: "interrupted",
      remedy: `Resume with: ${commandLine()}`,
    },
  );
}
