/**
 * One point of a sweep, resolved: the axes' values over the file's, the file's over the defaults, and what follows from
 * them (feed-forward width, steps, warm-up steps).
 */
import { HYPERPARAMETER_NAMES, type HyperparameterName, PAPER } from "../../schema/hyperparameters.ts";
import type { Phase } from "../../schema/sweep.ts";
import type { Settings } from "../parameterization/settings.ts";
import type { Values } from "./grids.ts";
import type { Path } from "./problems.ts";

/** Where the file holds a hyperparameter's one value, when no axis varies it. */
export const HOME: { [K in HyperparameterName]?: Path } = {
  width: ["model", "width"],
  sparsity: ["model", "sparsity"],
  layers: ["model", "layers"],
  d_head: ["model", "d_head"],
  ffn_width: ["model", "ffn", "width"],
  sequence_length: ["model", "sequence_length"],
  norm: ["model", "norm"],
  norm_eps: ["model", "norm_eps"],
  positions: ["model", "positions"],
  tied_embeddings: ["model", "tied_embeddings"],
  mask: ["model", "mask"],
  steps: ["training", "steps"],
  tokens: ["training", "tokens"],
  batch_size: ["training", "batch_size"],
  seed: ["training", "seed"],
  warmup_steps: ["training", "warmup_steps"],
  warmup_fraction: ["training", "warmup_fraction"],
  schedule: ["training", "schedule"],
  final_fraction: ["training", "final_fraction"],
  beta1: ["training", "optimizer", "beta1"],
  beta2: ["training", "optimizer", "beta2"],
  eps: ["training", "optimizer", "eps"],
  weight_decay: ["training", "optimizer", "weight_decay"],
  decay_mode: ["training", "optimizer", "decay_mode"],
  clip_norm: ["training", "clip_norm"],
  base_width: ["base", "width"],
  learning_rate: ["base", "learning_rate"],
  init_std: ["base", "init_std"],
  alpha_input: ["base", "alpha_input"],
  alpha_output: ["base", "alpha_output"],
};

/** Values that exclude each other in the file: an axis over one takes the place of the other. */
export const EXCLUSIVE: readonly (readonly [HyperparameterName, HyperparameterName])[] = [
  ["steps", "tokens"],
  ["warmup_steps", "warmup_fraction"],
];

/** Settings as far as they are given, and the two that become others: kept for the coordinates. */
export type PartialSettings = { [K in keyof Settings]?: Settings[K] | undefined } & {
  tokens: number | null;
  warmup_fraction: number | null;
};

/** The file's own values, by name. */
export function fileValues(sweep: Phase): Values {
  const entries = HYPERPARAMETER_NAMES.flatMap((name) => {
    const path = HOME[name];
    if (path === undefined) return [];
    const value = path.reduce<unknown>(
      (at, part) =>
        at === undefined || at === null ? undefined : (at as Record<string, unknown>)[String(part)],
      sweep,
    );
    return value === undefined ? [] : [[name, value]];
  });
  return Object.fromEntries(entries) as Values;
}

/** @param values what the axes set at this point */
export function partialSettings(sweep: Phase, file: Values, values: Values): PartialSettings {
  // Density has become sparsity by now.
  const given: Omit<Values, "density"> = { ...file, ...values };
  const { parameterization } = given;
  // SP has no alphas to override.
  const overrides: Values =
    parameterization === undefined ? {} : (sweep.base.overrides[parameterization] ?? {});
  const tuned = <K extends "learning_rate" | "init_std" | "alpha_input" | "alpha_output">(name: K) =>
    values[name] ?? overrides[name] ?? file[name];
  /** An axis over one of an exclusive pair silences the file's other one. */
  const unless = <K extends HyperparameterName>(other: HyperparameterName, name: K): Values[K] =>
    values[name] ?? (values[other] === undefined ? file[name] : undefined);

  const tokens = unless("steps", "tokens");
  const steps = unless("tokens", "steps") ?? stepsFor({ ...given, tokens });
  const givenWarmup = unless("warmup_fraction", "warmup_steps");
  const warmup_fraction =
    givenWarmup === undefined ? (unless("warmup_steps", "warmup_fraction") ?? 0.1) : null;
  return {
    ...given,
    learning_rate: tuned("learning_rate"),
    init_std: tuned("init_std") ?? (parameterization === "sp" ? PAPER.init_std_sp : PAPER.init_std),
    alpha_input: tuned("alpha_input"),
    alpha_output: tuned("alpha_output"),
    optimizer: sweep.training.optimizer.name,
    ffn_width: given.ffn_width ?? ffnWidth(sweep, given.width),
    base_width: given.base_width ?? null,
    base_ffn_width:
      sweep.base.ffn_width ??
      (values.ffn_width === undefined ? (ffnWidth(sweep, given.base_width) ?? null) : null),
    base_density: sweep.base.density,
    scale_residual_outputs: sweep.base.scale_residual_outputs,
    micro_batch_size: sweep.training.micro_batch_size,
    evaluation: sweep.training.evaluation,
    divergence: sweep.training.divergence,
    steps,
    warmup_steps:
      givenWarmup ??
      (steps === undefined || warmup_fraction === null
        ? undefined
        : // The tolerance keeps 0.29 · 100 at 29.
          Math.floor(warmup_fraction * steps + 1e-9)),
    tokens: tokens ?? null,
    warmup_fraction,
  };
}

/** The file's rule at a width; none when the file gives one fixed width. */
function ffnWidth(sweep: Phase, width: number | undefined): number | undefined {
  const rule = sweep.model.ffn;
  if (width === undefined || "width" in rule) return undefined;
  return Math.max(1, Math.round((rule.ratio * width) / rule.multiple_of)) * rule.multiple_of;
}

function stepsFor({ tokens, batch_size, sequence_length }: Values): number | undefined {
  if (tokens === undefined || batch_size === undefined || sequence_length === undefined) return undefined;
  return Math.ceil(tokens / (batch_size * sequence_length));
}
