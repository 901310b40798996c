/**
 * The parameterizations, as a table: one row each, one column per quantity. To add one, add a row: sweep files, plans, titles,
 * pages and figures take everything about it from here, and no trainer ever hears of it.
 *
 * Sources: SP, μP, SμPar and the two ablations: Dey, Bergsma, Hestness, arXiv 2405.15743, table 1 and appendix C. CompleteP: Dey
 * et al., arXiv 2505.01618, with α = 1, at the base's batch and tokens. sp-embedding: arXiv 2605.21486.
 */
import { MusweepError } from "../wire/errors.ts";
import type { Optimizer } from "../wire/plan.ts";

/** A matrix of the blocks beside the proxy's: how much wider and how much sparser. */
export interface LayerMultipliers {
  /** m_d = fan_in / the proxy's fan_in */
  width: number;
  /** m_ρ = density / the proxy's density */
  density: number;
}

/** The model beside the proxy. */
export interface ModelMultipliers {
  /** m_d of the residual stream, d_model / the proxy's d_model. */
  width: number;
  /** m_L = layers / the proxy's layers */
  layers: number;
  d_head: number;
  alpha_input: number;
  alpha_output: number;
}

type LayerRule = (m: LayerMultipliers) => number;
type ModelRule = (m: ModelMultipliers) => number;

export interface Rules {
  /** As people write it. */
  title: string;
  /** For the sweep file's help: what it corrects for. */
  about: string;
  /** In figures, on light and on dark ground; at least 3:1 against either. */
  colours: { light: string; dark: string };
  /** What of the proxy's shape its quantities depend on. */
  needs_base: readonly ("width" | "layers")[];
  /**
   * Along which axes, by the theory, the best base learning rate stays where it is, and activations keep their size in networks of
   * any shape: what verdicts and the coordinate check are held against.
   */
  keeps: readonly ("width" | "density" | "layers")[];
  /** σ where the file gives none. */
  default_init_std: number;
  /** Whether α_in and α_out have a meaning; without, both are 1. */
  has_alphas: boolean;
  /** The hidden matrices' initial variance is σ² divided by this. Embedding and unembedding: σ² always. */
  hidden_variance_divisor: LayerRule;
  /** Whether base.scale_residual_outputs applies: the 1/√(2·layers) on the matrices that write to the residual stream. */
  scales_residual_outputs: boolean;
  /** Per optimizer, the hidden matrices' learning rate is η divided by this. Norms and unembedding: η always. */
  hidden_rate_divisor: Partial<Record<Optimizer, LayerRule>>;
  /** The embedding's learning rate is η times this. */
  embedding_rate_factor: ModelRule;
  /** Decay that follows a tensor's own rate (decay_mode constant) has λ times this in hidden matrices. */
  hidden_decay_factor: LayerRule;
  /** Adam's ε divided by this: in everything within blocks; in embedding and unembedding. The final norm: ε always. */
  block_eps_divisor: ModelRule;
  embedding_eps_divisor: ModelRule;
  /** The embedding's output is multiplied by this. */
  embedding_multiplier: ModelRule;
  /** softmax(attention_scale · q·k) */
  attention_scale: ModelRule;
  /** x + residual_multiplier · block(norm(x)) */
  residual_multiplier: ModelRule;
  /** The logits are multiplied by this. */
  logits_multiplier: ModelRule;
}

/**
 * Values tuned on a dense proxy of width 256 by a random search of 350 configurations (arXiv 2405.15743, table 3), and the
 * 0.02 the paper gives SP.
 */
export const PAPER = {
  init_std: 0.08665602,
  init_std_sp: 0.02,
  learning_rate: 1.62e-2,
  alpha_input: 9.1705,
  alpha_output: 1.0951835,
  base_width: 256,
} as const;

const one = () => 1;
const byWidth: LayerRule = (m) => m.width;
const byWidthAndDensity: LayerRule = (m) => m.width * m.density;

const SP: Rules = {
  title: "SP",
  about: "standard, corrects for nothing",
  colours: { light: "#c44e00", dark: "#ff9248" },
  needs_base: [],
  keeps: [],
  default_init_std: PAPER.init_std_sp,
  has_alphas: false,
  hidden_variance_divisor: one,
  scales_residual_outputs: true,
  hidden_rate_divisor: { adamw: one },
  embedding_rate_factor: one,
  hidden_decay_factor: one,
  block_eps_divisor: one,
  embedding_eps_divisor: one,
  embedding_multiplier: one,
  attention_scale: (m) => 1 / Math.sqrt(m.d_head),
  residual_multiplier: one,
  logits_multiplier: one,
};

const MUP: Rules = {
  ...SP,
  title: "μP",
  about: "corrects for width",
  colours: { light: "#0069a8", dark: "#62b8f0" },
  needs_base: ["width"],
  keeps: ["width"],
  default_init_std: PAPER.init_std,
  has_alphas: true,
  hidden_variance_divisor: byWidth,
  hidden_rate_divisor: { adamw: byWidth },
  embedding_multiplier: (m) => m.alpha_input,
  attention_scale: (m) => 1 / m.d_head,
  logits_multiplier: (m) => m.alpha_output / m.width,
};

/** With α = 1 hidden matrices and the blocks' norms learn at μP's rates: m_L^(α−1) is 1. */
const COMPLETEP: Rules = {
  ...MUP,
  title: "CompleteP",
  about: "corrects for width and depth",
  colours: { light: "#6a51c8", dark: "#b7a4ff" },
  needs_base: ["width", "layers"],
  keeps: ["width", "layers"],
  scales_residual_outputs: false,
  hidden_decay_factor: byWidth,
  block_eps_divisor: (m) => m.width * m.layers,
  embedding_eps_divisor: (m) => m.width,
  residual_multiplier: (m) => 1 / m.layers,
};

const TABLE = {
  sp: SP,
  mup: MUP,
  supar: {
    ...MUP,
    title: "SμPar",
    about: "corrects for width and density",
    colours: { light: "#008560", dark: "#2fd0a0" },
    keeps: ["width", "density"],
    hidden_variance_divisor: byWidthAndDensity,
    hidden_rate_divisor: { adamw: byWidthAndDensity },
  },
  "supar-init-only": {
    ...MUP,
    title: "SμPar (init only)",
    about: "SμPar's correction of the initial weights alone",
    colours: { light: "#a8518a", dark: "#f0a3d2" },
    hidden_variance_divisor: byWidthAndDensity,
  },
  "supar-lr-only": {
    ...MUP,
    title: "SμPar (LR only)",
    about: "SμPar's correction of the learning rates alone",
    colours: { light: "#7d6400", dark: "#e8d94a" },
    hidden_rate_divisor: { adamw: byWidthAndDensity },
  },
  "sp-embedding": {
    ...SP,
    title: "SP (embedding × width)",
    about: "SP with the embedding's learning rate times the width multiplier, and nothing else",
    colours: { light: "#a33b3b", dark: "#ff8f8f" },
    needs_base: ["width"],
    embedding_rate_factor: (m) => m.width,
  },
  completep: COMPLETEP,
  /** No publication combines the two: hidden init and rates of CompleteP with SμPar's density correction. */
  "supar-completep": {
    ...COMPLETEP,
    title: "SμPar × CompleteP (ours)",
    about: "corrects for width, density and depth; our combination, not published",
    colours: { light: "#3f6f00", dark: "#a6d854" },
    keeps: ["width", "density", "layers"],
    hidden_variance_divisor: byWidthAndDensity,
    hidden_rate_divisor: { adamw: byWidthAndDensity },
  },
} satisfies Record<string, Rules>;

export type Parameterization = keyof typeof TABLE;
export const RULES: Record<Parameterization, Rules> = TABLE;
/** In the order in which tables, pages and figures show them. */
export const PARAMETERIZATIONS = Object.keys(TABLE) as [Parameterization, ...Parameterization[]];
/** Of runs of which nobody says one: the first row, which corrects for nothing. */
export const STANDARD_PARAMETERIZATION: Parameterization = PARAMETERIZATIONS[0];

/**
 * The learning-rate rule of one parameterization under one optimizer. A rule derived for one optimizer is wrong for
 * another (appendix D.3), so a missing one is an error, never a guess.
 * @throws MusweepError optimizer-rule
 */
export function hiddenRateDivisor(parameterization: Parameterization, optimizer: string): LayerRule {
  const rules = RULES[parameterization];
  const found = Object.entries(rules.hidden_rate_divisor).find(([name]) => name === optimizer);
  if (found === undefined)
    throw new MusweepError(
      "optimizer-rule",
      `no learning-rate rule is derived for ${rules.title} under ${optimizer}`,
      {
        kind: "usage",
        remedy: `Use one that has a rule: ${Object.keys(rules.hidden_rate_divisor).join(", ")}.`,
      },
    );
  return found[1];
}
