/**
 * One run from its command to its last event: resume or start, train, evaluate, checkpoint, notice divergence. Everything
 * here that depends on the clock (checkpoints, reported speed) leaves the numbers alone.
 */

import type { ModuleSize } from "../../../schema/wire/coordinates.ts";
import { flopsPerToken, parameterCount, tokenCount, trainingFlops } from "../../../schema/wire/cost.ts";
import { MusweepError } from "../../../schema/wire/errors.ts";
import { runIdOf } from "../../../schema/wire/plan.ts";
import type { ModelRunCommand, TrainerEvent } from "../../../schema/wire/protocol.ts";
import { loadCheckpoint, stageCheckpoint } from "../common/checkpoint.ts";
import { DataSource } from "../common/data.ts";
import {
  finiteOrNull,
  initialLossState,
  type LossState,
  observeStep,
  type Verdict,
} from "../common/divergence.ts";
import { EventLog } from "../common/event-log.ts";
import { writeSafetensors } from "../common/safetensors.ts";
import { Engine, eventLoopTurn, type StepResult } from "./engine.ts";
import { estimateMemory } from "./memory.ts";
import { layOutRun } from "./run-memory.ts";
import { kernelsHere } from "./tape.ts";

export const ENGINE = {
  name: "musweep-cpu",
  /**
   * Of its arithmetic: to be raised when the same plan gives other bits than before. Processors and compilers may round in another
   * order, so which kernels ran is said as well.
   */
  version: `3, ${kernelsHere()}`,
};

/** A step is reported at least this often, so that nobody takes a slow model for a dead trainer. */
const SIGN_OF_LIFE_SECONDS = 10;

/** What the worker has asked of the running run. */
export type Interruption = "stop" | "cancel" | null;

/**
 * Trains one run and emits its events, up to and including the one that ends it.
 * @param interruption asked between steps
 * @throws MusweepError whose code becomes that of a `failed` event
 */
export async function trainRun(
  command: ModelRunCommand,
  threads: number,
  emit: (event: TrainerEvent) => void,
  interruption: () => Interruption,
): Promise<void> {
  const { plan } = command;
  const layout = layOutRun(plan, threads);
  const memory = estimateMemory(command, layout);
  if (command.memory_limit_bytes !== null && memory > command.memory_limit_bytes)
    throw new MusweepError(
      "memory",
      `The run needs about ${mebibytes(memory)} MiB; this trainer may use ${mebibytes(command.memory_limit_bytes)} MiB.`,
      { kind: "unavailable", remedy: "Set a smaller micro_batch_size, or give the worker more memory." },
    );
  const data = new DataSource(plan, command.data_directory);
  try {
    const engine = new Engine(plan, data, threads, layout);
    try {
      collectGarbage();
      await new Run(command, engine, emit, interruption).train(memory);
    } finally {
      engine.release();
    }
  } finally {
    data.close();
  }
}

/** At times when there is much of it, so that it does not become more; takes some milliseconds. Node has to be started for it. */
const collectGarbage = (): void => globalThis.gc?.();

const mebibytes = (bytes: number): number => Math.ceil(bytes / 2 ** 20);

class Run {
  readonly #command: ModelRunCommand;
  readonly #engine: Engine;
  readonly #emit: (event: TrainerEvent) => void;
  readonly #interruption: () => Interruption;
  #step = 0;
  #loss: LossState = initialLossState;
  /** What an attempt that goes on from the next checkpoint emits again. */
  #events = new EventLog();
  /** Seconds of earlier attempts, and when this one began. */
  #secondsBefore = 0;
  #startedAt = performance.now();
  /** Settles when the last checkpoint is one to resume from: the disk takes its time beside the steps after it. */
  #committing: Promise<void> = Promise.resolve();

  constructor(
    command: ModelRunCommand,
    engine: Engine,
    emit: (event: TrainerEvent) => void,
    interruption: () => Interruption,
  ) {
    this.#command = command;
    this.#engine = engine;
    this.#emit = emit;
    this.#interruption = interruption;
  }

  async train(estimatedMemory: number): Promise<void> {
    try {
      await this.#train(estimatedMemory);
    } finally {
      await this.#committing.catch(() => {});
    }
  }

  async #train(estimatedMemory: number): Promise<void> {
    const { plan, checkpoint, run } = this.#command;
    const initial = this.#initialCoordinates();
    const notes = this.#resumeOrStart();
    this.#emit({
      type: "started",
      run,
      resumed_from_step: this.#step,
      parameters: parameterCount(plan),
      nonzero_parameters: this.#engine.existingParameters(),
      estimated_memory_bytes: estimatedMemory,
      notes,
    });
    for (const event of this.#events) this.#emit(event);
    if (this.#step === 0 && initial !== null) this.#emitCoordinates(initial);
    this.#startedAt = performance.now();
    let checkpointedAt = this.#startedAt;
    const speed = new SpeedMeter(this.#step);

    while (this.#step < plan.steps) {
      await eventLoopTurn();
      const result = await this.#nextStep();
      if ("asked" in result) return this.#stop(result.asked);

      const { loss, gradientNorm } = result;
      this.#step++;
      const observed = observeStep(this.#loss, loss, gradientNorm, plan.divergence.patience_steps);
      this.#loss = observed.state;
      const isDue = this.#isDue();
      if (Number.isFinite(loss) && (isDue || speed.secondsSinceReport() >= SIGN_OF_LIFE_SECONDS)) {
        const event: TrainerEvent = {
          type: "step",
          run,
          step: this.#step,
          train_loss: loss,
          gradient_norm: finiteOrNull(gradientNorm),
          tokens_per_second: speed.rate(this.#step, plan.batch_size * plan.shape.sequence_length),
        };
        if (isDue) this.#report(event);
        else this.#emit(event);
      }
      if (observed.verdict !== "training") return this.#diverge(observed.verdict);
      if (initial !== null && this.#step <= plan.coordinates!.steps)
        this.#emitCoordinates(this.#engine.coordinates());

      const every = plan.evaluation.every_steps;
      if (every !== null && this.#step % every === 0 && this.#step < plan.steps) await this.#evaluate();
      if (checkpoint !== null && this.#step < plan.steps) {
        if (performance.now() - checkpointedAt < checkpoint.every_seconds * 1000) continue;
        await this.#checkpoint(checkpoint.directory);
        checkpointedAt = performance.now();
      }
    }
    await this.#finish();
  }

  async #nextStep(): Promise<StepResult | { asked: "stop" | "cancel" }> {
    const interrupted = () => this.#interruption() !== null;
    const result = interrupted() ? null : await this.#engine.step(this.#step + 1, interrupted);
    return result ?? { asked: this.#interruption()! };
  }

  /** @returns what the attempt's record should say about it */
  #resumeOrStart(): string[] {
    const { plan, checkpoint } = this.#command;
    if (checkpoint === null) {
      this.#engine.initialize();
      return [];
    }
    const tensors = this.#engine.stateTensors();
    const { progress, notes } = loadCheckpoint(checkpoint.directory, runIdOf(plan), ENGINE, tensors);
    if (progress === null) this.#engine.initialize();
    else {
      this.#engine.weightsChanged();
      this.#step = progress.step;
      this.#loss = progress.loss;
      this.#secondsBefore = progress.seconds;
      this.#events = progress.events;
    }
    return notes;
  }

  /** Also before resuming: changes are measured from the initial network. */
  #initialCoordinates(): ModuleSize[] | null {
    if (this.#command.plan.coordinates === undefined) return null;
    this.#engine.initialize();
    return this.#engine.coordinates();
  }

  #emitCoordinates(modules: ModuleSize[]): void {
    this.#report({ type: "coordinates", run: this.#command.run, step: this.#step, modules });
  }

  #isDue(): boolean {
    const { plan, report_every_steps: every } = this.#command;
    return this.#step === 1 || this.#step === plan.steps || this.#step % every === 0;
  }

  #seconds(): number {
    return this.#secondsBefore + (performance.now() - this.#startedAt) / 1000;
  }

  async #evaluate(): Promise<number> {
    const loss = await this.#engine.evaluate();
    this.#report({
      type: "evaluation",
      run: this.#command.run,
      step: this.#step,
      validation_loss: finiteOrNull(loss),
    });
    return loss;
  }

  /** Emits what a resumed run will not come by again, and keeps it for its checkpoints. */
  #report(event: TrainerEvent): void {
    if (this.#command.checkpoint !== null) this.#events.add(event);
    this.#emit(event);
  }

  /** Writes one. Its event follows when it is committed, which `#committing` waits for. */
  async #checkpoint(directory: string): Promise<string> {
    await this.#committing;
    const { plan, run } = this.#command;
    const step = this.#step;
    const progress = { step, seconds: this.#seconds(), loss: this.#loss, events: this.#events };
    const tensors = this.#engine.stateTensors();
    const { path, bytes, commit } = await stageCheckpoint(
      directory,
      runIdOf(plan),
      ENGINE,
      progress,
      tensors,
    );
    this.#committing = commit().then(() => this.#emit({ type: "checkpoint", run, step, path, bytes }));
    collectGarbage();
    // Thrown where it is awaited: by the next checkpoint, or the end of the run.
    this.#committing.catch(() => {});
    return path;
  }

  async #stop(asked: "stop" | "cancel"): Promise<void> {
    const { checkpoint, run } = this.#command;
    const saved = asked === "stop" && checkpoint !== null && this.#step > 0;
    const path = saved ? await this.#checkpoint(checkpoint.directory) : null;
    await this.#end({ type: "stopped", run, step: this.#step, checkpoint: path });
  }

  /** A run's last event: nothing of it is under way then. */
  async #end(event: TrainerEvent): Promise<void> {
    await this.#committing;
    this.#emit(event);
  }

  async #diverge(reason: Exclude<Verdict, "training">): Promise<void> {
    const { plan, run } = this.#command;
    const tokens = this.#step * plan.batch_size * plan.shape.sequence_length;
    const seconds = this.#seconds();
    await this.#end({
      type: "diverged",
      run,
      step: this.#step,
      last_finite_loss: this.#loss.lastFinite,
      reason,
      tokens,
      flops: tokens * flopsPerToken(plan),
      seconds,
    });
  }

  async #finish(): Promise<void> {
    const { plan, run, weights_path } = this.#command;
    const validationLoss = await this.#evaluate();
    const trainLoss = this.#loss.lastFinite;
    if (!Number.isFinite(validationLoss) || trainLoss === null || !this.#engine.weightsAreFinite())
      return this.#diverge("non-finite");
    if (validationLoss === 0)
      throw new MusweepError(
        "zero-loss",
        "The validation loss is 0: the model is certain of every token, and no logarithm of it can be fitted.",
        { kind: "usage", remedy: "Train fewer steps, or on data that is harder to predict." },
      );
    const seconds = this.#seconds();
    if (weights_path !== null)
      await writeSafetensors(weights_path, this.#engine.weightTensors(), {
        format: "pt",
        run: runIdOf(plan),
        step: String(this.#step),
      });
    await this.#end({
      type: "finished",
      run,
      step: this.#step,
      train_loss: trainLoss,
      validation_loss: validationLoss,
      tokens: tokenCount(plan),
      flops: trainingFlops(plan),
      seconds,
      weights_path,
    });
  }
}

/** Tokens per second since the last report, and how long ago that was. */
class SpeedMeter {
  #step: number;
  #at = performance.now();

  constructor(step: number) {
    this.#step = step;
  }

  secondsSinceReport = (): number => (performance.now() - this.#at) / 1000;

  rate(step: number, tokensPerStep: number): number {
    const now = performance.now();
    const rate = ((step - this.#step) * tokensPerStep * 1000) / Math.max(now - this.#at, 1e-3);
    this.#step = step;
    this.#at = now;
    return rate;
  }
}
