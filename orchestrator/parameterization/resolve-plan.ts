/**
 * Settings in, plan out: the one place where a parameterization's rules become the numbers that a trainer applies.
 */
import { MusweepError } from "../../schema/errors.ts";
import type { Plan, PlanGroup, TensorGroup } from "../../schema/plan.ts";
import { hiddenRateDivisor, type LayerMultipliers, RULES } from "./rules.ts";
import { complement, SETTINGS_CHECKS, type Settings } from "./settings.ts";

export interface DataIdentity {
  /** Content hash of the tokenized data set. */
  hash: string;
  vocab_size: number;
}

/**
 * @throws MusweepError settings: the values do not fit together; optimizer-rule: no rule for this optimizer
 */
export function resolvePlan(settings: Settings, data: DataIdentity): Plan {
  for (const check of SETTINGS_CHECKS) {
    const mistake = check.find(settings);
    if (mistake !== null) throw new MusweepError("settings", mistake.message, { kind: "usage" });
  }
  const s = settings;
  const rules = RULES[s.parameterization];
  const residual = { ...s, width: s.base_width === null ? 1 : s.width / s.base_width };
  return {
    version: 1,
    seed: s.seed,
    data: { hash: data.hash, vocab_size: data.vocab_size },
    shape: {
      layers: s.layers,
      d_model: s.width,
      d_head: s.d_head,
      d_ffn: s.ffn_width,
      sequence_length: s.sequence_length,
      norm: s.norm,
      norm_eps: s.norm_eps,
      positions: s.positions,
      tied_embeddings: s.tied_embeddings,
    },
    forward: {
      embedding_multiplier: rules.embedding_multiplier(residual),
      attention_scale: rules.attention_scale(residual),
      logits_multiplier: rules.logits_multiplier(residual),
    },
    groups: groupsOf(s, data.vocab_size),
    mask: s.mask,
    optimizer: { name: s.optimizer, beta1: s.beta1, beta2: s.beta2, eps: s.eps },
    clip_norm: s.clip_norm,
    schedule: { warmup_steps: s.warmup_steps, decay: s.schedule, final_fraction: s.final_fraction },
    steps: s.steps,
    batch_size: s.batch_size,
    micro_batch_size: s.micro_batch_size,
    evaluation: { ...s.evaluation },
    divergence: { ...s.divergence },
  };
}

/** Every tensor group in the model's order. */
function groupsOf(s: Settings, vocabSize: number): PlanGroup[] {
  const { width, ffn_width } = s;
  const embedding = (name: TensorGroup, fan_in: number, fan_out: number): PlanGroup => ({
    name,
    fan_in,
    fan_out,
    init_std: s.init_std,
    learning_rate: s.learning_rate,
    decay_per_step: decayPerStep(s, s.learning_rate),
    density: 1,
  });
  const norm = (name: TensorGroup): PlanGroup => ({
    name,
    fan_in: 1,
    fan_out: width,
    init_std: null,
    learning_rate: s.learning_rate,
    decay_per_step: 0,
    density: 1,
  });
  return [
    embedding("embedding", vocabSize, width),
    norm("attention_norm"),
    hidden(s, "attention_query", width, width),
    hidden(s, "attention_key", width, width),
    hidden(s, "attention_value", width, width),
    hidden(s, "attention_output", width, width),
    norm("ffn_norm"),
    hidden(s, "ffn_gate", width, ffn_width),
    hidden(s, "ffn_up", width, ffn_width),
    hidden(s, "ffn_down", ffn_width, width),
    norm("final_norm"),
    ...(s.tied_embeddings ? [] : [embedding("unembedding", width, vocabSize)]),
  ];
}

/** A masked matrix of the blocks: the only tensors whose numbers depend on width and density. */
function hidden(s: Settings, name: TensorGroup, fan_in: number, fan_out: number): PlanGroup {
  const density = complement(s.sparsity);
  const baseFanIn = name === "ffn_down" ? s.base_ffn_width : s.base_width;
  const multipliers: LayerMultipliers = {
    width: baseFanIn === null ? 1 : fan_in / baseFanIn,
    density: density / s.base_density,
  };
  const writesToResidual = name === "attention_output" || name === "ffn_down";
  const depth = writesToResidual && s.scale_residual_outputs ? 2 * s.layers : 1;
  const variance = RULES[s.parameterization].hidden_variance_divisor(multipliers) * depth;
  const learning_rate = s.learning_rate / hiddenRateDivisor(s.parameterization, s.optimizer)(multipliers);
  return {
    name,
    fan_in,
    fan_out,
    init_std: s.init_std / Math.sqrt(variance),
    learning_rate,
    decay_per_step: decayPerStep(s, learning_rate),
    density,
  };
}

/** AdamW removes this fraction of a weight per step at the schedule's peak. */
function decayPerStep(s: Settings, groupRate: number): number {
  switch (s.decay_mode) {
    case "none":
      return 0;
    case "constant":
      return s.weight_decay * groupRate;
    case "independent":
      return s.weight_decay * s.learning_rate;
  }
}
