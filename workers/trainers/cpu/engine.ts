/**
 * One run's numbers in memory, and what advances them: tapes for gradients and evaluation, and the optimizer. Knows nothing of the
 * protocol, checkpoints or clocks.
 */
import type { ModuleSize } from "../../../schema/wire/coordinates.ts";
import type { Plan } from "../../../schema/wire/plan.ts";
import type { DataSource } from "../common/data.ts";
import type { NamedTensor } from "../common/safetensors.ts";
import { scheduleFactor } from "../common/schedule.ts";
import { fillInitial, fillMask } from "../common/tensors.ts";
import { CoordinateMeter } from "./coordinates.ts";
import { names } from "./model.ts";
import { alibiSlopes } from "./operations/attention.ts";
import { Optimizer } from "./optimizer.ts";
import { Region } from "./region.ts";
import { layOutRun, places, type RunLayout } from "./run-memory.ts";
import { drawPattern, gather, type KeptTensor, refresh, scatter } from "./sparse-matrix.ts";
import { BoundTape, emptyCopies, type Program, runTapes, Tape } from "./tape.ts";

export interface StepResult {
  /** Nats per token over the whole batch, before the step's update. May be non-finite. */
  readonly loss: number;
  /** Global norm of the masked gradient, before clipping. May be non-finite. */
  readonly gradientNorm: number;
}

/** Of the first `count`. */
const sumOf = (values: Float32Array, count = values.length): number => {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += values[i]!;
  return sum;
};

/** A loop, since a function for each would make an object of each: of millions. */
function areFinite(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i]!)) return false;
  return true;
}

/** Lets the process notice commands and a closed stdin; a pass blocks it. */
export const eventLoopTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Passes over some sequences, with gradient sums of their own. */
interface Lane {
  readonly inputs: Int32Array;
  readonly targets: Int32Array;
  /** Of each token, the loss. */
  readonly nats: Float32Array;
  readonly gradient: BoundTape;
  readonly evaluation: BoundTape;
}

export class Engine {
  readonly tensors: readonly KeptTensor[];
  readonly #plan: Plan;
  readonly #data: DataSource;
  readonly #layout: RunLayout;
  readonly #region: Region;
  /** Memory that is free between passes, large enough for all numbers of a sparse matrix. */
  readonly #scratch: Float32Array;
  readonly #lanes: readonly Lane[];
  readonly #optimizer: Optimizer;
  /** Brings every copy of the weights up to date. */
  readonly #refreshed: BoundTape;
  /** Only where the plan asks for coordinates. */
  readonly #meter: CoordinateMeter | null;

  /**
   * Takes the run's memory. Weights and moments are zero until `initialize` or a checkpoint.
   * @param layout layOutRun(plan, threads)
   */
  constructor(plan: Plan, data: DataSource, threads: number, layout = layOutRun(plan, threads)) {
    this.#plan = plan;
    this.#data = data;
    this.#layout = layout;
    this.tensors = layout.tensors;
    const region = new Region(layout.pieces);
    this.#region = region;
    try {
      const largest = Math.max(0, ...this.tensors.map((s) => (s.sparse === null ? 0 : s.size)));
      this.#scratch = region.part(places.arena(0), 0, largest);
      for (const s of this.tensors) {
        if (s.sparse !== null) drawPattern(plan, s, s.sparse, region, this.#scratch);
        // A moment's place has room for the words; initializing or resuming comes after.
        else if (s.masked)
          fillMask(plan, s, region.floats(places.mask(s.name)), region.words(places.second(s.name)));
      }
      const { positions, d_model, d_head } = plan.shape;
      if (positions === "alibi") region.floats(names.slopes).set(alibiSlopes(d_model / d_head));

      const { crew, passes } = layout;
      this.#lanes = Array.from({ length: passes.lanes }, (_, lane) => {
        const own = (name: string): string => places.lane(lane, name);
        const addressOf = (name: string): bigint => region.address(region.has(name) ? name : own(name));
        const bind = (program: Program): BoundTape =>
          new BoundTape(program, region.address(places.arena(lane % crew.teams)), addressOf);
        return {
          inputs: region.integers(own(names.inputs)),
          targets: region.integers(own(names.targets)),
          nats: region.floats(own(names.nats)),
          gradient: bind(layout.gradient),
          evaluation: bind(layout.evaluation),
        };
      });
      const parameters = this.tensors.map(({ name, group, kept, masked, sparse }) => ({
        group,
        kept,
        weight: region.address(names.weight(name)),
        first: region.address(places.first(name)),
        second: region.address(places.second(name)),
        mask: masked && sparse === null ? region.address(places.mask(name)) : null,
        sums: this.#lanes.map((_, lane) => region.address(places.lane(lane, names.sum(name)))),
      }));
      const refreshAll = (t: Tape): void => {
        for (const { name, sparse } of this.tensors)
          if (sparse !== null) refresh(t, sparse, t.outside(names.weight(name), [sparse.count]));
      };
      this.#optimizer = new Optimizer(plan, parameters, region, threads, refreshAll);
      const t = new Tape(1);
      refreshAll(t);
      this.#refreshed = new BoundTape(t.finish(), 0n, region.address);
      this.#meter = layout.activations === null ? null : new CoordinateMeter(plan, data, layout, region);
    } catch (error) {
      region.release();
      throw error;
    }
  }

  /** Gives the memory back; arrays that came from here must not be used any more. */
  release(): void {
    this.#region.release();
    emptyCopies();
  }

  /** Sets weights to their initial draw and moments to 0. */
  initialize(): void {
    for (const s of this.tensors) {
      if (s.sparse === null)
        fillInitial(this.#plan, s, this.#mask(s), this.#region.floats(names.weight(s.name)));
      else {
        const all = this.#scratch.subarray(0, s.size);
        fillInitial(this.#plan, s, null, all);
        gather(s.sparse, this.#region, all, this.#region.floats(names.weight(s.name)));
      }
      this.#region.floats(places.first(s.name)).fill(0);
      this.#region.floats(places.second(s.name)).fill(0);
    }
    this.weightsChanged();
  }

  /** To be called when weights were written from outside. */
  weightsChanged(): void {
    runTapes([this.#refreshed], { teams: 1, members: 1 });
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
    const gradientNorm = this.#optimizer.update(t, scheduleFactor(this.#plan, t), tokens);
    return { loss, gradientNorm };
  }

  /**
   * Runs all passes of step t's batch and leaves the gradients' sums behind.
   * @returns the batch's loss; null when interrupted
   */
  async accumulateGradients(t: number, interrupted: () => boolean = () => false): Promise<number | null> {
    const { sequences, count, lanes } = this.#layout.passes;
    if (count > lanes) for (const { name } of this.tensors) for (const sum of this.#sums(name)) sum.fill(0);
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
      runTapes(
        dealt.map((lane) => lane.gradient),
        this.#layout.crew,
      );
      for (const lane of dealt) sum += sumOf(lane.nats);
    }
    return sum / (this.#plan.batch_size * this.#plan.shape.sequence_length);
  }

  /** Validation loss in nats per token; may be non-finite. */
  async evaluate(): Promise<number> {
    const { sequences } = this.#plan.evaluation;
    const length = this.#plan.shape.sequence_length;
    const perPass = this.#layout.evaluated;
    let sum = 0;
    for (let next = 0; next < sequences; ) {
      const dealt: { lane: Lane; count: number }[] = [];
      for (const lane of this.#lanes) {
        if (next >= sequences) break;
        const [inputs, targets] = [lane.inputs, lane.targets].map((a) => a.subarray(0, perPass * length));
        this.#data.validationSequences(next, perPass, inputs!, targets!);
        dealt.push({ lane, count: Math.min(perPass, sequences - next) });
        next += perPass;
      }
      runTapes(
        dealt.map(({ lane }) => lane.evaluation),
        this.#layout.crew,
      );
      for (const { lane, count } of dealt) sum += sumOf(lane.nats, count * length);
      await eventLoopTurn();
    }
    return sum / (sequences * length);
  }

  /**
   * Sizes of activations on the evaluation sequences, for a plan that asks for coordinates; the first call is of the initial
   * network.
   */
  coordinates = (): ModuleSize[] => this.#meter!.measure();

  weightsAreFinite = (): boolean =>
    this.tensors.every((s) => areFinite(this.#region.floats(names.weight(s.name))));

  /** Parameters that exist under the masks. */
  existingParameters(): number {
    return this.tensors.reduce((sum, s) => {
      const mask = this.#mask(s);
      return sum + (mask === null ? s.kept : sumOf(mask));
    }, 0);
  }

  /** Of a dense tensor that has one. */
  #mask({ name, masked, sparse }: KeptTensor): Float32Array | null {
    return masked && sparse === null ? this.#region.floats(places.mask(name)) : null;
  }

  /** The weights under their canonical names. The numbers of one are valid until those of the next are asked for. */
  weightTensors = (): NamedTensor[] => this.#stored("", names.weight);

  /** Everything that the next step depends on besides plan and step number; after reading, `weightsChanged`. */
  stateTensors(): NamedTensor[] {
    return [
      ...this.#stored("", names.weight),
      ...this.#stored("moments/first/", places.first),
      ...this.#stored("moments/second/", places.second),
    ];
  }

  /** Sums over the batch's tokens of the gradients, after accumulateGradients: of what exists, or of all numbers, masked ones too. */
  gradientSums(): NamedTensor[] {
    const [first, ...others] = this.#lanes.map(
      (_, lane) => (name: string) => places.lane(lane, names.sum(name)),
    );
    for (const { name } of this.tensors) {
      const sum = this.#region.floats(first!(name));
      for (const other of others)
        this.#region.floats(other(name)).forEach((x, i) => {
          sum[i]! += x;
        });
    }
    return this.#stored("", first!);
  }

  /** Tensors as others know them: all numbers, zeros where no weight exists. */
  #stored(prefix: string, placeOf: (tensor: string) => string): NamedTensor[] {
    const region = this.#region;
    return this.tensors.map(({ name, shape, size, sparse }) => {
      const kept = region.floats(placeOf(name));
      if (sparse === null) return { name: prefix + name, shape, data: kept };
      const all = this.#scratch.subarray(0, size);
      return {
        name: prefix + name,
        shape,
        data: all,
        beforeWriting: () => scatter(sparse, region, kept, all),
        afterReading: () => gather(sparse, region, all, kept),
      };
    });
  }

  /** The lanes' gradient sums. */
  #sums(tensor: string): Float32Array[] {
    return this.#lanes.map((_, lane) => this.#region.floats(places.lane(lane, names.sum(tensor))));
  }
}
