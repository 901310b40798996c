/** What a plan makes of every tensor group: the rows behind `musweep plan FILE --resolved` and the pages that show a plan. */
import { keptCount } from "../../schema/wire/cost.ts";
import { isScriptPlan, type Plan, ROLES, type RunPlan, type ScriptPlan } from "../../schema/wire/plan.ts";

export interface ResolvedRow {
  /** A tensor group, or a role of a script's. */
  group: string;
  /** fan-in × fan-out; a norm's gain is a vector; null: the script alone knows. */
  shape: string | null;
  density: number;
  /** Non-zero weights per neuron, fan_in · density; null where nothing is masked. */
  weights_per_neuron: number | null;
  /** Density of the drawn mask, where the count is exact. */
  realised_density: number | null;
  init_std: number | null;
  learning_rate: number;
  log2_learning_rate: number;
  /** Peak learning rate over the base learning rate. */
  multiplier: number;
  decay_per_step: number;
  /** Adam's ε. */
  eps: number;
}

export interface ResolvedPlan {
  rows: ResolvedRow[];
  forward: { name: string; value: number }[];
}

/** @param baseLearningRate η, before any multiplier: the run's coordinate `learning_rate` */
export function describePlan(plan: RunPlan, baseLearningRate: number): ResolvedPlan {
  return isScriptPlan(plan)
    ? describeScriptPlan(plan, baseLearningRate)
    : describeModelPlan(plan, baseLearningRate);
}

function describeScriptPlan({ roles, forward }: ScriptPlan, baseLearningRate: number): ResolvedPlan {
  const rows = ROLES.map((role): ResolvedRow => {
    const { width: _width, ...numbers } = roles[role];
    return {
      group: role,
      shape: null,
      ...numbers,
      weights_per_neuron: null,
      realised_density: null,
      log2_learning_rate: Math.log2(numbers.learning_rate),
      multiplier: numbers.learning_rate / baseLearningRate,
    };
  });
  return {
    rows,
    forward: multipliers(forward, "attention scale: d_head to the power of", forward.attention_scale_power),
  };
}

/** In the order of the forward pass. */
const multipliers = (
  { embedding_multiplier, residual_multiplier, logits_multiplier }: Omit<Plan["forward"], "attention_scale">,
  attention: string,
  scale: number,
): ResolvedPlan["forward"] => [
  { name: "embedding output ×", value: embedding_multiplier },
  { name: "blocks ×", value: residual_multiplier },
  { name: attention, value: scale },
  { name: "logits ×", value: logits_multiplier },
];

function describeModelPlan(plan: Plan, baseLearningRate: number): ResolvedPlan {
  const rows = plan.groups.map((g): ResolvedRow => {
    const masked = g.density < 1;
    const size = g.fan_in * g.fan_out;
    return {
      group: g.name,
      shape: g.init_std === null ? `${g.fan_out}` : `${g.fan_in} × ${g.fan_out}`,
      density: g.density,
      weights_per_neuron: masked ? g.fan_in * g.density : null,
      realised_density: masked && plan.mask === "exact" ? keptCount(g.density, size) / size : null,
      init_std: g.init_std,
      learning_rate: g.learning_rate,
      log2_learning_rate: Math.log2(g.learning_rate),
      multiplier: g.learning_rate / baseLearningRate,
      decay_per_step: g.decay_per_step,
      eps: g.eps,
    };
  });
  return { rows, forward: multipliers(plan.forward, "attention logits ×", plan.forward.attention_scale) };
}
