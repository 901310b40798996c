/**
 * One attempt at one run: takes a warm trainer, hands it the plan, turns its events into the collector's, and says how it
 * ended. The only ways out are a reported end (finished, diverged, released) and a TrainerFailure.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Plan } from "../schema/plan.ts";
import type { RunCommand, TrainerEvent } from "../schema/protocol.ts";
import type { WorkerConfig } from "../schema/worker.ts";
import type { Reporter } from "./reporter.ts";
import type { TrainerPool } from "./trainer-pool.ts";
import { type FinalEvent, TrainerFailure, type TrainerProcess } from "./trainer-process.ts";

/** Training-loss points kept per run: enough for a curve, few enough for ten million rows in all. */
const POINTS_PER_RUN = 200;

/** Why a running attempt is to end before its run does. */
export type Interrupt = "shutdown" | "cancelled" | "lock-lost";

export interface Progress {
  run: string;
  step: number;
  steps: number;
  tokens_per_second: number;
}

export interface AttemptOptions {
  run: string;
  plan: Plan;
  keepWeights: boolean;
  config: WorkerConfig;
  pool: TrainerPool;
  reporter: Reporter;
  progress: Progress;
  /** Calls back at most once, whenever the attempt is to end early. */
  onInterrupt(callback: (reason: Interrupt) => void): void;
}

export async function executeAttempt(options: AttemptOptions): Promise<void> {
  const { run, config, pool, reporter } = options;
  await reporter.report({ type: "claimed" });
  let interrupt: Interrupt | undefined;
  let trainer: TrainerProcess | undefined;
  const ask = (): void => {
    if (trainer && interrupt) trainer.send({ type: interrupt === "shutdown" ? "stop" : "cancel", run });
  };
  options.onInterrupt((reason) => {
    interrupt = reason;
    ask();
  });
  trainer = await pool.take();
  let goesOn: boolean;
  try {
    const running = trainer.run(runCommand(options), (event) => forward(event, options, trainer!));
    ask();
    const end = await running;
    await reportEnd(end, options, trainer, interrupt);
    // Whoever holds the run now, or takes it up again, starts from its checkpoints.
    goesOn = end.type === "stopped" || interrupt === "lock-lost";
    pool.giveBack(trainer);
  } catch (error) {
    await pool.discard(trainer);
    throw error;
  }
  if (!goesOn) rmSync(join(config.checkpoint_directory, run), { recursive: true, force: true });
}

const reportEverySteps = (plan: Plan): number => Math.ceil(plan.steps / POINTS_PER_RUN);

function runCommand(options: AttemptOptions): RunCommand {
  const { run, plan, config } = options;
  return {
    type: "run",
    run,
    plan,
    data_directory: config.data_directory,
    checkpoint: {
      directory: join(config.checkpoint_directory, run),
      every_seconds: config.checkpoint_seconds,
    },
    weights_path: options.keepWeights ? join(config.weights_directory, `${run}.safetensors`) : null,
    report_every_steps: reportEverySteps(plan),
    memory_limit_bytes: config.memory_bytes_per_slot,
  };
}

function forward(event: TrainerEvent, options: AttemptOptions, trainer: TrainerProcess): void {
  const { reporter, progress, plan } = options;
  switch (event.type) {
    case "started": {
      progress.step = event.resumed_from_step;
      const { engine, engine_version, device } = trainer.ready;
      void reporter.report({
        type: "started",
        engine,
        engine_version,
        device,
        resumed_from_step: event.resumed_from_step,
        parameters: event.parameters,
        nonzero_parameters: event.nonzero_parameters,
        notes: event.notes,
      });
      return;
    }
    case "step":
      progress.step = event.step;
      progress.tokens_per_second = event.tokens_per_second;
      // Slow trainers also report between these steps, as a sign of life.
      if (event.step !== 1 && event.step !== plan.steps && event.step % reportEverySteps(plan) !== 0) return;
      reporter.point({
        step: event.step,
        train_loss: event.train_loss,
        gradient_norm: event.gradient_norm,
        tokens_per_second: event.tokens_per_second,
      });
      return;
    case "evaluation":
      reporter.point({ step: event.step, validation_loss: event.validation_loss });
      return;
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
  interrupt: Interrupt | undefined,
): Promise<void> {
  const { reporter } = options;
  const log_tail = trainer.logTail;
  switch (end.type) {
    case "finished": {
      const { type, step, train_loss, validation_loss, tokens, flops, seconds, weights_path } = end;
      await reporter.report({
        type,
        step,
        train_loss,
        validation_loss,
        tokens,
        flops,
        seconds,
        weights_path,
        log_tail,
      });
      return;
    }
    case "diverged": {
      const { type, step, last_finite_loss, reason, tokens, flops, seconds } = end;
      await reporter.report({ type, step, last_finite_loss, reason, tokens, flops, seconds, log_tail });
      return;
    }
    case "stopped":
      if (interrupt === undefined)
        throw new TrainerFailure("trainer-protocol", "the trainer stopped without being asked to");
      // Somebody else holds the run by now; its events are the ones that count.
      if (interrupt === "lock-lost") return;
      await reporter.report({
        type: "released",
        step: end.step,
        reason: interrupt,
        checkpoint: end.checkpoint,
      });
  }
}
