/**
 * Runs that one trainer process trains together: the one that was claimed first, and those of its shape that come next on its queue, as
 * many as the trainer says pay. Each stays a job, an attempt and a row of its own; the trainer's slot is theirs until all have ended.
 */
import { setTimeout } from "node:timers/promises";
import type { RunPlan } from "../schema/wire/plan.ts";
import { shapeKeyOf } from "../schema/wire/shape-key.ts";
import type { OfferedTrainer } from "../schema/wire/worker.ts";
import { TrainerFailure } from "./trainer-failure.ts";
import type { TrainerPool } from "./trainer-pool.ts";
import type { FinalEvent, TrainerProcess, Training } from "./trainer-process.ts";

/** A run in training: by which process, and how it ends. */
export interface InTraining {
  process: TrainerProcess;
  end: Promise<FinalEvent>;
}

interface Begun {
  process: TrainerProcess;
  ends: Promise<FinalEvent>[];
}

interface Member {
  training: Training;
  start(begun: InTraining): void;
  drop(error: unknown): void;
}

/** A job that was taken to be trained along. */
export interface Companion {
  /** Resolves when its run has joined, or will not. */
  ready: Promise<void>;
}

export interface CohortOptions {
  pool: TrainerPool;
  trainer: OfferedTrainer;
  device: string;
  memoryLimit: number | null;
  /** How many of the jobs that come next, at most `most`, are of this shape. */
  alike(shape: string, most: number): Promise<number>;
  /** Takes up to so many of them; each joins this cohort when its attempt begins. */
  gather(cohort: Cohort, most: number): Promise<Companion[]>;
}

/** As long as it takes to be seen that a process has ended, core dump included; a stop of the run is heard after it. */
const DYING_MS = 2000;

/** Memory does not suffice for so many runs at once: nothing is known of a single one. */
export const COHORT_MEMORY = "cohort-memory";

/** How many runs of a shape a trainer takes on a device, as it has said: for as long as this process lives. */
const capacities = new WeakMap<TrainerPool, Map<string, number>>();

export class Cohort {
  /** Undefined where it cannot be told: the run is trained alone. */
  readonly shape: string | undefined;
  readonly #plan: RunPlan;
  readonly #options: CohortOptions;
  readonly #members: Member[] = [];
  /** Why it will not be trained: one that joins later is dropped too. */
  #dropped: { error: unknown } | undefined;
  #over: () => void = () => undefined;
  /** Resolves when all have ended, and their process is free again or gone. */
  readonly over: Promise<void>;

  /** @param plan of the run that leads */
  constructor(plan: RunPlan, options: CohortOptions) {
    this.#plan = plan;
    this.shape = shapeKeyOf(plan);
    this.#options = options;
    this.over = new Promise((resolve) => {
      this.#over = resolve;
    });
  }

  /**
   * Begins training, with whoever joins.
   * @throws TrainerFailure where no trainer can be had; nobody has joined then
   */
  async lead(training: Training): Promise<InTraining> {
    const { pool } = this.#options;
    let process: TrainerProcess | undefined;
    let begun: Begun;
    try {
      process = await this.#take();
      const companions = await this.#gather(process);
      await Promise.all(companions.map(({ ready }) => ready));
      begun = await this.#begin(process, [training, ...this.#members.map((member) => member.training)]);
    } catch (error) {
      this.#dropped = { error };
      if (process !== undefined) await pool.discard(process);
      for (const { drop } of this.#members) drop(error);
      this.#over();
      throw error;
    }
    const trainer = begun.process;
    const [end, ...ends] = begun.ends.map((end) => ofAll(end, begun.ends.length)) as [
      Promise<FinalEvent>,
      ...Promise<FinalEvent>[],
    ];
    for (const [i, { start }] of this.#members.entries()) start({ process: trainer, end: ends[i]! });
    void this.#end(trainer, [end, ...ends]);
    return { process: trainer, end };
  }

  /** @throws TrainerFailure where none can be started */
  #take(): Promise<TrainerProcess> {
    const { pool, trainer, device } = this.#options;
    return pool.take(trainer, device).catch((error: unknown) => {
      if (error instanceof TrainerFailure) error.beforeRun = true;
      throw error;
    });
  }

  /** A trainer that ended its last run well may die of it all the same: what it is sent then goes to another. */
  async #begin(process: TrainerProcess, all: readonly Training[]): Promise<Begun> {
    const ends = process.train(all);
    if (!process.isWarm) return { process, ends };
    for (const end of ends) end.catch(() => undefined);
    await Promise.race([process.answered, setTimeout(DYING_MS, undefined, { ref: false })]);
    if (!process.diedUnheard) return { process, ends };
    await this.#options.pool.discard(process);
    return this.#begin(await this.#take(), all);
  }

  /** Of a run that was gathered. Resolves when training begins. */
  join(training: Training): Promise<InTraining> {
    if (this.#dropped !== undefined) return Promise.reject(this.#dropped.error);
    return new Promise((start, drop) => {
      this.#members.push({ training, start, drop });
    });
  }

  async #gather(process: TrainerProcess): Promise<Companion[]> {
    const { pool, device, memoryLimit, alike, gather } = this.#options;
    const { shape } = this;
    if (process.mostRuns === 1 || shape === undefined) return [];
    const waiting = await alike(shape, process.mostRuns - 1);
    if (waiting === 0) return [];
    const known = capacities.get(pool) ?? new Map<string, number>();
    capacities.set(pool, known);
    const key = `${device} ${shape}`;
    const most = { plan: this.#plan, most: process.mostRuns, memory_limit_bytes: memoryLimit };
    const capacity = known.get(key) ?? (await process.capacity(most));
    known.set(key, capacity);
    return gather(this, Math.min(capacity - 1, waiting));
  }

  async #end(process: TrainerProcess, ends: Promise<FinalEvent>[]): Promise<void> {
    const { pool, device } = this.#options;
    const settled = await Promise.allSettled(ends);
    const failed = settled.filter((end) => end.status === "rejected");
    const known = capacities.get(pool);
    const key = `${device} ${this.shape}`;
    // With fewer it may go: half as many where memory did not suffice, else what the trainer says when it is asked again.
    if (failed.some(({ reason }) => isOfMemory(reason))) known?.set(key, Math.floor(ends.length / 2));
    else if (ends.length > 1 && failed.length > 0) known?.delete(key);
    if (failed.length === 0 && process.ready.single_run !== true) pool.giveBack(process);
    else await pool.discard(process);
    this.#over();
  }
}

/** Of several runs at once, one cannot be told to be too large: memory did not suffice for all of them. */
const ofAll = (end: Promise<FinalEvent>, runs: number): Promise<FinalEvent> =>
  end.catch((error: unknown) => {
    if (runs === 1 || !(error instanceof TrainerFailure) || error.code !== "memory") throw error;
    const failure = new TrainerFailure(
      COHORT_MEMORY,
      `${runs} runs at once: ${error.message}; they are trained anew, with fewer at once`,
    );
    failure.logTail = error.logTail;
    throw failure;
  });

const isOfMemory = (error: unknown): boolean =>
  error instanceof TrainerFailure && error.code === COHORT_MEMORY;
