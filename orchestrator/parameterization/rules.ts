/**
 * The parameterizations, as a table: one row each, one column per quantity. To add one, add a row (and its name to
 * schema/hyperparameters.ts); nothing else knows their names, and no trainer ever hears of them.
 *
 * Source: Dey, Bergsma, Hestness, arXiv 2405.15743, table 1 (SP, μP, SμPar) and appendix C (the two ablations).
 */
import { MusweepError } from "../../schema/errors.ts";
import type { Parameterization } from "../../schema/hyperparameters.ts";
import type { Optimizer } from "../../schema/sweep.ts";

/** How much wider and how much sparser than in the proxy a matrix is. */
export interface LayerMultipliers {
  /** m_d = fan_in / the proxy's fan_in */
  width: number;
  /** m_ρ = density / the proxy's density */
  density: number;
}

interface ModelMultipliers {
  alpha_input: number;
  alpha_output: number;
  /** m_d of the residual stream, d_model / the proxy's d_model. */
  width: number;
  d_head: number;
}

type LayerRule = (m: LayerMultipliers) => number;
type ModelRule = (m: ModelMultipliers) => number;

export interface Rules {
  /** As people write it. */
  title: string;
  /** False when no quantity depends on the proxy's shape. */
  needs_base: boolean;
  /**
   * Along which axes, by the theory, the best base learning rate stays where it is, and activations keep their size in networks of
   * any shape: what verdicts and the coordinate check are held against.
   */
  keeps: readonly ("width" | "density")[];
  /** The hidden matrices' initial variance is σ² divided by this. Embedding and unembedding: σ² always. */
  hidden_variance_divisor: LayerRule;
  /** Per optimizer, the hidden matrices' learning rate is η divided by this. Everything else: η always. */
  hidden_rate_divisor: Partial<Record<Optimizer, LayerRule>>;
  /** The embedding's output is multiplied by this. */
  embedding_multiplier: ModelRule;
  /** softmax(attention_scale · q·k) */
  attention_scale: ModelRule;
  /** The logits are multiplied by this. */
  logits_multiplier: ModelRule;
}

const one = () => 1;
const byWidth: LayerRule = (m) => m.width;
const byWidthAndDensity: LayerRule = (m) => m.width * m.density;

/** The forward pass that μP and its relatives share. */
const mupForward = {
  embedding_multiplier: (m: ModelMultipliers) => m.alpha_input,
  attention_scale: (m: ModelMultipliers) => 1 / m.d_head,
  logits_multiplier: (m: ModelMultipliers) => m.alpha_output / m.width,
};

export const RULES: Record<Parameterization, Rules> = {
  sp: {
    title: "SP",
    needs_base: false,
    keeps: [],
    hidden_variance_divisor: one,
    hidden_rate_divisor: { adamw: one },
    embedding_multiplier: one,
    attention_scale: (m) => 1 / Math.sqrt(m.d_head),
    logits_multiplier: one,
  },
  mup: {
    title: "μP",
    needs_base: true,
    keeps: ["width"],
    hidden_variance_divisor: byWidth,
    hidden_rate_divisor: { adamw: byWidth },
    ...mupForward,
  },
  supar: {
    title: "SμPar",
    needs_base: true,
    keeps: ["width", "density"],
    hidden_variance_divisor: byWidthAndDensity,
    hidden_rate_divisor: { adamw: byWidthAndDensity },
    ...mupForward,
  },
  "supar-init-only": {
    title: "SμPar (init only)",
    needs_base: true,
    keeps: ["width"],
    hidden_variance_divisor: byWidthAndDensity,
    hidden_rate_divisor: { adamw: byWidth },
    ...mupForward,
  },
  "supar-lr-only": {
    title: "SμPar (LR only)",
    needs_base: true,
    keeps: ["width"],
    hidden_variance_divisor: byWidth,
    hidden_rate_divisor: { adamw: byWidthAndDensity },
    ...mupForward,
  },
};

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
