/**
 * Sizes of activations on the plan's evaluation sequences, for the coordinate check. A graph of its own, run between steps:
 * the training graph is the same whether or not a run is measured, and so are its bits.
 */
import type { ModuleSize } from "../../../schema/coordinates.ts";
import type { Plan } from "../../../schema/plan.ts";
import type { DataSource } from "../data.ts";
import { sizeOf } from "./graph.ts";
import { activationsGraph, names } from "./model.ts";
import { queryBlocks } from "./operations/attention.ts";
import type { Binding, TensorData } from "./runtime.ts";
import type { SessionCache } from "./session_cache.ts";

/** An output of the graph, as rows of which only the first `visible(row)` values count. */
interface Part {
  readonly values: Float32Array;
  /** The same of the initial network, per pass. */
  readonly initial: Float32Array[];
  readonly rowLength: number;
  readonly visible: (row: number) => number;
}

interface Measured extends Pick<ModuleSize, "module" | "layer"> {
  readonly parts: readonly Part[];
}

interface Pass {
  readonly first: number;
  /** Sequences that count; the last pass may repeat its last one. */
  readonly count: number;
}

export class CoordinateMeter {
  readonly #modules: readonly Measured[];
  readonly #passes: readonly Pass[];
  readonly #sequences: number;
  readonly #inputs: Int32Array;
  readonly #targets: Int32Array;
  readonly #data: DataSource;
  readonly #binding: Binding;

  /** @param sequences per pass; @param bufferOf weights and attention biases, by name */
  constructor(
    plan: Plan,
    data: DataSource,
    sessions: SessionCache,
    sequences: number,
    bufferOf: (name: string) => TensorData,
  ) {
    const all = plan.evaluation.sequences;
    this.#data = data;
    this.#sequences = sequences;
    this.#passes = Array.from({ length: Math.ceil(all / sequences) }, (_, i) => ({
      first: i * sequences,
      count: Math.min(sequences, all - i * sequences),
    }));
    this.#inputs = new Int32Array(sequences * plan.shape.sequence_length);
    this.#targets = new Int32Array(this.#inputs.length);

    const { graph, activations } = activationsGraph(plan, sequences);
    const blocks = queryBlocks(plan.shape.sequence_length);
    const buffers = new Map<string, TensorData>([
      [names.inputs, this.#inputs],
      [names.targets, this.#targets],
    ]);
    this.#modules = activations.map(({ module, layer, parts }) => ({
      module,
      layer,
      parts: parts.map(({ shape }, i): Part => {
        const values = new Float32Array(sizeOf(shape));
        buffers.set(names.activation(module, layer, i), values);
        const rowLength = shape.at(-1)!;
        const { start, end } = blocks[i]!;
        // A query sees the keys up to its own position.
        const visible =
          module === "attention_scores"
            ? (row: number) => start + (row % (end - start)) + 1
            : () => rowLength;
        return { values, initial: [], rowLength, visible };
      }),
    }));
    this.#binding = sessions.get(graph).bind((name) => buffers.get(name) ?? bufferOf(name));
  }

  /** The first call is of the initial network, from which later ones measure the change. */
  measure(): ModuleSize[] {
    const totals = this.#modules.map(() => ({ size: 0, change: 0, count: 0 }));
    this.#passes.forEach(({ first, count }, pass) => {
      this.#data.validationSequences(first, this.#sequences, this.#inputs, this.#targets);
      this.#binding.run();
      this.#modules.forEach(({ parts }, i) => {
        for (const part of parts) {
          const initial = part.initial[pass] ?? part.values.slice();
          part.initial[pass] = initial;
          addUp(part, initial, count / this.#sequences, totals[i]!);
        }
      });
    });
    return this.#modules.map(({ module, layer }, i) => {
      const { size, change, count } = totals[i]!;
      return { module, layer, size: finiteOrNull(size / count), change: finiteOrNull(change / count) };
    });
  }

  release(): void {
    this.#binding.release();
  }
}

/** @param share of the rows, from the first on, that count */
function addUp(
  { values, rowLength, visible }: Part,
  initial: Float32Array,
  share: number,
  total: { size: number; change: number; count: number },
): void {
  const rows = Math.round((values.length / rowLength) * share);
  for (let row = 0; row < rows; row++) {
    const [from, n] = [row * rowLength, visible(row)];
    for (let i = from; i < from + n; i++) {
      total.size += Math.abs(values[i]!);
      total.change += Math.abs(values[i]! - initial[i]!);
    }
    total.count += n;
  }
}

const finiteOrNull = (x: number): number | null => (Number.isFinite(x) ? x : null);

/** Bytes that a meter holds: activations of one pass, and the initial ones of all, with one pass's working memory. */
export function meterBytes(plan: Plan, sequences: number): { working: number; held: number } {
  const { graph, activations } = activationsGraph(plan, sequences);
  const perPass = activations.reduce(
    (sum, { parts }) => sum + parts.reduce((n, p) => n + sizeOf(p.shape), 0),
    0,
  );
  return {
    working: graph.peakBytes(),
    held: 4 * perPass * (1 + Math.ceil(plan.evaluation.sequences / sequences)),
  };
}
