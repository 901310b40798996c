/** What a plan costs: parameters, floating-point operations, tokens. Counts follow from the plan's shapes alone. */
import { isForEmbedded, needOfRun, type Placement } from "./need.ts";
import { isScriptPlan, type Plan, type PlanGroup, type RunPlan } from "./plan.ts";

const isOfBlocks = ({ name }: PlanGroup): boolean =>
  name !== "embedding" && name !== "unembedding" && name !== "final_norm";

/** How many tensors of this group the model has. */
const tensorsOf = (plan: Plan, group: PlanGroup): number => (isOfBlocks(group) ? plan.shape.layers : 1);

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

/**
 * Up to this density the embedded trainer stores, multiplies and updates of a matrix of the blocks only the weights that exist; above,
 * it multiplies with the zeros. Chosen by measurement (docs/engine.md).
 */
const SPARSE_UP_TO = 0.5;
/** What such a matrix's places are counted with: 16 bits. */
const LONGEST_SPARSE_AXIS = 2 ** 16;

/** Whether the embedded trainer trains the group's matrices by their existing weights alone. The plan decides, never a measurement. */
export const isTrainedSparse = (group: PlanGroup): boolean =>
  group.density <= SPARSE_UP_TO &&
  isOfBlocks(group) &&
  Math.max(group.fan_in, group.fan_out) <= LONGEST_SPARSE_AXIS;

export const tokenCount = (plan: Plan): number => plan.steps * plan.batch_size * plan.shape.sequence_length;

/** Training FLOPs per token: 6 per weight of every matrix product, and 12·T·d_model per layer for attention scores and values. */
function countFlops(plan: Plan, weightsOf: (group: PlanGroup) => number): number {
  const { layers, d_model, sequence_length } = plan.shape;
  const matmulWeights = plan.groups
    .filter((g) => !isNorm(g) && g.name !== "embedding")
    .reduce((sum, g) => sum + tensorsOf(plan, g) * weightsOf(g), 0);
  const tiedUnembedding = plan.shape.tied_embeddings ? plan.data.vocab_size * d_model : 0;
  return 6 * (matmulWeights + tiedUnembedding) + 12 * layers * sequence_length * d_model;
}

/**
 * Training FLOPs per token, forward and backward, as a dense model: 6 per weight of every matrix product (the embedding
 * look-up is none, the unembedding is one, tied or not) and 12·T·d_model per layer for attention scores and values
 * (Kaplan et al., arXiv 2001.08361, table 1; no discount for the causal half).
 */
export const flopsPerToken = (plan: Plan): number => countFlops(plan, (g) => g.fan_in * g.fan_out);

/** The same without the weights that do not exist, of matrices that the embedded trainer trains sparse. */
export const sparseFlopsPerToken = (plan: Plan): number =>
  countFlops(plan, (g) => {
    const size = g.fan_in * g.fan_out;
    return isTrainedSparse(g) ? keptCount(g.density, size) : size;
  });

/** Of them, what is left of the matrices that are trained sparse: such a FLOP takes longer than one of a dense product. */
export const keptFlopsPerToken = (plan: Plan): number =>
  sparseFlopsPerToken(plan) - countFlops(plan, (g) => (isTrainedSparse(g) ? 0 : g.fan_in * g.fan_out));

/**
 * What a FLOP of a sparse product takes, in FLOPs of a dense one: 1.35 to 1.47 by the times of docs/engine.md at width 128 to 512, density
 * 1/8 and 1/64.
 */
const KEPT_FLOP = 1.4;

/**
 * By which progress, shares of the work and the time left weigh a run: FLOPs of dense products that take as long. Nobody but a script knows what its model costs: a run of it counts as one of a
 * transformer of its width, depth and length would.
 */
export function plannedFlops(plan: RunPlan, placement: Placement): number {
  if (!isScriptPlan(plan)) {
    if (!isForEmbedded(needOfRun(plan, placement))) return trainingFlops(plan);
    return sparseTrainingFlops(plan) + (KEPT_FLOP - 1) * keptFlopsPerToken(plan) * tokenCount(plan);
  }
  const { settings, model, steps } = plan;
  const times = (name: string): number => (typeof settings[name] === "number" ? settings[name] : 1);
  const weights = 12 * model.layers * model.width ** 2;
  return 6 * weights * times("batch_size") * times("sequence_length") * (steps ?? 1);
}

export const trainingFlops = (plan: Plan): number => flopsPerToken(plan) * tokenCount(plan);
export const sparseTrainingFlops = (plan: Plan): number => sparseFlopsPerToken(plan) * tokenCount(plan);
