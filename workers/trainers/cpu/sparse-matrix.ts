/**
 * Matrices of which few weights exist: which of the model's are kept so, and how they lie in memory. Weights, moments and gradients
 * are then of the existing weights alone, in the order of the forward pattern (native/pattern.c); another pattern, for
 * the way back, has its own copy of the weights, refreshed after every update.
 */
import { isTrainedSparse, keptCount } from "../../../schema/wire/cost.ts";
import type { Plan } from "../../../schema/wire/plan.ts";
import { native } from "../common/native.ts";
import { RandomStream } from "../common/philox.ts";
import { fillMask, type TensorSpec, tensorSpecs } from "../common/tensors.ts";
import type { Region } from "./region.ts";
import type { Tape, Value } from "./tape.ts";

const forwardPattern = native.func("void forward_pattern(void*, int64_t, int64_t, int64_t, void*, void*)");
const backwardPattern = native.func(
  "void backward_pattern(void*, int64_t, int64_t, int64_t, void*, void*, void*)",
);
const gatherWeights = native.func("void gather_weights(void*, void*, void*, int64_t, int64_t, void*)");
const scatterWeights = native.func(
  "void scatter_weights(void*, void*, void*, int64_t, int64_t, int64_t, void*)",
);

/** Of the inner axis: with so many features a panel's part fits the first cache. */
const BLOCK = 128;
/** Of an output in a block, on average; with fewer, what every block costs weighs more than the cache is worth. */
const WEIGHTS_PER_BLOCK = 6;
/** Entries are read in fours. */
const PADDING = 4;

/** One of the two patterns: outputs beside each other, blocks of the inner axis. */
interface Pattern {
  readonly inner: number;
  readonly outputs: number;
  readonly block: number;
  readonly blocks: number;
}

export interface SparseMatrix {
  readonly name: string;
  /** That exist. */
  readonly count: number;
  readonly forward: Pattern;
  readonly backward: Pattern;
}

function patternOf(inner: number, outputs: number, density: number): Pattern {
  const block = density * BLOCK >= WEIGHTS_PER_BLOCK ? Math.min(BLOCK, inner) : inner;
  return { inner, outputs, block, blocks: Math.ceil(inner / block) };
}

/** A tensor as it is kept: all of its numbers, or those of its weights that exist. */
export interface KeptTensor extends TensorSpec {
  readonly sparse: SparseMatrix | null;
  readonly kept: number;
}

/** The model's tensors in canonical order. @param isSparse of which groups' matrices the existing weights alone are kept */
export const keptTensors = (plan: Plan, isSparse = isTrainedSparse): KeptTensor[] =>
  tensorSpecs(plan).map((spec) => {
    const group = plan.groups.find((g) => g.name === spec.group)!;
    const sparse = isSparse(group) ? sparseMatrixOf(plan, spec, group.density) : null;
    return { ...spec, sparse, kept: sparse?.count ?? spec.size };
  });

function sparseMatrixOf(plan: Plan, spec: TensorSpec, density: number): SparseMatrix {
  const [rows, columns] = spec.shape as [number, number];
  const count =
    plan.mask === "exact"
      ? keptCount(density, spec.size)
      : new RandomStream(plan.seed, `mask/${spec.name}`).countBelow(density, spec.size);
  return sparseMatrix(spec.name, [rows, columns], count);
}

/** Of [rows, columns], `count` of whose weights exist. */
export function sparseMatrix(
  name: string,
  [rows, columns]: readonly [number, number],
  count: number,
): SparseMatrix {
  const density = count / (rows * columns);
  return {
    name,
    count,
    forward: patternOf(rows, columns, density),
    backward: patternOf(columns, rows, density),
  };
}

const place = (name: string, what: string): string => `pattern/${name}/${what}`;

/** Bytes of its patterns in a run's region, by name. */
export function patternPieces({ name, count, forward, backward }: SparseMatrix): [string, number][] {
  const begin = ({ blocks, outputs }: Pattern): number => 4 * blocks * (outputs + 1);
  const index = 4 * Math.ceil((count + PADDING) / 2);
  return [
    [place(name, "forward/begin"), begin(forward)],
    [place(name, "forward/index"), index],
    [place(name, "backward/begin"), begin(backward)],
    [place(name, "backward/index"), index],
    [place(name, "backward/from"), 4 * count],
    [place(name, "backward/weights"), 4 * count],
  ];
}

/** Finds out where the plan's mask has weights. @param scratch room for all numbers of the matrix */
export function drawPattern(
  plan: Plan,
  spec: TensorSpec,
  m: SparseMatrix,
  region: Region,
  scratch: Float32Array,
): void {
  const mask = scratch.subarray(0, spec.size);
  fillMask(plan, spec, mask, new Uint32Array(mask.buffer, mask.byteOffset, mask.length));
  writePattern(m, mask, region);
}

/** Writes both patterns. @param mask 0 where no weight exists, `count` other numbers; it is written over */
export function writePattern(m: SparseMatrix, mask: Float32Array, region: Region): void {
  const at = (what: string): bigint => region.address(place(m.name, what));
  const { inner: rows, outputs: columns } = m.forward;
  forwardPattern(mask, rows, columns, m.forward.block, at("forward/begin"), at("forward/index"));
  const back = ["backward/begin", "backward/index", "backward/from"].map(at);
  backwardPattern(mask, rows, columns, m.backward.block, ...back);
}

/** Of all numbers of the matrix, those that exist. */
export function gather(m: SparseMatrix, region: Region, all: Float32Array, weights: Float32Array): void {
  const [begin, index] = ["forward/begin", "forward/index"].map((what) =>
    region.address(place(m.name, what)),
  );
  gatherWeights(all, begin, index, m.forward.blocks, m.forward.outputs, weights);
}

/** All numbers of the matrix: those that exist, and zeros. */
export function scatter(m: SparseMatrix, region: Region, weights: Float32Array, all: Float32Array): void {
  const { blocks, outputs, inner } = m.forward;
  const [begin, index] = ["forward/begin", "forward/index"].map((what) =>
    region.address(place(m.name, what)),
  );
  scatterWeights(weights, begin, index, blocks, outputs, inner, all);
}

/** What a product by the matrix reads, as values of a tape. @param weights in the order of the forward pattern */
export function patternValues(t: Tape, m: SparseMatrix, weights: Value) {
  const value = (what: string, bytes: number): Value => t.outside(place(m.name, what), [bytes / 4]);
  const bytes = new Map(patternPieces(m));
  const of = (what: string): Value => value(what, bytes.get(place(m.name, what))!);
  return {
    forward: { ...m.forward, begin: of("forward/begin"), index: of("forward/index"), weights },
    backward: {
      ...m.backward,
      begin: of("backward/begin"),
      index: of("backward/index"),
      weights: of("backward/weights"),
    },
    from: of("backward/from"),
  };
}

/** Copies the weights into the order of the way back. */
export function refresh(t: Tape, m: SparseMatrix, weights: Value): void {
  const { backward, from } = patternValues(t, m, weights);
  t.call("pick", [weights, from, backward.weights], [m.count]);
}
