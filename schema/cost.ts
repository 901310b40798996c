/** What a plan costs: parameters, floating-point operations, tokens. Counts follow from the plan's shapes alone. */
import type { Plan, PlanGroup } from "./plan.ts";

/** How many tensors of this group the model has. */
function tensorsOf(plan: Plan, group: PlanGroup): number {
  switch (group.name) {
    case "embedding":
    case "unembedding":
    case "final_norm":
      return 1;
    default:
      return plan.shape.layers;
  }
}

const isNorm = (group: PlanGroup): boolean => group.init_std === null;

/** Parameters of the dense model; a layernorm has a gain and a bias. */
export function parameterCount(plan: Plan): number {
  const perNormValue = plan.shape.norm === "layernorm" ? 2 : 1;
  return plan.groups.reduce(
    (sum, g) => sum + tensorsOf(plan, g) * (isNorm(g) ? g.fan_out * perNormValue : g.fan_in * g.fan_out),
    0,
  );
}

/** Parameters that exist under exact masks. */
export function nonzeroParameterCount(plan: Plan): number {
  const masked = plan.groups
    .filter((g) => g.density < 1)
    .reduce((sum, g) => {
      const size = g.fan_in * g.fan_out;
      return sum + tensorsOf(plan, g) * (size - keptCount(g.density, size));
    }, 0);
  return parameterCount(plan) - masked;
}

/** Weights kept by an exact mask: the nearest integer to density × size. */
export const keptCount = (density: number, size: number): number => Math.round(density * size);

export const tokenCount = (plan: Plan): number => plan.steps * plan.batch_size * plan.shape.sequence_length;

/**
 * Training FLOPs per token, forward and backward, as a dense model: 6 per weight of every matrix product (the embedding
 * look-up is none, the unembedding is one, tied or not) and 12·T·d_model per layer for attention scores and values
 * (Kaplan et al., arXiv 2001.08361, table 1; no discount for the causal half).
 */
export function flopsPerToken(plan: Plan): number {
  const { layers, d_model, sequence_length } = plan.shape;
  const matmulWeights = plan.groups
    .filter((g) => !isNorm(g) && g.name !== "embedding")
    .reduce((sum, g) => sum + tensorsOf(plan, g) * g.fan_in * g.fan_out, 0);
  const tiedUnembedding = plan.shape.tied_embeddings ? plan.data.vocab_size * d_model : 0;
  return 6 * (matmulWeights + tiedUnembedding) + 12 * layers * sequence_length * d_model;
}

export const trainingFlops = (plan: Plan): number => flopsPerToken(plan) * tokenCount(plan);
