/**
 * One run's numbers in memory, and the graphs that advance them: a training step and an evaluation. Knows nothing of the
 * protocol, checkpoints or clocks.
 */
import type { Plan } from "../../../schema/plan.ts";
import type { DataSource } from "../data.ts";
import type { NamedTensor } from "../safetensors.ts";
import { scheduleFactor } from "../schedule.ts";
import { fillInitial, type TensorSpec, tensorMask, tensorSpecs } from "../tensors.ts";
import {
  attentionBiases,
  evaluationGraph,
  gradientGraph,
  names,
  trainingGraph,
  updateGraph,
} from "./model.ts";
import { optimizerScalars, scalarCount } from "./operations/adamw.ts";
import type { Binding, TensorData } from "./runtime.ts";
import type { SessionCache } from "./session_cache.ts";

/** Tokens per pass that the caches like best: 8 sequences of 256. */
const TOKENS_PER_PASS = 2048;

/** Sequences per forward and backward pass: the plan's, else the largest divisor of the batch that fits TOKENS_PER_PASS. */
export function sequencesPerPass(plan: Plan): number {
  if (plan.micro_batch_size !== null) return plan.micro_batch_size;
  const most = Math.max(1, Math.floor(TOKENS_PER_PASS / plan.shape.sequence_length));
  for (let b = Math.min(most, plan.batch_size); b > 1; b--) if (plan.batch_size % b === 0) return b;
  return 1;
}

export interface StepResult {
  /** Nats per token over the whole batch, before the step's update. May be non-finite. */
  readonly loss: number;
  /** Global norm of the masked gradient, before clipping. May be non-finite. */
  readonly gradientNorm: number;
}

const mean = (values: Float32Array, count = values.length): number => {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += values[i]!;
  return sum / count;
};

/** Lets the process notice commands and a closed stdin; a run of a graph blocks it. */
export const eventLoopTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class Engine {
  readonly specs: readonly TensorSpec[];
  readonly #plan: Plan;
  readonly #data: DataSource;
  /** Sequences per training pass. */
  readonly #sequences: number;
  readonly #evaluationSequences: number;
  readonly #buffers = new Map<string, TensorData>();
  readonly #evaluationBuffers = new Map<string, TensorData>();
  /** One graph for a batch of one pass; else one per pass and one for the optimizer. */
  readonly #train: Binding;
  readonly #update: Binding | null;
  readonly #evaluate: Binding;

  /**
   * Allocates the run's memory and gets its sessions. Weights and moments are zero until `initialize` or a checkpoint.
   * @param accumulate use the graphs for batches of many passes even when the batch fits one
   */
  constructor(
    plan: Plan,
    data: DataSource,
    sessions: SessionCache,
    accumulate = sequencesPerPass(plan) < plan.batch_size,
  ) {
    this.#plan = plan;
    this.#data = data;
    this.specs = tensorSpecs(plan);
    this.#sequences = sequencesPerPass(plan);
    this.#evaluationSequences = Math.min(this.#sequences, plan.evaluation.sequences);

    const buffers = this.#buffers;
    for (const spec of this.specs) {
      for (const name of [names.weight, names.first, names.second])
        buffers.set(name(spec.name), new Float32Array(spec.size));
      if (accumulate) buffers.set(names.sum(spec.name), new Float32Array(spec.size));
      const mask = tensorMask(plan, spec);
      if (mask !== null) buffers.set(names.mask(spec.name), mask);
    }
    attentionBiases(plan).forEach((bias, i) => {
      buffers.set(names.bias(i), bias);
    });
    buffers.set(names.scalars, new Float32Array(scalarCount(plan)));
    buffers.set(names.norm, new Float32Array(1));
    const batchBuffers = (sequences: number): [string, TensorData][] => [
      [names.inputs, new Int32Array(sequences * plan.shape.sequence_length)],
      [names.targets, new Int32Array(sequences * plan.shape.sequence_length)],
      [names.loss, new Float32Array(sequences)],
    ];
    for (const [name, buffer] of batchBuffers(this.#sequences)) buffers.set(name, buffer);
    for (const [name, buffer] of batchBuffers(this.#evaluationSequences))
      this.#evaluationBuffers.set(name, buffer);

    // A "new/x" output is written over x: see adamw for why no result comes before the last use of what it replaces.
    const prefix = names.updated("");
    const bufferOf = (name: string): TensorData =>
      buffers.get(name.startsWith(prefix) ? name.slice(prefix.length) : name)!;
    const graph = accumulate ? gradientGraph : trainingGraph;
    this.#train = sessions.get(graph(plan, this.#sequences)).bind(bufferOf);
    this.#update = accumulate ? sessions.get(updateGraph(plan)).bind(bufferOf) : null;
    this.#evaluate = sessions
      .get(evaluationGraph(plan, this.#evaluationSequences))
      .bind((name) => this.#evaluationBuffers.get(name) ?? bufferOf(name));
  }

  /** Lets go of the sessions; only the arrays may still be used. */
  release(): void {
    this.#train.release();
    this.#update?.release();
    this.#evaluate.release();
  }

  /** Sets weights to their initial draw and moments to 0. */
  initialize(): void {
    for (const spec of this.specs) {
      fillInitial(this.#plan, spec, this.mask(spec.name), this.weight(spec.name));
      this.#float(names.first(spec.name)).fill(0);
      this.#float(names.second(spec.name)).fill(0);
    }
  }

  /**
   * Step t = 1 … N of training: one batch, one update.
   * @param interrupted asked between passes; true leaves the step undone
   * @returns null when interrupted
   */
  async step(t: number, interrupted: () => boolean = () => false): Promise<StepResult | null> {
    const tokens = this.#plan.batch_size * this.#plan.shape.sequence_length;
    this.#float(names.scalars).set(optimizerScalars(this.#plan, t, scheduleFactor(this.#plan, t), tokens));
    const loss = this.#update === null ? this.#pass(t, 0) : await this.accumulateGradients(t, interrupted);
    if (loss === null) return null;
    this.#update?.run();
    return { loss, gradientNorm: this.#float(names.norm)[0]! };
  }

  /**
   * Runs all passes of step t's batch and leaves the gradients' sums behind; only for an engine that accumulates.
   * @returns the batch's loss; null when interrupted
   */
  async accumulateGradients(t: number, interrupted: () => boolean = () => false): Promise<number | null> {
    for (const spec of this.specs) this.#float(names.sum(spec.name)).fill(0);
    let sum = 0;
    for (let first = 0; first < this.#plan.batch_size; first += this.#sequences) {
      if (first > 0) await eventLoopTurn();
      if (interrupted()) return null;
      sum += this.#pass(t, first) * this.#sequences;
    }
    return sum / this.#plan.batch_size;
  }

  /** One pass over the sequences from `first` on. @returns their mean loss */
  #pass(t: number, first: number): number {
    this.#data.trainingSequences(
      t,
      first,
      this.#sequences,
      this.#int(names.inputs),
      this.#int(names.targets),
    );
    this.#train.run();
    return mean(this.#float(names.loss));
  }

  /** Validation loss in nats per token; may be non-finite. */
  async evaluate(): Promise<number> {
    const { sequences } = this.#plan.evaluation;
    const buffer = (name: string) => this.#evaluationBuffers.get(name)!;
    let sum = 0;
    for (let first = 0; first < sequences; first += this.#evaluationSequences) {
      this.#data.validationSequences(
        first,
        this.#evaluationSequences,
        buffer(names.inputs) as Int32Array,
        buffer(names.targets) as Int32Array,
      );
      this.#evaluate.run();
      const count = Math.min(this.#evaluationSequences, sequences - first);
      sum += mean(buffer(names.loss) as Float32Array, count) * count;
      await eventLoopTurn();
    }
    return sum / sequences;
  }

  weight = (tensor: string): Float32Array => this.#float(names.weight(tensor));
  mask = (tensor: string): Float32Array | null =>
    (this.#buffers.get(names.mask(tensor)) as Float32Array | undefined) ?? null;
  weightsAreFinite = (): boolean =>
    this.specs.every((s) => this.weight(s.name).every((w) => Number.isFinite(w)));
  /** Parameters that exist under the masks. */
  existingParameters(): number {
    return this.specs.reduce((sum, s) => {
      const mask = this.mask(s.name);
      return sum + (mask === null ? s.size : mask.reduce((kept, m) => kept + m, 0));
    }, 0);
  }
  /** Sum over the batch's tokens of the unmasked gradient, after accumulateGradients. */
  gradientSum = (tensor: string): Float32Array => this.#float(names.sum(tensor));

  /** The weights as they are, under their canonical names. */
  weightTensors(): NamedTensor[] {
    return this.specs.map((s) => ({ name: s.name, shape: s.shape, data: this.weight(s.name) }));
  }

  /** Everything that the next step depends on besides plan and step number; the arrays are the run's own. */
  stateTensors(): NamedTensor[] {
    const tensors = (prefix: string, name: (tensor: string) => string): NamedTensor[] =>
      this.specs.map((s) => ({ name: prefix + s.name, shape: s.shape, data: this.#float(name(s.name)) }));
    return [
      ...this.weightTensors(),
      ...tensors("moments/first/", names.first),
      ...tensors("moments/second/", names.second),
    ];
  }

  #float(name: string): Float32Array {
    return this.#buffers.get(name) as Float32Array;
  }

  #int(name: string): Int32Array {
    return this.#buffers.get(name) as Int32Array;
  }
}
