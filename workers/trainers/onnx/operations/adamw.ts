/**
 * AdamW with decoupled decay (Loshchilov, Hutter, arXiv 1711.05101) on gradients clipped by their global norm.
 *
 * The moments are kept scaled, M = m/(1−β1) and U = v/(1−β2), which saves a pass over each. Every rate, decay and bias
 * correction comes in one small vector, so a schedule never rebuilds a graph.
 */
import type { Plan, TensorGroup } from "../../../../schema/plan.ts";
import type { GraphBuilder, Value } from "../graph.ts";

export interface Parameter {
  readonly group: TensorGroup;
  readonly weight: Value;
  readonly first: Value;
  readonly second: Value;
  /** Of the loss summed over all tokens of the batch; mask applied. */
  readonly gradient: Value;
}

export interface UpdatedParameter {
  readonly weight: Value;
  readonly first: Value;
  readonly second: Value;
}

/** Order of the scalars; two per group follow: rate, keep. */
const HEAD = ["beta1", "beta2", "eps", "clip", "per_token"] as const;
const NO_CLIP = 3e38;

/**
 * The scalars of step t. With c1 = (1−β1)/(1−β1^t) and c2 = (1−β2)/(1−β2^t), so that m̂ = c1·M and v̂ = c2·U:
 *   W ← W·keep − rate·M/(√U + eps),  rate = s·lr·c1/√c2,  eps = ε/√c2,  keep = 1 − s·decay.
 * @param factor the schedule's factor s of this step
 * @param tokens tokens in the batch: gradients arrive as sums over them
 */
export function optimizerScalars(plan: Plan, t: number, factor: number, tokens: number): Float32Array {
  const { beta1, beta2, eps } = plan.optimizer;
  const c1 = (1 - beta1) / (1 - beta1 ** t);
  const rootC2 = Math.sqrt((1 - beta2) / (1 - beta2 ** t));
  const head = { beta1, beta2, eps: eps / rootC2, clip: plan.clip_norm ?? NO_CLIP, per_token: 1 / tokens };
  return Float32Array.from([
    ...HEAD.map((name) => head[name]),
    ...plan.groups.flatMap((group) => [
      (factor * group.learning_rate * c1) / rootC2,
      1 - factor * group.decay_per_step,
    ]),
  ]);
}

export const scalarCount = (plan: Plan): number => HEAD.length + 2 * plan.groups.length;

/**
 * One optimizer step of every parameter.
 *
 * Every result depends on the global norm, hence on every gradient, hence comes after every other use of the weights:
 * this is what allows a result to be written over its own input.
 * @param scalars [scalarCount], as optimizerScalars lays them out
 * @returns the updated parameters in order, and the gradient's global norm before clipping, [1, 1]
 */
export function adamw(
  g: GraphBuilder,
  plan: Plan,
  parameters: readonly Parameter[],
  scalars: Value,
): { updated: UpdatedParameter[]; norm: Value } {
  const pieces = g.split(scalars, new Array<number>(scalarCount(plan)).fill(1), 0);
  const scalar = (name: (typeof HEAD)[number]): Value => pieces[HEAD.indexOf(name)]!;
  const perGroup = (group: TensorGroup): [rate: Value, keep: Value] => {
    const at = HEAD.length + 2 * plan.groups.findIndex((x) => x.name === group);
    return [pieces[at]!, pieces[at + 1]!];
  };

  const norm = g.mul(
    globalNorm(
      g,
      parameters.map((p) => p.gradient),
    ),
    scalar("per_token"),
  );
  // The gradient of the mean, clipped: gradient / tokens · min(1, clip / norm).
  const factor = g.mul(g.min(g.div(scalar("clip"), norm), g.floats([1], [1])), scalar("per_token"));
  const factorScalar = g.reshape(factor, [1]);

  const updated = parameters.map(({ group, weight, first, second, gradient }) => {
    const [rate, keep] = perGroup(group);
    const clipped = g.mul(gradient, factorScalar);
    const newFirst = g.add(g.mul(first, scalar("beta1")), clipped);
    const newSecond = g.add(g.mul(second, scalar("beta2")), g.mul(clipped, clipped));
    const direction = g.div(newFirst, g.add(g.unary("Sqrt", newSecond), scalar("eps")));
    const newWeight = g.sub(g.mul(weight, keep), g.mul(direction, rate));
    return { weight: newWeight, first: newFirst, second: newSecond };
  });
  return { updated, norm };
}

/** √Σ g², [1, 1]. Rows first: one long float32 sum over a large matrix would lose digits. */
function globalNorm(g: GraphBuilder, gradients: readonly Value[]): Value {
  const sums = gradients.map((x) => {
    const matrix = x.shape.length === 1 ? g.reshape(x, [1, x.shape[0]!]) : x;
    const rows = g.reduce("ReduceSumSquare", matrix, 1); // [rows, 1]
    return g.reduce("ReduceSum", rows, 0); // [1, 1]
  });
  return g.unary("Sqrt", g.reduce("ReduceSum", g.concat(sums, 0), 0));
}
