/**
 * AdamW with decoupled decay (Loshchilov, Hutter, arXiv 1711.05101) on gradients clipped by their global norm.
 *
 * Outside the graph: two loops over all weights, compiled in native/optimizer.c. The moments are kept scaled, M = m/(1−β1) and
 * U = v/(1−β2), which saves a product for each. The number of threads changes no bit of a result.
 */
import { promisify } from "node:util";
import type { Plan, TensorGroup } from "../../../schema/plan.ts";
import koffi from "./foreign.ts";
import { native } from "./native.ts";

/** A parameter tensor; all of one length. */
export interface Parameter {
  readonly group: TensorGroup;
  readonly weight: Float32Array;
  /** Scaled moments. */
  readonly first: Float32Array;
  readonly second: Float32Array;
  readonly mask: Float32Array | null;
  /** Gradients of the loss summed over tokens, masks not applied: one array or two, which add up. */
  readonly sums: readonly Float32Array[];
}

/** `count` numbers of a tensor from `start`. */
interface Block {
  readonly parameter: Parameter;
  readonly start: number;
  readonly count: number;
  /** Index of the group in the plan. */
  readonly group: number;
}

const sumOfSquares = native.func("void sum_of_squares(void*, int64_t, int64_t, void*)");
const adamw = native.func("void adamw(void*, int64_t, int64_t, void*, float, float, float, float)");

/** Small enough that threads share a model of a few blocks evenly. */
const BLOCK = 2 ** 15;
/** Below this, waking a second thread takes longer than it helps. */
const NUMBERS_PER_THREAD = 2 ** 17;

export class Optimizer {
  readonly #plan: Plan;
  readonly #blocks: readonly Block[];
  /** The blocks as native/optimizer.c takes them. */
  readonly #table: BigInt64Array;
  /** Blocks of thread i: from #bounds[i] to #bounds[i + 1] − 1. */
  readonly #bounds: readonly number[];

  constructor(plan: Plan, parameters: readonly Parameter[], threads: number) {
    this.#plan = plan;
    this.#blocks = parameters.flatMap((parameter) => blocksOf(plan, parameter));
    this.#table = BigInt64Array.from(this.#blocks.flatMap(structOf));
    const numbers = this.#blocks.reduce((sum, b) => sum + b.count, 0);
    const parts = Math.max(1, Math.min(threads, Math.floor(numbers / NUMBERS_PER_THREAD)));
    this.#bounds = Array.from({ length: parts + 1 }, (_, i) => Math.round((i * this.#blocks.length) / parts));
  }

  /**
   * One update. With c1 = (1−β1)/(1−β1^t) and c2 = (1−β2)/(1−β2^t), so that m̂ = c1·M and v̂ = c2·U:
   *   W ← W·keep − rate·M/(√U + eps),  rate = s·lr·c1/√c2,  eps = ε/√c2,  keep = 1 − s·decay.
   * @param t number of the step, from 1
   * @param factor the schedule's factor s of this step
   * @param tokens that the gradients' sums are over
   * @returns the global norm of the mean's gradient, before clipping
   */
  async update(t: number, factor: number, tokens: number): Promise<number> {
    const { optimizer, groups, clip_norm } = this.#plan;
    const { beta1, beta2, eps } = optimizer;
    const c1 = (1 - beta1) / (1 - beta1 ** t);
    const rootC2 = Math.sqrt((1 - beta2) / (1 - beta2 ** t));
    const squares = new Float64Array(this.#blocks.length);
    await this.#onAll(sumOfSquares, squares);
    const norm = Math.sqrt(squares.reduce((sum, x) => sum + x, 0)) / tokens;
    const clip = clip_norm === null ? 1 : Math.min(1, clip_norm / norm);
    // Two per group: the rate, and what is kept of a weight.
    const rates = Float32Array.from(
      groups.flatMap((g) => [(factor * g.learning_rate * c1) / rootC2, 1 - factor * g.decay_per_step]),
    );
    await this.#onAll(adamw, rates, beta1, beta2, eps / rootC2, clip / tokens);
    return norm;
  }

  /** Calls a loop on all blocks, by several threads where that pays: every block is on its own. */
  async #onAll(loop: typeof adamw, ...rest: unknown[]): Promise<void> {
    const [first, ...others] = this.#bounds.slice(1).map((end, i) => [this.#bounds[i]!, end]);
    const aside = others.map((bounds) => promisify(loop.async)(this.#table, ...bounds, ...rest));
    loop(this.#table, ...first!, ...rest);
    await Promise.all(aside);
  }
}

function blocksOf(plan: Plan, parameter: Parameter): Block[] {
  const { length } = parameter.weight;
  const group = plan.groups.findIndex((g) => g.name === parameter.group);
  return Array.from({ length: Math.ceil(length / BLOCK) }, (_, i) => {
    const start = i * BLOCK;
    return { parameter, start, count: Math.min(BLOCK, length - start), group };
  });
}

/**
 * struct Block of native/optimizer.c: six pointers, count, group. The arrays stay where they are, because their memory is
 * outside of the garbage collector's; the blocks keep them alive.
 */
function structOf({ parameter, start, count, group }: Block): bigint[] {
  const { weight, first, second, mask, sums } = parameter;
  const arrays = [weight, first, second, mask, sums[0], sums[1]];
  const pointers = arrays.map((a) => (a ? koffi.address(a) + BigInt(start * a.BYTES_PER_ELEMENT) : 0n));
  return [...pointers, BigInt(count), BigInt(group)];
}
