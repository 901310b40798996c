/**
 * What other people's code, configurations and tables call a hyperparameter: to recognize a column of results, and to say what is
 * meant in a sweep file, where only the name of our own is taken.
 */
import type { HyperparameterName } from "./hyperparameters.ts";
import { PARAMETERIZATIONS, type Parameterization, RULES } from "./rules.ts";

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
  if (STANDARD.test(plain)) return "sp";
  return PARAMETERIZATIONS.find((name) => [name, RULES[name].title].some((one) => plainly(one) === plain));
}
