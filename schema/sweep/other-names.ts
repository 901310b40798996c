/**
 * What other people's code, configurations and tables call a hyperparameter: to recognize a column of results, and to say what is
 * meant in a sweep file, where only the name of our own is taken.
 */
import type { HyperparameterName } from "./hyperparameters.ts";
import { PARAMETERIZATIONS, type Parameterization, RULES, STANDARD_PARAMETERIZATION } from "./rules.ts";

/** Best first. */
export const OTHER_NAMES: Partial<Record<HyperparameterName, readonly string[]>> = {
  learning_rate: ["lr", "base_lr", "peak_lr", "max_lr", "eta"],
  width: ["d_model", "n_embd", "hidden_size", "hidden_dim", "embed_dim", "model_dim", "dim"],
  layers: ["n_layer", "n_layers", "num_layers", "num_hidden_layers", "depth"],
  d_head: ["head_dim", "head_size"],
  ffn_width: ["d_ffn", "d_ff", "intermediate_size", "ffn_dim"],
  sequence_length: ["seq_len", "seq_length", "context_length", "block_size", "max_seq_len"],
  batch_size: ["bs", "train_batch_size", "global_batch_size"],
  steps: ["max_steps", "n_steps", "num_steps", "train_steps", "total_steps", "max_iters"],
  seed: ["random_seed", "rng_seed"],
  weight_decay: ["wd"],
  init_std: ["initializer_range", "init_sigma"],
  clip_norm: ["grad_clip", "max_grad_norm", "gradient_clip"],
  warmup_steps: ["num_warmup_steps", "warmup_iters"],
  warmup_fraction: ["warmup_ratio"],
  parameterization: ["parametrization", "param"],
  base_width: ["base_d_model", "mup_base_width"],
  precision: ["dtype"],
};

/** The same where a file says what is wanted: a column of results that is called so may hold something else. */
export const LOOSE_NAMES: typeof OTHER_NAMES = {
  sequence_length: [
    "n_ctx",
    "n_positions",
    "context",
    "context_size",
    "context_window",
    "max_position_embeddings",
    "max_length",
    "seqlen",
  ],
  batch_size: ["batch", "per_device_train_batch_size", "train_batch"],
  steps: [
    "iterations",
    "iters",
    "n_iters",
    "num_iterations",
    "max_iterations",
    "train_iters",
    "num_train_steps",
    "num_training_steps",
  ],
  seed: ["seeds", "manual_seed", "n_seeds", "num_seeds", "repeats", "n_repeats", "num_repeats"],
  layers: ["n_blocks", "num_blocks", "blocks"],
  schedule: ["lr_scheduler_type", "lr_scheduler", "lr_schedule", "scheduler", "lr_decay_style"],
  clip_norm: ["gradient_clip_val", "clip_grad", "clip_grad_norm", "max_norm"],
  beta1: ["adam_beta1", "beta_1"],
  beta2: ["adam_beta2", "beta_2"],
  eps: ["epsilon", "adam_epsilon", "adam_eps"],
  norm: ["norm_type", "normalization"],
  norm_eps: ["layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps"],
  tied_embeddings: ["tie_word_embeddings", "tie_embeddings", "tie_weights", "weight_tying"],
  precision: ["mixed_precision"],
};

/** What others set and nobody sets here: by its names, what is set in place of it, and why. */
export const INSTEAD: readonly {
  names: readonly string[];
  give: readonly HyperparameterName[];
  why: string;
  /** Whether all of them are given, not one. */
  all?: true;
}[] = [
  {
    names: ["n_head", "n_heads", "num_heads", "num_attention_heads", "heads"],
    give: ["d_head"],
    why: "the number of heads is width ÷ d_head",
  },
  {
    names: ["epochs", "n_epochs", "num_epochs", "num_train_epochs", "max_epochs"],
    give: ["steps", "tokens"],
    why: "a run's length is not counted in epochs",
  },
  {
    names: ["warmup", "warm_up", "lr_warmup"],
    give: ["warmup_steps", "warmup_fraction"],
    why: "a warm-up is so many steps, or a share of them",
  },
  {
    names: ["min_lr", "lr_min", "min_learning_rate", "final_lr", "end_lr", "eta_min"],
    give: ["final_fraction"],
    why: "the last rate is a share of the peak",
  },
  {
    names: ["ffn_ratio", "mlp_ratio", "ffn_mult", "mlp_mult", "expansion_factor"],
    give: ["ffn_width"],
    why: "a ratio is model.ffn.ratio, for all models; an axis is over widths",
  },
  {
    names: ["betas", "adam_betas"],
    give: ["beta1", "beta2"],
    all: true,
    why: "each has a name",
  },
];

/** What others call a value that is one of a few words. */
export const OTHER_WORDS: Readonly<Record<string, string>> = {
  bf16: "bfloat16",
  "bf16-mixed": "bfloat16",
  "bf16-true": "bfloat16",
  fp32: "float32",
  "32": "float32",
  "32-true": "float32",
  rms: "rmsnorm",
  layer: "layernorm",
  ln: "layernorm",
  constant_with_warmup: "constant",
};

/** μ, which keyboards lack, is written mu or u; signs and capitals say nothing. */
const plainly = (name: string): string =>
  name
    .normalize("NFKC")
    .toLowerCase()
    .replaceAll(/μ|mu/g, "u")
    .replaceAll(/\(ours\)|[^a-z0-9]/g, "");

const STANDARD = /^standard(parametri[sz]ation|parameteri[sz]ation)?$/;

/** The parameterization that is called so: by its name, or by its title as pages and reports print it: "SμPar", "muP", "standard". */
export function parameterizationNamed(text: string): Parameterization | undefined {
  const plain = plainly(text);
  if (STANDARD.test(plain)) return STANDARD_PARAMETERIZATION;
  return PARAMETERIZATIONS.find((name) => [name, RULES[name].title].some((one) => plainly(one) === plain));
}
