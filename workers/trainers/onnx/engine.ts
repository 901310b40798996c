/**
 * One run's numbers in memory, and what advances them: graphs for gradients and evaluation, and the optimizer. Knows nothing of the
 * protocol, checkpoints or clocks.
 */
import type { ModuleSize } from "../../../schema/coordinates.ts";
import type { Plan } from "../../../schema/plan.ts";
import type { DataSource } from "../data.ts";
import type { NamedTensor } from "../safetensors.ts";
import { scheduleFactor } from "../schedule.ts";
import { fillInitial, type TensorSpec, tensorMask, tensorSpecs } from "../tensors.ts";
import { CoordinateMeter } from "./coordinates.ts";
import type { GraphBuilder } from "./graph.ts";
import { evaluationGraph, gradientGraph, names } from "./model.ts";
import { Optimizer } from "./optimizer.ts";
import type { Binding, TensorData } from "./runtime.ts";
import type { SessionCache } from "./session_cache.ts";

/**
 * Tokens per pass. More do not fit the caches beside the weights; with fewer, what every operation costs besides its
 * arithmetic weighs too much.
 */
const TOKENS_PER_PASS = { least: 512, most: 1024 };

/**
 * How a batch is taken apart: into passes, forward and backward each, which are dealt to two lanes in turn. Each lane has its
 * own sums of gradients, and they run side by side where there are threads for it: threads that share every operation instead
 * spend much of their time waiting for each other. The plan alone decides, so the sums are the same for any number of threads.
 */
export interface Passes {
  /** Sequences per pass. */
  readonly sequences: number;
  readonly count: number;
  readonly lanes: number;
}

export function passesOf(plan: Plan): Passes {
  const { batch_size: batch, micro_batch_size } = plan;
  const { sequence_length } = plan.shape;
  const halved = batch % 2 === 0 && (batch / 2) * sequence_length >= TOKENS_PER_PASS.least;
  const fitting = Math.floor(TOKENS_PER_PASS.most / sequence_length);
  const sequences = micro_batch_size ?? largestDivisor(halved ? batch / 2 : batch, fitting);
  const count = batch / sequences;
  return { sequences, count, lanes: Math.min(count, 2) };
}

/** Of n, at most `most`; 1 if nothing else. */
function largestDivisor(n: number, most: number): number {
  for (let d = Math.min(n, most); d > 1; d--) if (n % d === 0) return d;
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

const CACHE_LINE_FLOATS = 16;
/** Between arrays, or those of 2^n numbers would all begin at the same place of a cache. An odd number of lines. */
const GAP_LINES = 17;

/**
 * Arrays of zeros in one block of memory. A block of many mebibytes lies on huge pages, of which arrays of two or three by
 * themselves hardly fill one.
 */
function sideBySide(sizes: readonly number[]): Float32Array[] {
  const places = [0];
  for (const size of sizes)
    places.push(places.at(-1)! + CACHE_LINE_FLOATS * (Math.ceil(size / CACHE_LINE_FLOATS) + GAP_LINES));
  const block = new Float32Array(places.at(-1)!);
  return sizes.map((size, i) => block.subarray(places[i]!, places[i]! + size));
}

/** A graph that takes sequences, bound to arrays for them. */
interface Lane {
  readonly inputs: Int32Array;
  readonly targets: Int32Array;
  /** Mean nats per token of each sequence. */
  readonly loss: Float32Array;
  readonly binding: Binding;
}

export class Engine {
  readonly specs: readonly TensorSpec[];
  readonly #plan: Plan;
  readonly #data: DataSource;
  readonly #threads: number;
  readonly #passes: Passes;
  readonly #buffers = new Map<string, TensorData>();
  readonly #lanes: readonly Lane[];
  readonly #optimizer: Optimizer;
  readonly #evaluationSequences: number;
  readonly #evaluators: readonly Lane[];
  /** Only where the plan asks for coordinates. */
  readonly #meter: CoordinateMeter | null;

  /** Allocates the run's memory and gets its sessions. Weights and moments are zero until `initialize` or a checkpoint. */
  constructor(plan: Plan, data: DataSource, sessions: SessionCache) {
    this.#plan = plan;
    this.#data = data;
    this.#threads = sessions.threads;
    this.specs = tensorSpecs(plan);
    this.#passes = passesOf(plan);
    const { sequences, count, lanes } = this.#passes;
    this.#evaluationSequences = Math.min(sequences, plan.evaluation.sequences);

    const buffers = this.#buffers;
    const sums = Array.from({ length: lanes }, (_, lane) => (name: string) => names.laneSum(lane, name));
    const state = [names.weight, names.first, names.second, ...sums].flatMap((nameOf) =>
      this.specs.map(({ name, size }) => ({ name: nameOf(name), size })),
    );
    const arrays = sideBySide(state.map(({ size }) => size));
    for (const [i, { name }] of state.entries()) buffers.set(name, arrays[i]!);
    for (const spec of this.specs) {
      const mask = tensorMask(plan, spec);
      if (mask !== null) buffers.set(names.mask(spec.name), mask);
    }

    const bufferOf = (name: string): TensorData => buffers.get(name)!;
    const lanesOf = (graph: GraphBuilder, perPass: number): Lane[] => {
      const session = sessions.get(graph, lanes);
      return Array.from({ length: lanes }, (_, lane) => {
        const inputs = new Int32Array(perPass * plan.shape.sequence_length);
        const [targets, loss] = [new Int32Array(inputs.length), new Float32Array(perPass)];
        const own = new Map<string, TensorData>(Object.entries({ inputs, targets, loss }));
        for (const { name } of this.specs) {
          // The new sum is written over the old one: nothing else reads that.
          const sum = buffers.get(names.laneSum(lane, name))!;
          own.set(names.sum(name), sum).set(names.updated(names.sum(name)), sum);
        }
        return { inputs, targets, loss, binding: session.bind((name) => own.get(name) ?? bufferOf(name)) };
      });
    };
    this.#lanes = lanesOf(gradientGraph(plan, sequences, count === lanes), sequences);
    const parameters = this.specs.map(({ name, group }) => ({
      group,
      weight: this.weight(name),
      first: this.#float(names.first(name)),
      second: this.#float(names.second(name)),
      mask: this.mask(name),
      sums: this.#sums(name),
    }));
    this.#optimizer = new Optimizer(plan, parameters, sessions.threads);
    this.#evaluators = lanesOf(evaluationGraph(plan, this.#evaluationSequences), this.#evaluationSequences);
    this.#meter =
      plan.coordinates === undefined
        ? null
        : new CoordinateMeter(plan, data, sessions, this.#evaluationSequences, bufferOf);
  }

  /** Lets go of the sessions; only the arrays may still be used. */
  release(): void {
    for (const { binding } of [...this.#lanes, ...this.#evaluators]) binding.release();
    this.#meter?.release();
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
    const loss = await this.accumulateGradients(t, interrupted);
    if (loss === null) return null;
    const tokens = this.#plan.batch_size * this.#plan.shape.sequence_length;
    const gradientNorm = await this.#optimizer.update(t, scheduleFactor(this.#plan, t), tokens);
    return { loss, gradientNorm };
  }

  /**
   * Runs all passes of step t's batch and leaves the gradients' sums behind.
   * @returns the batch's loss; null when interrupted
   */
  async accumulateGradients(t: number, interrupted: () => boolean = () => false): Promise<number | null> {
    const { sequences, count, lanes } = this.#passes;
    if (count > lanes) for (const spec of this.specs) for (const sum of this.#sums(spec.name)) sum.fill(0);
    let sum = 0;
    for (let pass = 0; pass < count; pass += lanes) {
      if (pass > 0) {
        await eventLoopTurn();
        if (interrupted()) return null;
      }
      const dealt = this.#lanes.slice(0, count - pass);
      dealt.forEach((lane, i) => {
        const first = (pass + i) * sequences;
        this.#data.trainingSequences(t, first, sequences, lane.inputs, lane.targets);
      });
      await this.#run(dealt);
      for (const lane of dealt) sum += mean(lane.loss);
    }
    return sum / count;
  }

  /** Side by side if there are threads for it. */
  async #run([first, ...others]: readonly Lane[]): Promise<void> {
    const together = this.#threads > 1;
    const running = together ? others.map(({ binding }) => binding.runAside()) : [];
    first!.binding.run();
    if (!together) for (const { binding } of others) binding.run();
    await Promise.all(running);
  }

  /** Validation loss in nats per token; may be non-finite. */
  async evaluate(): Promise<number> {
    const { sequences } = this.#plan.evaluation;
    const perPass = this.#evaluationSequences;
    let sum = 0;
    for (let next = 0; next < sequences; ) {
      const dealt: { lane: Lane; count: number }[] = [];
      for (const lane of this.#evaluators) {
        if (next >= sequences) break;
        this.#data.validationSequences(next, perPass, lane.inputs, lane.targets);
        dealt.push({ lane, count: Math.min(perPass, sequences - next) });
        next += perPass;
      }
      await this.#run(dealt.map(({ lane }) => lane));
      for (const { lane, count } of dealt) sum += mean(lane.loss, count) * count;
      await eventLoopTurn();
    }
    return sum / sequences;
  }

  /**
   * Sizes of activations on the evaluation sequences, for a plan that asks for coordinates; the first call is of the initial
   * network.
   */
  coordinates = (): ModuleSize[] => this.#meter!.measure();

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
  gradientSum(tensor: string): Float32Array {
    const [first, ...others] = this.#sums(tensor);
    return first!.map((x, i) => others.reduce((sum, other) => sum + other[i]!, x));
  }

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

  /** The lanes' gradient sums. */
  #sums(tensor: string): Float32Array[] {
    return Array.from({ length: this.#passes.lanes }, (_, lane) => this.#float(names.laneSum(lane, tensor)));
  }
}
