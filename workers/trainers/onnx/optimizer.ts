/**
 * AdamW with decoupled decay (Loshchilov, Hutter, arXiv 1711.05101) on gradients clipped by their global norm.
 *
 * Outside the graph, because ONNX Runtime would take a pass over memory for each of a dozen operations. The loops are here,
 * and compiled in optimizer.c: which of the two runs changes the speed and no bit of a result, and neither does the number
 * of threads. The moments are kept scaled, M = m/(1−β1) and U = v/(1−β2), which saves a product for each.
 */
import type { Plan, TensorGroup } from "../../../schema/plan.ts";
import { type CompiledLoops, compiledLoops } from "./compiled_optimizer.ts";

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
export interface Block {
  readonly parameter: Parameter;
  readonly start: number;
  readonly count: number;
  /** Index of the group in the plan. */
  readonly group: number;
}

/** What an update needs to know besides the arrays; all float32. */
export interface UpdateScalars {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  /** Makes the clipped gradient of the mean of the gradients' sums. */
  readonly factor: number;
  /** Two per group of the plan: the rate, and what is kept of a weight. */
  readonly rates: Float32Array;
}

/** Small enough that threads share a model of a few blocks evenly. */
const BLOCK = 2 ** 15;
/** As a compiler's vectors add them up: number i goes to partial sum i mod 16. */
const PARTIAL_SUMS = 16;

export class Optimizer {
  readonly #plan: Plan;
  readonly #blocks: readonly Block[];
  readonly #loops: CompiledLoops | null;

  /** @param compiled whether to use the compiled loops, where they were built */
  constructor(plan: Plan, parameters: readonly Parameter[], threads: number, compiled = true) {
    this.#plan = plan;
    this.#blocks = parameters.flatMap((parameter) => blocksOf(plan, parameter));
    this.#loops = compiled ? compiledLoops(this.#blocks, threads) : null;
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
    if (this.#loops === null) sumOfSquares(this.#blocks, squares);
    else await this.#loops.sumOfSquares(squares);
    const norm = Math.sqrt(squares.reduce((sum, x) => sum + x, 0)) / tokens;
    const clip = clip_norm === null ? 1 : Math.min(1, clip_norm / norm);
    const scalars: UpdateScalars = {
      beta1: Math.fround(beta1),
      beta2: Math.fround(beta2),
      eps: Math.fround(eps / rootC2),
      factor: Math.fround(clip / tokens),
      rates: Float32Array.from(
        groups.flatMap((g) => [(factor * g.learning_rate * c1) / rootC2, 1 - factor * g.decay_per_step]),
      ),
    };
    if (this.#loops === null) adamw(this.#blocks, scalars);
    else await this.#loops.adamw(scalars);
    return norm;
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

/** Masked gradient number i, summed over lanes. */
function gradientAt({ sums, mask }: Parameter, i: number): number {
  let gradient = sums[0]![i]!;
  if (sums.length > 1) gradient = Math.fround(gradient + sums[1]![i]!);
  return mask === null ? gradient : Math.fround(gradient * mask[i]!);
}

function sumOfSquares(blocks: readonly Block[], squares: Float64Array): void {
  blocks.forEach(({ parameter, start, count }, b) => {
    const partial = new Float64Array(PARTIAL_SUMS);
    for (let i = 0; i < count; i++) {
      const gradient = gradientAt(parameter, start + i);
      partial[i % PARTIAL_SUMS]! += gradient * gradient;
    }
    squares[b] = partial.reduce((sum, x) => sum + x, 0);
  });
}

function adamw(blocks: readonly Block[], { beta1, beta2, eps, factor, rates }: UpdateScalars): void {
  const { fround, sqrt } = Math;
  for (const { parameter, start, count, group } of blocks) {
    const { weight, first, second } = parameter;
    const [rate, keep] = [rates[2 * group]!, rates[2 * group + 1]!];
    for (let i = start; i < start + count; i++) {
      const clipped = fround(gradientAt(parameter, i) * factor);
      const m = fround(fround(first[i]! * beta1) + clipped);
      const u = fround(fround(second[i]! * beta2) + fround(clipped * clipped));
      first[i] = m;
      second[i] = u;
      const direction = fround(m / fround(fround(sqrt(u)) + eps));
      weight[i] = fround(fround(weight[i]! * keep) - fround(direction * rate));
    }
  }
}
