/**
 * The settings of one run, every value decided but no rule applied yet, and the mistakes that only show when several of
 * them meet. What a sweep file resolves to, and what resolvePlan turns into explicit numbers.
 */
import type { Hyperparameters } from "../../schema/sweep/hyperparameters.ts";
import { RULES } from "../../schema/sweep/rules.ts";
import type { SweepFile } from "../../schema/sweep/sweep.ts";
import { LIMITS, type Optimizer } from "../../schema/wire/plan.ts";

type Resolved = Omit<
  Hyperparameters,
  "density" | "tokens" | "warmup_fraction" | "base_width" | "base_layers"
>;

export interface Settings extends Resolved {
  trainer: string;
  revision: string;
  optimizer: Optimizer;
  /** The proxy's shape; null where the file gives none, which only parameterizations accept that do not need it. */
  base_width: number | null;
  base_layers: number | null;
  base_ffn_width: number | null;
  base_density: number;
  scale_residual_outputs: boolean;
  micro_batch_size: number | null;
  evaluation: SweepFile["training"]["evaluation"];
  divergence: SweepFile["training"]["divergence"];
}

export interface Mistake {
  /** The setting to look at first. */
  blame: keyof Settings;
  message: string;
}

type Check<K extends keyof Settings> = {
  /** Exactly the settings that the check looks at. */
  reads: readonly K[];
  find: (s: Pick<Settings, K>) => Mistake | null;
};
const check = <K extends keyof Settings>(reads: readonly K[], find: Check<K>["find"]) => ({ reads, find });

/** 1 − x without the last bit's noise: 1 − 0.9 is 0.1, and 1 − 2⁻²⁰ keeps every digit. Its own inverse on such numbers. */
export function complement(x: number): number {
  const raw = 1 - x;
  const rounded = Number(raw.toFixed(14));
  return 1 - rounded === x ? rounded : raw;
}

/** Every rule that involves more than one setting. */
export const SETTINGS_CHECKS = [
  check(["width", "d_head"], ({ width, d_head }) =>
    width % d_head === 0
      ? null
      : {
          blame: "width",
          message: `width ${width} is not divisible by d_head ${d_head}; the nearest that is: ${nearestMultiple(width, d_head)}`,
        },
  ),
  check(["sparsity", "width"], ({ sparsity, width }) =>
    emptyNeurons(sparsity, width, "attention and feed-forward input matrices", "width"),
  ),
  check(["sparsity", "ffn_width"], ({ sparsity, ffn_width }) =>
    emptyNeurons(sparsity, ffn_width, "feed-forward down matrix", "ffn_width"),
  ),
  check(["parameterization", "base_width"], ({ parameterization, base_width }) =>
    base_width === null && RULES[parameterization].needs_base.includes("width")
      ? {
          blame: "base_width",
          message: `base.width is missing; ${parameterization} scales from a proxy model's width (the paper's is 256)`,
        }
      : null,
  ),
  check(["parameterization", "base_layers"], ({ parameterization, base_layers }) =>
    base_layers === null && RULES[parameterization].needs_base.includes("layers")
      ? {
          blame: "base_layers",
          message: `base.layers is missing; ${parameterization} scales from a proxy model's depth`,
        }
      : null,
  ),
  check(
    ["parameterization", "base_width", "base_ffn_width"],
    ({ parameterization, base_width, base_ffn_width }) =>
      base_width !== null && base_ffn_width === null && RULES[parameterization].needs_base.includes("width")
        ? {
            blame: "base_ffn_width",
            message: `base.ffn_width is missing; ${parameterization} scales the feed-forward down matrix from it, and it does not follow from a feed-forward width that is given as a number`,
          }
        : null,
  ),
  check(["ffn_width"], ({ ffn_width }) =>
    ffn_width <= LIMITS.ffn_width
      ? null
      : {
          blame: "ffn_width",
          message: `the feed-forward width is ${ffn_width}; expected at most ${LIMITS.ffn_width}`,
        },
  ),
  check(["steps", "batch_size", "sequence_length"], ({ steps, batch_size, sequence_length }) => {
    const tokens = steps * batch_size * sequence_length;
    if (steps > LIMITS.steps)
      return { blame: "steps", message: `the run takes ${steps} steps; expected at most ${LIMITS.steps}` };
    if (tokens <= LIMITS.tokens) return null;
    return {
      blame: "steps",
      message: `the run takes ${tokens} tokens (steps × batch_size × sequence_length); expected at most ${LIMITS.tokens}`,
    };
  }),
  check(["batch_size", "micro_batch_size"], ({ batch_size, micro_batch_size }) =>
    micro_batch_size === null || batch_size % micro_batch_size === 0
      ? null
      : {
          blame: "batch_size",
          message: `batch_size ${batch_size} is not divisible by micro_batch_size ${micro_batch_size}`,
        },
  ),
  check(["warmup_steps", "steps"], ({ warmup_steps, steps }) =>
    warmup_steps < steps
      ? null
      : {
          blame: "warmup_steps",
          message: `the warm-up takes ${warmup_steps} steps, but the run has ${steps}; expected fewer`,
        },
  ),
  check(["weight_decay", "decay_mode"], ({ weight_decay, decay_mode }) =>
    weight_decay > 0 && decay_mode === "none"
      ? {
          blame: "weight_decay",
          message: `weight_decay ${weight_decay} needs a decay_mode other than none: constant (λ times each tensor's own learning rate) or independent (λ times the base learning rate)`,
        }
      : null,
  ),
] as readonly { reads: readonly (keyof Settings)[]; find: (s: Settings) => Mistake | null }[];

function emptyNeurons(
  sparsity: number,
  fanIn: number,
  where: string,
  fanInName: "width" | "ffn_width",
): Mistake | null {
  const weights = fanIn * complement(sparsity);
  if (weights >= 1) return null;
  return {
    blame: "sparsity",
    message: `sparsity ${sparsity} leaves neurons of the ${where} without weights: ${fanInName} ${fanIn} × density ${complement(sparsity)} is ${Number(weights.toPrecision(4))} weights per neuron; expected at least 1, so a sparsity of at most ${1 - 1 / fanIn}`,
  };
}

const nearestMultiple = (x: number, of: number): number => Math.max(1, Math.round(x / of)) * of;
