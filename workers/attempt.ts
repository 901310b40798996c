/**
 * One attempt at one run: takes a warm trainer, hands it the plan, turns its events into the collector's, and says how it
 * ended. The only ways out are a reported end (finished, diverged, released) and a TrainerFailure.
 */
import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { MAX_OWN_METRICS } from "../schema/wire/outcomes.ts";
import type { RunPlan } from "../schema/wire/plan.ts";
import type { RunCommand, TrainerEvent } from "../schema/wire/protocol.ts";
import type { WorkerConfig } from "../schema/wire/worker.ts";
import type { InTraining } from "./cohort.ts";
import type { Reporter } from "./reporter.ts";
import { RunAccount } from "./run-account.ts";
import { checkpointDirectory, weightsPath } from "./run-paths.ts";
import { TrainerFailure } from "./trainer-failure.ts";
import type { FinalEvent, ReadyEvent, TrainerProcess, Training } from "./trainer-process.ts";

/** Training-loss points kept per run: enough for a curve, few enough for ten million rows in all. */
const POINTS_PER_RUN = 200;

/** What ends a trainer reaches its worker within so long, where it is meant for all of them. */
const STOP_COMES_MS = 1000;
/** What a trainer fails with where it, or a process of its own, dies of what stops the worker too. */
const OF_A_STOP: ReadonlySet<string> = new Set(["trainer-exited", "internal"]);

/** Why a running attempt is to end before its run does. */
export type StopReason = "shutdown" | "cancelled" | "lock-lost";

export interface Progress {
  run: string;
  step: number;
  steps: number;
  tokens_per_second: number;
}

export interface AttemptOptions {
  run: string;
  plan: RunPlan;
  keepWeights: boolean;
  config: WorkerConfig;
  /** Of its slot. */
  device: string;
  /** Hands the run to a trainer. @throws TrainerFailure where none can be had */
  train(training: Training): Promise<InTraining>;
  reporter: Reporter;
  progress: Progress;
  /** Whether no other worker has taken the run over. */
  isHeld(): Promise<boolean>;
  /** Calls back at most once, whenever the attempt is to end early. */
  onStop(callback: (reason: StopReason) => void): void;
}

/** @returns what its trainer failed with because all was being stopped */
export async function executeAttempt(options: AttemptOptions): Promise<TrainerFailure | undefined> {
  const { run, config, progress, reporter } = options;
  await reporter.report({ type: "claimed" });
  let stopReason: StopReason | undefined;
  let trainer: TrainerProcess | undefined;
  const ask = (): void => {
    if (trainer && stopReason) trainer.send({ type: stopReason === "shutdown" ? "stop" : "cancel", run });
  };
  const asked = new Promise<void>((resolve) => {
    options.onStop((reason) => {
      stopReason = reason;
      ask();
      resolve();
    });
  });
  const command = runCommand(options);
  const account = new RunAccount(command.plan, command.weights_path);
  const own = new OwnMetrics();
  let goesOn: boolean;
  try {
    const onEvent: Training["onEvent"] = (event, ready) => forward(event, options, ready, own);
    const begun = await options.train({ command, onEvent, account });
    trainer = begun.process;
    ask();
    const end = await begun.end;
    await reportEnd(end, options, trainer, stopReason, own);
    // Whoever holds the run now, or takes it up again, starts from its checkpoints.
    goesOn = end.type === "stopped" || stopReason === "lock-lost" || !(await options.isHeld());
  } catch (error) {
    if (!(error instanceof TrainerFailure)) throw error;
    if (error.byStopSignal) await Promise.race([asked, sleep(STOP_COMES_MS)]);
    // A trainer that would not stop was ended, or was stopped without being asked: the run goes on elsewhere, from its last checkpoint.
    const isStopped = stopReason === "shutdown" && OF_A_STOP.has(error.code);
    if (stopReason === undefined || !(isStopped || error.code === "trainer-ended")) throw error;
    await reportReleased(options, stopReason, progress.step, account.checkpoint);
    return isStopped ? error : undefined;
  }
  if (!goesOn) rmSync(checkpointDirectory(config, run), { recursive: true, force: true });
  return undefined;
}

/** To the collector, unless somebody else holds the run by now: then its events are the ones that count. */
async function reportReleased(
  { reporter }: AttemptOptions,
  reason: StopReason,
  step: number,
  checkpoint: string | null,
): Promise<void> {
  if (reason !== "lock-lost") await reporter.report({ type: "released", step, reason, checkpoint });
}

/** As an event has them. */
type Own = { own_metrics?: Record<string, number> };

/** What a trainer reports beside its losses, the first few names of it: their last values, and their curves. */
class OwnMetrics {
  readonly #last = new Map<string, { value: number; kept: number }>();

  /** @returns what of it becomes points: all where the step has one, else what has had none for so many steps */
  take(metrics: Readonly<Record<string, number>> = {}, step: number, every: number): Own {
    const points: Record<string, number> = {};
    for (const [name, value] of Object.entries(metrics)) {
      const kept = this.#last.get(name)?.kept;
      if (kept === undefined && this.#last.size >= MAX_OWN_METRICS) continue;
      const isPoint = kept === undefined || step - kept >= every;
      if (isPoint) points[name] = value;
      this.#last.set(name, { value, kept: isPoint ? step : kept });
    }
    return asOwn(points);
  }

  /** The last value of each. */
  get said(): Own {
    return asOwn(Object.fromEntries([...this.#last].map(([name, { value }]) => [name, value])));
  }
}

const asOwn = (own_metrics: Record<string, number>): Own =>
  Object.keys(own_metrics).length === 0 ? {} : { own_metrics };

const reportEverySteps = ({ steps }: RunPlan): number =>
  steps === null ? 1 : Math.ceil(steps / POINTS_PER_RUN);

/** Steps between two points of a curve. Of a run whose length only the script knows, they are ever farther apart. */
function spacing(step: number, plan: RunPlan): number {
  let every = reportEverySteps(plan);
  while (plan.steps === null && step / every > POINTS_PER_RUN) every *= 2;
  return every;
}

/** Of a slot, for all that is trained in it at once. */
export const memoryLimit = ({ memory_bytes_per_slot }: WorkerConfig, device: string): number | null =>
  device === "cpu" ? memory_bytes_per_slot : null;

function runCommand(options: AttemptOptions): RunCommand {
  const { run, plan, config, device } = options;
  return {
    type: "run",
    run,
    plan,
    data_directory: config.data_directory,
    checkpoint: {
      directory: checkpointDirectory(config, run),
      every_seconds: config.checkpoint_seconds,
    },
    weights_path: options.keepWeights ? weightsPath(config, run) : null,
    report_every_steps: reportEverySteps(plan),
    memory_limit_bytes: memoryLimit(config, device),
  };
}

function forward(event: TrainerEvent, options: AttemptOptions, ready: ReadyEvent, own: OwnMetrics): void {
  const { reporter, progress, plan } = options;
  switch (event.type) {
    case "started": {
      progress.step = event.resumed_from_step;
      const { engine, engine_version, device } = ready;
      const { run: _run, estimated_memory_bytes: _bytes, ...said } = event;
      void reporter.report({ ...said, engine, engine_version, device });
      return;
    }
    case "step": {
      const { step, train_loss, gradient_norm, tokens_per_second, metrics } = event;
      progress.step = step;
      progress.tokens_per_second = tokens_per_second;
      const every = spacing(step, plan);
      // Slow trainers also report between these steps, as a sign of life.
      const isKept = step === 1 || step === plan.steps || step % every === 0;
      const more = own.take(metrics, step, isKept ? 0 : every);
      if (isKept) reporter.point({ step, train_loss, gradient_norm, tokens_per_second, ...more });
      else if (more.own_metrics !== undefined) reporter.point({ step, ...more });
      return;
    }
    case "evaluation": {
      const { step, validation_loss, metrics } = event;
      reporter.point({ step, validation_loss, ...own.take(metrics, step, 0) });
      return;
    }
    case "coordinates":
      void reporter.report({ type: "coordinates", step: event.step, modules: event.modules });
      return;
    case "checkpoint":
      void reporter.report({ type: "checkpoint", step: event.step, path: event.path });
      return;
    default:
      return;
  }
}

async function reportEnd(
  end: FinalEvent,
  options: AttemptOptions,
  trainer: TrainerProcess,
  stopReason: StopReason | undefined,
  own: OwnMetrics,
): Promise<void> {
  const { reporter } = options;
  const log_tail = await trainer.logTail();
  switch (end.type) {
    case "finished":
    case "diverged": {
      const { run: _run, ...result } = end;
      await reporter.report({ ...result, ...own.said, log_tail });
      return;
    }
    case "stopped":
      if (stopReason === undefined)
        throw new TrainerFailure("trainer-protocol", "the trainer stopped without being asked to");
      await reportReleased(options, stopReason, end.step, end.checkpoint);
  }
}
