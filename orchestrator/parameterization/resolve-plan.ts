/**
 * Settings in, plan out: the one place where a parameterization's rules become the numbers that a trainer applies.
 */
import {
  hiddenRateDivisor,
  type LayerMultipliers,
  type ModelMultipliers,
  RULES,
} from "../../schema/sweep/rules.ts";
import { modelGroups } from "../../schema/wire/model.ts";
import type { Plan, PlanGroup, TensorGroup } from "../../schema/wire/plan.ts";
import { complement, type Settings } from "./settings.ts";

export interface DataIdentity {
  /** Content hash of the tokenized data set. */
  hash: string;
  vocab_size: number;
}

/** Of sweeps whose trainer has its own. */
export const NO_DATA: DataIdentity = { hash: "", vocab_size: 0 };

/**
 * @param settings that fit together (SETTINGS_CHECKS): parseSweep has looked at every distinct combination of a file's
 * @throws MusweepError optimizer-rule: no rule for this optimizer
 */
export function resolvePlan(settings: Settings, data: DataIdentity): Plan {
  const s = settings;
  const rules = RULES[s.parameterization];
  const model = modelMultipliers(s);
  return {
    version: 2,
    trainer: { name: s.trainer, revision: s.revision },
    precision: s.precision,
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
      embedding_multiplier: rules.embedding_multiplier(model),
      residual_multiplier: rules.residual_multiplier(model),
      attention_scale: rules.attention_scale(model),
      logits_multiplier: rules.logits_multiplier(model),
    },
    groups: groupsOf(s, model, data.vocab_size),
    mask: s.mask,
    optimizer: { name: s.optimizer, beta1: s.beta1, beta2: s.beta2 },
    clip_norm: s.clip_norm,
    schedule: { warmup_steps: s.warmup_steps, decay: s.schedule, final_fraction: s.final_fraction },
    steps: s.steps,
    batch_size: s.batch_size,
    micro_batch_size: s.micro_batch_size,
    evaluation: { ...s.evaluation },
    divergence: { ...s.divergence },
  };
}

/** Without a proxy nothing depends on one: the multipliers are then never looked at. */
export function modelMultipliers(s: Settings): ModelMultipliers {
  const { d_head, alpha_input, alpha_output } = s;
  return {
    width: s.base_width === null ? 1 : s.width / s.base_width,
    layers: s.base_layers === null ? 1 : s.layers / s.base_layers,
    d_head,
    alpha_input,
    alpha_output,
  };
}

/** Every tensor group in the model's order. */
const groupsOf = (s: Settings, model: ModelMultipliers, vocabSize: number): PlanGroup[] =>
  modelGroups({ ...s, d_model: s.width, d_ffn: s.ffn_width }, vocabSize).map(({ kind, ...size }) => ({
    ...size,
    ...(kind === "hidden"
      ? hiddenNumbers(s, model, size)
      : kind === "norm"
        ? normNumbers(s, model, size.name)
        : embeddingNumbers(s, model, kind)),
  }));

type Numbers = Omit<PlanGroup, "name" | "fan_in" | "fan_out">;

export function embeddingNumbers(
  s: Settings,
  model: ModelMultipliers,
  kind: "embedding" | "unembedding",
): Numbers {
  const rules = RULES[s.parameterization];
  const learning_rate = s.learning_rate * (kind === "embedding" ? rules.embedding_rate_factor(model) : 1);
  return {
    init_std: s.init_std,
    learning_rate,
    decay_per_step: decayPerStep(s, learning_rate),
    eps: s.eps / rules.embedding_eps_divisor(model),
    density: 1,
  };
}

export const normNumbers = (s: Settings, model: ModelMultipliers, name: TensorGroup): Numbers => ({
  init_std: null,
  learning_rate: s.learning_rate,
  decay_per_step: 0,
  eps: name === "final_norm" ? s.eps : s.eps / RULES[s.parameterization].block_eps_divisor(model),
  density: 1,
});

/** A masked matrix of the blocks: the only tensors whose initial weights and rates depend on width and density. */
export function hiddenNumbers(
  s: Settings,
  model: ModelMultipliers,
  { name, fan_in }: { name: TensorGroup; fan_in: number },
): Numbers {
  const rules = RULES[s.parameterization];
  const density = complement(s.sparsity);
  const baseFanIn = name === "ffn_down" ? s.base_ffn_width : s.base_width;
  const multipliers: LayerMultipliers = {
    width: baseFanIn === null ? 1 : fan_in / baseFanIn,
    density: density / s.base_density,
  };
  const writesToResidual = name === "attention_output" || name === "ffn_down";
  const divided = writesToResidual && s.scale_residual_outputs && rules.scales_residual_outputs;
  const variance = rules.hidden_variance_divisor(multipliers) * (divided ? 2 * s.layers : 1);
  const learning_rate = s.learning_rate / hiddenRateDivisor(s.parameterization, s.optimizer)(multipliers);
  return {
    init_std: s.init_std / Math.sqrt(variance),
    learning_rate,
    decay_per_step: decayPerStep(s, learning_rate, rules.hidden_decay_factor(multipliers)),
    eps: s.eps / rules.block_eps_divisor(model),
    density,
  };
}

/** AdamW removes this fraction of a weight per step at the schedule's peak. */
function decayPerStep(s: Settings, groupRate: number, factor = 1): number {
  switch (s.decay_mode) {
    case "none":
      return 0;
    case "constant":
      return s.weight_decay * factor * groupRate;
    case "independent":
      return s.weight_decay * s.learning_rate;
  }
}
