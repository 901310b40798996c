/**
 * What this worker has found that it cannot train: a data set that its host lacks, models too large for it, or, where its trainer does
 * not start, anything. Such runs are left to other workers, and cost none of their attempts; after a while it tries again.
 */
import { canonicalJson, isScriptPlan, type Plan, type RunPlan } from "../schema/wire/plan.ts";
import { type Inability, MAX_INABILITIES, SHORT_CHARACTERS } from "../schema/wire/worker.ts";
import type { TrainerFailure } from "./trainer-failure.ts";

/** Data may have been brought here, or a disk mounted, meanwhile. */
const RETRY_MS = 300_000;
/** What concerns everything costs a worker's whole time. */
const RETRY_ALL_MS = 60_000;

/** In place of a kind of run: all of them. */
const ANYTHING = "anything";
/** For a worker that has others. */
const anythingBy = ({ trainer }: RunPlan): string => `${ANYTHING} by the trainer ${trainer.name}`;

/** `what` is whole, since it is compared. */
interface Known extends Inability {
  readonly until: number;
}

export class Inabilities {
  readonly #known = new Map<string, Known>();
  readonly #trainers: number;

  /** @param trainers how many the worker offers: where one does not start, another may */
  constructor(trainers: number) {
    this.#trainers = trainers;
  }

  /** @returns what the failure says of this worker; undefined where it says something of the run */
  learn(failure: TrainerFailure, plan: RunPlan, run: string): Inability | undefined {
    const kind = failure.beforeRun ? ANYTHING : kindOf(failure.code, plan, run);
    if (kind === undefined) return undefined;
    const what = kind === ANYTHING && this.#trainers > 1 ? anythingBy(plan) : kind;
    return this.#add(what, failure.code, failure.message);
  }

  #add(what: string, code: string, why: string): Inability {
    const until = performance.now() + (what.startsWith(ANYTHING) ? RETRY_ALL_MS : RETRY_MS);
    const inability = { what, code, why: cut(why), until };
    // The oldest goes: what is known of runs one by one would grow with the sweep.
    if (this.#known.size === MAX_INABILITIES) this.#known.delete(this.#known.keys().next().value!);
    this.#known.delete(what);
    this.#known.set(what, inability);
    return inability;
  }

  /** @param why for people */
  cannotTrainAnything(code: string, why: string): Inability {
    return this.#add(ANYTHING, code, why);
  }

  /** Why a run is to be left to others. */
  of(plan: RunPlan, run: string): Inability | undefined {
    const kinds = [dataOf(plan), sizeOf(plan), run, anythingBy(plan)];
    return this.#current().find(({ what }) => what === ANYTHING || kinds.includes(what));
  }

  /** As heartbeats have them. */
  all(): Inability[] {
    return this.#current().map(({ what, code, why }) => ({ what: cut(what), code, why }));
  }

  #current(): Known[] {
    const now = performance.now();
    for (const [what, { until }] of this.#known) if (until <= now) this.#known.delete(what);
    return [...this.#known.values()];
  }

  /** Milliseconds until it may train anything again; 0: it may now. */
  pause(): number {
    return Math.max(0, (this.#known.get(ANYTHING)?.until ?? 0) - performance.now());
  }
}

const cut = (text: string): string =>
  text.length > SHORT_CHARACTERS ? `${text.slice(0, SHORT_CHARACTERS - 1)}…` : text;

/** What a failure of this code rules out here, in words. */
function kindOf(code: string, plan: RunPlan, run: string): string | undefined {
  switch (code) {
    case "data-missing":
    case "data-mismatch":
      return dataOf(plan);
    case "memory":
      return sizeOf(plan);
    case "unsupported":
      return run;
    case "device-lost":
    case "disk":
    case "trainer-start":
      return ANYTHING;
    default:
      return undefined;
  }
}

/** A script has its own data: what it lacks of it, it lacks for this version of it. */
const dataOf = (plan: RunPlan): string =>
  isScriptPlan(plan)
    ? `data of the trainer ${plan.trainer.name}${plan.data_version === null ? "" : `: ${plan.data_version}`}`
    : `data set ${plan.data.hash}`;

/** All that a run's memory depends on; of a script's, whatever it is told. */
const sizeOf = (plan: RunPlan): string =>
  isScriptPlan(plan)
    ? `models of the trainer ${plan.trainer.name} with ${canonicalJson({ ...plan.settings, seed: null, learning_rate: null })}`
    : modelSizeOf(plan);

const modelSizeOf = ({ shape, data, micro_batch_size, batch_size, precision, optimizer }: Plan): string =>
  `models of width ${shape.d_model} (FFN ${shape.d_ffn}), ${shape.layers} layers, ${data.vocab_size} tokens, in ` +
  `${precision} by ${optimizer.name}, ${micro_batch_size ?? batch_size} × ${shape.sequence_length} tokens a pass`;
