/**
 * Sizes of activations on the plan's evaluation sequences, for the coordinate check. A tape of its own, run between steps:
 * the training tape is the same whether or not a run is measured, and so are its bits.
 */

import type { ModuleSize } from "../../../schema/wire/coordinates.ts";
import type { Plan } from "../../../schema/wire/plan.ts";
import type { DataSource } from "../common/data.ts";
import { finiteOrNull } from "../common/divergence.ts";
import { names } from "./model.ts";
import { queryBlocks } from "./operations/attention.ts";
import type { Region } from "./region.ts";
import { places, type RunLayout } from "./run-memory.ts";
import { BoundTape, runTapes, sizeOf } from "./tape.ts";

/** Numbers `start` … `end` − 1 of an activation that count. */
interface Span {
  readonly start: number;
  readonly end: number;
}

interface Measured extends Pick<ModuleSize, "module" | "layer"> {
  /** Of one pass: sequences along the first axis. */
  readonly values: Float32Array;
  /** Of one sequence, what counts. */
  readonly spans: readonly Span[];
  readonly perSequence: number;
  /** Where its values begin among the initial network's. */
  readonly start: number;
}

interface Pass {
  readonly first: number;
  /** Sequences that count; the last pass may repeat its last one. */
  readonly count: number;
  /** The initial network's values, of all modules one behind the other. */
  readonly initial: Float32Array;
}

/** Of the scores of one sequence's heads, blocks as attention lays them out: a query sees the keys up to its own position. */
function visibleScores(heads: number, length: number): Span[] {
  const spans: Span[] = [];
  let place = 0;
  for (let head = 0; head < heads; head++)
    for (const block of queryBlocks(length))
      for (let query = block.start; query < block.end; query++, place += block.end)
        spans.push({ start: place, end: place + query + 1 });
  return spans;
}

export class CoordinateMeter {
  readonly #modules: readonly Measured[];
  readonly #passes: readonly Pass[];
  readonly #sequences: number;
  readonly #inputs: Int32Array;
  readonly #targets: Int32Array;
  readonly #data: DataSource;
  readonly #tape: BoundTape;
  readonly #members: number;
  #isFirst = true;

  /** @param layout of a plan that asks for coordinates */
  constructor(plan: Plan, data: DataSource, { crew, evaluated, activations }: RunLayout, region: Region) {
    const { program, activations: wanted } = activations!;
    const { sequence_length: length, d_model, d_head } = plan.shape;
    const all = plan.evaluation.sequences;
    this.#data = data;
    this.#sequences = evaluated;
    this.#members = crew.members;
    this.#passes = Array.from({ length: Math.ceil(all / evaluated) }, (_, i) => ({
      first: i * evaluated,
      count: Math.min(evaluated, all - i * evaluated),
      initial: region.floats(places.initial(i)),
    }));
    const own = (name: string): string => places.lane(0, name);
    const tokens = evaluated * length;
    this.#inputs = region.integers(own(names.inputs)).subarray(0, tokens);
    this.#targets = region.integers(own(names.targets)).subarray(0, tokens);
    const arena = places.arena(0);
    let start = 0;
    this.#modules = wanted.map(({ module, layer, value }) => {
      const size = sizeOf(value.shape);
      const perSequence = size / evaluated;
      start += size;
      return {
        module,
        layer,
        values: region.part(arena, program.placeOf(value), size),
        spans:
          module === "attention_scores"
            ? visibleScores(d_model / d_head, length)
            : [{ start: 0, end: perSequence }],
        perSequence,
        start: start - size,
      };
    });
    this.#tape = new BoundTape(program, region.address(arena), (name) =>
      region.address(region.has(name) ? name : own(name)),
    );
  }

  /** The first call is of the initial network, from which later ones measure the change. */
  measure(): ModuleSize[] {
    const totals = this.#modules.map(() => ({ size: 0, change: 0, count: 0 }));
    for (const { first, count, initial } of this.#passes) {
      this.#data.validationSequences(first, this.#sequences, this.#inputs, this.#targets);
      runTapes([this.#tape], { teams: 1, members: this.#members });
      this.#modules.forEach((measured, i) => {
        if (this.#isFirst) initial.set(measured.values, measured.start);
        addUp(measured, initial.subarray(measured.start), count, totals[i]!);
      });
    }
    this.#isFirst = false;
    return this.#modules.map(({ module, layer }, i) => {
      const { size, change, count } = totals[i]!;
      return { module, layer, size: finiteOrNull(size / count), change: finiteOrNull(change / count) };
    });
  }
}

/** @param sequences from the first on, that count */
function addUp(
  { values, spans, perSequence }: Measured,
  initial: Float32Array,
  sequences: number,
  total: { size: number; change: number; count: number },
): void {
  for (let sequence = 0; sequence < sequences; sequence++)
    for (const { start, end } of spans) {
      const from = sequence * perSequence;
      for (let i = from + start; i < from + end; i++) {
        total.size += Math.abs(values[i]!);
        total.change += Math.abs(values[i]! - initial[i]!);
      }
      total.count += end - start;
    }
}
