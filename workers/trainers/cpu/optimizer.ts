/**
 * AdamW with decoupled decay (Loshchilov, Hutter, arXiv 1711.05101) on gradients clipped by their global norm.
 *
 * A tape of three kernels (native/optimizer.h) over all weights. The moments are kept scaled, M = m/(1−β1) and
 * U = v/(1−β2), which saves a product for each. The number of threads changes no bit of a result.
 */
import type { Plan, TensorGroup } from "../../../schema/wire/plan.ts";
import type { Region } from "./region.ts";
import { BoundTape, type Crew, runTapes, Tape, type Value } from "./tape.ts";

/** A parameter tensor: addresses of its numbers, of which `kept` are kept. */
export interface Parameter {
  readonly group: TensorGroup;
  readonly kept: number;
  readonly weight: bigint;
  /** Scaled moments. */
  readonly first: bigint;
  readonly second: bigint;
  readonly mask: bigint | null;
  /** Gradients of the loss summed over tokens, masks not applied: one or two, which add up. */
  readonly sums: readonly bigint[];
}

/** Small enough that threads share a model of a few blocks evenly. */
const BLOCK = 2 ** 15;
/** Below this, waking a second thread takes longer than it helps. */
const NUMBERS_PER_THREAD = 2 ** 17;
/** struct Block of native/optimizer.h: six pointers, count, group. */
const BLOCK_WORDS = 8;
/** Of a group: the rate, what is kept of a weight, eps. */
const RATES = 3;

const BLOCKS = "optimizer/blocks";
const SQUARES = "optimizer/squares";
const RATE_TABLE = "optimizer/rates";
/** Clip or 0 for none, tokens, norm, factor. */
const NUMBERS = "optimizer/numbers";

/** Bytes of its own memory in a run's region, by name. */
export function optimizerPieces(
  plan: Plan,
  tensors: readonly { readonly kept: number }[],
): [name: string, bytes: number][] {
  const blocks = tensors.reduce((sum, { kept }) => sum + Math.ceil(kept / BLOCK), 0);
  return [
    [BLOCKS, 8 * BLOCK_WORDS * blocks],
    [SQUARES, 8 * blocks],
    [RATE_TABLE, 4 * RATES * plan.groups.length],
    [NUMBERS, 8 * 4],
  ];
}

export class Optimizer {
  readonly #plan: Plan;
  readonly #rates: Float32Array;
  readonly #numbers: Float64Array;
  readonly #tape: BoundTape;
  readonly #crew: Crew;

  /**
   * @param region with optimizerPieces among its pieces
   * @param after adds to the tape of an update
   */
  constructor(
    plan: Plan,
    parameters: readonly Parameter[],
    region: Region,
    threads: number,
    after: (t: Tape) => void = () => {},
  ) {
    this.#plan = plan;
    this.#rates = region.floats(RATE_TABLE);
    this.#numbers = region.doubles(NUMBERS);
    const blocks = parameters.flatMap((parameter) => blocksOf(plan, parameter));
    region.longs(BLOCKS).set(blocks.flat());
    const numbers = parameters.reduce((sum, p) => sum + p.kept, 0);
    const members = Math.max(1, Math.min(threads, Math.floor(numbers / NUMBERS_PER_THREAD)));
    this.#crew = { teams: 1, members };
    const { beta1, beta2 } = plan.optimizer;
    const t = new Tape(members);
    const [table, squares, rates, own] = [BLOCKS, SQUARES, RATE_TABLE, NUMBERS].map((name) =>
      t.outside(name, []),
    ) as [Value, Value, Value, Value];
    t.call("sum_of_squares", [table, squares], [blocks.length]);
    t.call("clip", [squares, own], [blocks.length]);
    t.call("adamw", [table, rates, own], [blocks.length], [beta1, beta2]);
    after(t);
    this.#tape = new BoundTape(t.finish(), 0n, region.address);
  }

  /**
   * One update. With c1 = (1−β1)/(1−β1^t) and c2 = (1−β2)/(1−β2^t), so that m̂ = c1·M and v̂ = c2·U:
   *   W ← W·keep − rate·M/(√U + eps),  rate = s·lr·c1/√c2,  eps = ε/√c2,  keep = 1 − s·decay.
   * @param t number of the step, from 1
   * @param factor the schedule's factor s of this step
   * @param tokens that the gradients' sums are over
   * @returns the global norm of the mean's gradient, before clipping
   */
  update(t: number, factor: number, tokens: number): number {
    const { optimizer, groups, clip_norm } = this.#plan;
    const { beta1, beta2 } = optimizer;
    const c1 = (1 - beta1) / (1 - beta1 ** t);
    const rootC2 = Math.sqrt((1 - beta2) / (1 - beta2 ** t));
    groups.forEach((g, i) => {
      const rate = (factor * g.learning_rate * c1) / rootC2;
      this.#rates.set([rate, 1 - factor * g.decay_per_step, g.eps / rootC2], RATES * i);
    });
    this.#numbers.set([clip_norm ?? 0, tokens]);
    runTapes([this.#tape], this.#crew);
    return this.#numbers[2]!;
  }
}

/** struct Block of native/optimizer.h, for each run of numbers. */
function blocksOf(plan: Plan, { group, kept, weight, first, second, mask, sums }: Parameter): bigint[][] {
  const place = BigInt(plan.groups.findIndex((g) => g.name === group));
  return Array.from({ length: Math.ceil(kept / BLOCK) }, (_, i) => {
    const start = BigInt(4 * i * BLOCK);
    const pointers = [weight, first, second, mask, sums[0], sums[1]].map((a) => (a ? a + start : 0n));
    return [...pointers, BigInt(Math.min(BLOCK, kept - i * BLOCK)), place];
  });
}
