/** A run's settings for tests: a small dense model of the proxy's own shape, changed where a test says so. */
import type { Settings } from "../../../orchestrator/parameterization/settings.ts";
import type { Plan, PlanGroup, TensorGroup } from "../../../schema/wire/plan.ts";

export const data = { hash: "0123456789abcdef", vocab_size: 256 };

export const settingsOf = (changes: Partial<Settings> = {}): Settings => ({
  trainer: "musweep",
  revision: "1",
  precision: "float32",
  parameterization: "supar",
  width: 256,
  sparsity: 0,
  layers: 2,
  d_head: 64,
  ffn_width: 1024,
  sequence_length: 128,
  norm: "rmsnorm",
  norm_eps: 1e-5,
  positions: "alibi",
  tied_embeddings: true,
  mask: "exact",
  seed: 1,
  learning_rate: 1.62e-2,
  init_std: 0.08665602,
  alpha_input: 9.1705,
  alpha_output: 1.0951835,
  base_width: 256,
  base_ffn_width: 1024,
  base_layers: 2,
  base_density: 1,
  scale_residual_outputs: false,
  optimizer: "adamw",
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-8,
  weight_decay: 0,
  decay_mode: "none",
  clip_norm: 1,
  steps: 300,
  batch_size: 16,
  micro_batch_size: null,
  warmup_steps: 30,
  schedule: "linear",
  final_fraction: 0.1,
  evaluation: { every_steps: null, sequences: 64 },
  divergence: { patience_steps: 100 },
  ...changes,
});

export function groupOf(plan: Plan, name: TensorGroup): PlanGroup {
  const group = plan.groups.find((g) => g.name === name);
  if (group === undefined) throw new Error(`the plan has no group ${name}`);
  return group;
}

export const HIDDEN = [
  "attention_query",
  "attention_key",
  "attention_value",
  "attention_output",
  "ffn_gate",
  "ffn_up",
  "ffn_down",
] as const satisfies readonly TensorGroup[];
export const NORMS = ["attention_norm", "ffn_norm", "final_norm"] as const satisfies readonly TensorGroup[];
