/**
 * Settings in, the plan of a script out: the same rules as for the model that ships, for roles in place of its tensor groups, since
 * nobody but the script knows its tensors.
 */
import { HYPERPARAMETER_NAMES, type HyperparameterName } from "../../schema/sweep/hyperparameters.ts";
import { RULES } from "../../schema/sweep/rules.ts";
import type { Script } from "../../schema/sweep/sweep.ts";
import type { PlanRole, ScriptPlan, Setting } from "../../schema/wire/plan.ts";
import { embeddingNumbers, hiddenNumbers, modelMultipliers, normNumbers } from "./resolve-plan.ts";
import { complement, type Settings } from "./settings.ts";

/** What the plan's own numbers have taken in: it is handed on in no other way, or two plans of one training would differ. */
const TAKEN_IN: ReadonlySet<string> = new Set<HyperparameterName>([
  "parameterization",
  "sparsity",
  "density",
  "init_std",
  "alpha_input",
  "alpha_output",
  "weight_decay",
  "decay_mode",
  "mask",
  "precision",
  "tokens",
  "warmup_steps",
  "warmup_fraction",
  "schedule",
  "final_fraction",
  "beta1",
  "beta2",
  "eps",
  "clip_norm",
  "base_width",
  "base_layers",
]);
/** Of every run. */
const ALWAYS: ReadonlySet<string> = new Set<HyperparameterName>(["width", "layers", "seed", "learning_rate"]);
const SCHEDULE: readonly HyperparameterName[] = [
  "warmup_steps",
  "warmup_fraction",
  "schedule",
  "final_fraction",
];

/** Whether a file, or an axis, says anything of a schedule; else the script has its own. */
export const saysSchedule = (said: ReadonlySet<string>): boolean => SCHEDULE.some((name) => said.has(name));

/** Settings, and those of a script's own under names such as settings.dropout. */
export type ScriptSettings = Omit<Settings, "steps"> & { steps: number | undefined } & {
  [name: `settings.${string}`]: Setting | null | undefined;
};

/**
 * @param s settings of a point
 * @param script what the file says to the script
 * @param varied names of what the axes set
 */
export function resolveScriptPlan(s: ScriptSettings, script: Script, varied: readonly string[]): ScriptPlan {
  const said = new Set<string>([...script.said, ...varied]);
  const rules = RULES[s.parameterization];
  const settings = s as Settings;
  const model = modelMultipliers(settings);
  const density = complement(s.sparsity);
  const hidden = (name: "attention_query" | "attention_output"): PlanRole => {
    const at = (fan_in: number) => hiddenNumbers(settings, model, { name, fan_in });
    const [own, wider] = [at(s.width), at(2 * s.width)];
    const power = (of: "init_std" | "learning_rate" | "decay_per_step"): number =>
      own[of] === 0 ? 0 : exact(Math.log2(wider[of]! / own[of]!));
    return {
      ...own,
      width: {
        init_std: power("init_std"),
        learning_rate: power("learning_rate"),
        decay_per_step: power("decay_per_step"),
      },
    };
  };
  return {
    version: 2,
    trainer: { name: s.trainer, revision: s.revision },
    precision: s.precision,
    seed: s.seed,
    data_version: script.data_version,
    settings: handedOn(s, said),
    model: {
      width: s.width,
      layers: s.layers,
      density,
      width_multiplier: model.width,
      density_multiplier: density / s.base_density,
      layers_multiplier: model.layers,
    },
    roles: {
      embedding: embeddingNumbers(settings, model, "embedding"),
      hidden: hidden("attention_query"),
      residual_output: hidden("attention_output"),
      unembedding: embeddingNumbers(settings, model, "unembedding"),
      vector: normNumbers(settings, model, "attention_norm"),
      final_vector: normNumbers(settings, model, "final_norm"),
    },
    forward: {
      embedding_multiplier: rules.embedding_multiplier(model),
      residual_multiplier: rules.residual_multiplier(model),
      logits_multiplier: rules.logits_multiplier(model),
      attention_scale_power: exact(Math.log2(rules.attention_scale({ ...model, d_head: 2 }))),
    },
    mask: s.mask,
    optimizer: { name: s.optimizer, beta1: s.beta1, beta2: s.beta2 },
    clip_norm: said.has("clip_norm") ? s.clip_norm : null,
    schedule: saysSchedule(said)
      ? { warmup_steps: s.warmup_steps, decay: s.schedule, final_fraction: s.final_fraction }
      : null,
    steps: s.steps ?? null,
    ...(script.patience_steps === null ? {} : { divergence: { patience_steps: script.patience_steps } }),
  };
}

/** What the file and the axes say, and no default: a script need not have a norm. */
function handedOn(s: ScriptSettings, said: ReadonlySet<string>): Record<string, Setting | null> {
  const values = s as unknown as Record<string, Setting | null | undefined>;
  const names = HYPERPARAMETER_NAMES.filter(
    (name) => ALWAYS.has(name) || (said.has(name) && !TAKEN_IN.has(name)),
  ).map((name) => [name, values[name]] as const);
  const own = Object.entries(values)
    .filter(([name]) => name.startsWith(OWN))
    .map(([name, value]) => [name.slice(OWN.length), value] as const);
  const steps = s.steps === undefined ? [] : [["steps", s.steps] as const];
  return Object.fromEntries(
    [...names, ...steps, ...own].filter((entry): entry is [string, Setting | null] => entry[1] !== undefined),
  );
}

const OWN = "settings.";

/** A power of two's logarithm, without the last bit's noise. */
const exact = (power: number): number => Number(power.toFixed(9));
