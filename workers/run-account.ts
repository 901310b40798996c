/**
 * What a trainer may say of one run, and keeps to: the plan bounds steps, evaluations and measurements, so it also bounds what a run
 * sends to the collector, whatever the trainer writes.
 */
import { isScriptPlan, type RunPlan } from "../schema/wire/plan.ts";
import type { TrainerEvent } from "../schema/wire/protocol.ts";
import { TrainerFailure } from "./trainer-failure.ts";

/** Evaluations that the plan has not asked for. */
const UNASKED_EVALUATIONS = 200;
/** Of the collector's interest is the last one. */
const CHECKPOINT_MS = 1000;
/** Events that say nothing new; a trainer with so many of them has lost its way. */
const IDLE_EVENTS = 10_000;
/** Modules that a script may measure. */
const MAX_OWN_MODULES = 1000;
const MAX_NOTES = 100;
const NOTE_CHARACTERS = 1000;
const PATH_CHARACTERS = 4096;

type Said = Exclude<TrainerEvent, { type: "ready" | "capacity" | "failed" }>;

export class RunAccount {
  readonly #plan: RunPlan;
  readonly #weightsPath: string | null;
  /** Per type of event: the step of the last one. */
  readonly #last = new Map<Said["type"], number>();
  #unasked = 0;
  #idle = 0;
  #checkpointAt = Number.NEGATIVE_INFINITY;
  #checkpoint: string | null = null;

  /** @param weightsPath where the trainer was asked to write the weights */
  constructor(plan: RunPlan, weightsPath: string | null) {
    this.#plan = plan;
    this.#weightsPath = weightsPath;
  }

  /** The last one that the trainer has written in this attempt. */
  get checkpoint(): string | null {
    return this.#checkpoint;
  }

  /** For what is no event of a run, but takes time all the same. @throws TrainerFailure trainer-flood */
  idle(): void {
    if (++this.#idle > IDLE_EVENTS)
      throw new TrainerFailure(
        "trainer-flood",
        `the trainer wrote ${IDLE_EVENTS} events that say nothing new; every step, evaluation and checkpoint is said once`,
      );
  }

  /**
   * @returns the event, or null where there is nothing new in it, or more of it than anybody needs
   * @throws TrainerFailure: trainer-protocol for what this run does not allow, trainer-flood
   */
  hear(event: Said): Said | null {
    const step = event.type === "started" ? event.resumed_from_step : event.step;
    const { steps } = this.#plan;
    if (steps !== null && step > steps)
      throw notAllowed(`a "${event.type}" at step ${step}, of a run that has ${steps}`);
    const isStart = event.type === "started";
    // Asked to stop, a trainer may do so before it has begun.
    if (isStart === this.#last.has("started") && event.type !== "stopped")
      throw notAllowed(isStart ? `a second "started"` : `a "${event.type}" before "started"`);
    if ((this.#last.get(event.type) ?? -1) >= step) {
      this.idle();
      return null;
    }
    this.#last.set(event.type, step);
    return this.#within(event);
  }

  #checkModules(modules: number): void {
    if (isScriptPlan(this.#plan)) {
      if (modules > MAX_OWN_MODULES) throw notAllowed(`coordinates of ${modules} modules`);
      return;
    }
    const { layers } = this.#plan.shape;
    if (modules > 2 + 3 * layers)
      throw notAllowed(`coordinates of ${modules} modules, of a model of ${layers} layers`);
  }

  #within(event: Said): Said | null {
    const { steps, coordinates } = this.#plan;
    switch (event.type) {
      case "started": {
        const notes = event.notes.slice(0, MAX_NOTES).map((note) => note.slice(0, NOTE_CHARACTERS));
        return { ...event, notes };
      }
      case "evaluation": {
        const every = isScriptPlan(this.#plan) ? null : this.#plan.evaluation.every_steps;
        if (event.step === steps || (every !== null && event.step % every === 0)) return event;
        return ++this.#unasked <= UNASKED_EVALUATIONS ? event : null;
      }
      case "coordinates":
        if (coordinates === undefined || event.step > coordinates.steps)
          throw notAllowed(`coordinates of step ${event.step}, which the plan does not ask for`);
        this.#checkModules(event.modules.length);
        return event;
      case "checkpoint": {
        checkPath(event.path);
        this.#checkpoint = event.path;
        const now = performance.now();
        if (now - this.#checkpointAt < CHECKPOINT_MS) return null;
        this.#checkpointAt = now;
        return event;
      }
      case "finished":
        if (steps !== null && event.step < steps)
          throw notAllowed(`"finished" at step ${event.step} of ${steps}`);
        if (event.weights_path !== null && event.weights_path !== this.#weightsPath)
          throw notAllowed("weights at a path that it was not told");
        return event;
      case "stopped":
        if (event.checkpoint !== null) checkPath(event.checkpoint);
        return event;
      default:
        return event;
    }
  }
}

function checkPath(path: string): void {
  if (path.length > PATH_CHARACTERS) throw notAllowed(`a path of ${path.length} characters`);
}

const notAllowed = (what: string): TrainerFailure =>
  new TrainerFailure("trainer-protocol", `the trainer said what this run does not allow: ${what}`);
