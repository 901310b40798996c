/**
 * One point of a sweep, resolved: the axes' values over the file's, the file's over the defaults, and what follows from
 * them (feed-forward width, steps, warm-up steps).
 */
import {
  type AxisName,
  HYPERPARAMETER_NAMES,
  type HyperparameterName,
  homeOf,
  isSettingName,
  TAKEN,
} from "../../schema/sweep/hyperparameters.ts";
import { PAPER, type Parameterization, RULES } from "../../schema/sweep/rules.ts";
import type { Phase } from "../../schema/sweep/sweep.ts";
import type { Settings } from "../parameterization/settings.ts";
import type { Values } from "./grids.ts";

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
    const path = homeOf(name);
    if (path === undefined) return [];
    const value = path.reduce<unknown>(
      (at, part) => (at === undefined || at === null ? undefined : (at as Record<string, unknown>)[part]),
      sweep,
    );
    return value === undefined ? [] : [[name, value]];
  });
  return Object.fromEntries(entries) as Values;
}

/** What a setting follows from, where that is more than its own value; a grid's own value of it goes before all of these. */
const FOLLOWS_FROM: { [K in keyof Settings | HyperparameterName]?: readonly HyperparameterName[] } = {
  ...Object.fromEntries(TAKEN.map((name) => [name, ["parameterization"]])),
  ffn_width: ["width"],
  base_ffn_width: ["ffn_width", "base_width"],
  tokens: ["steps"],
  steps: ["tokens", "batch_size", "sequence_length"],
  warmup_fraction: ["warmup_steps"],
  warmup_steps: ["warmup_fraction", "steps", "tokens", "batch_size", "sequence_length"],
};

/** Every hyperparameter that decides a setting. */
export const decidedBy = (setting: keyof Settings | AxisName): readonly AxisName[] =>
  isSettingName(setting)
    ? [setting]
    : [...HYPERPARAMETER_NAMES.filter((name) => name === setting), ...(FOLLOWS_FROM[setting] ?? [])];

export interface SettingsReader {
  /** @param values what the axes set at a point */
  at(values: Values): PartialSettings;
  /** Some of the settings alone: a grid may have a million points, and a rule reads two or three of them. */
  some(names: readonly (keyof PartialSettings)[], values: Values): PartialSettings;
}

/** The settings at each point of a phase. What does not depend on the point is decided here, once. */
export function settingsReader(sweep: Phase): SettingsReader {
  const file = fileValues(sweep);
  const { optimizer, micro_batch_size, evaluation, divergence } = sweep.training;
  const { density: base_density, scale_residual_outputs } = sweep.base;
  const own = Object.fromEntries(
    Object.entries(sweep.script?.settings ?? {}).map(([name, value]) => [`settings.${name}`, value]),
  );
  const decide = (parameterization: Parameterization | undefined) => ({
    init_std: parameterization === undefined ? PAPER.init_std : RULES[parameterization].default_init_std,
    ...file,
    // SP has no alphas to override.
    ...(parameterization === undefined ? {} : sweep.base.overrides[parameterization]),
    ...own,
    trainer: sweep.trainer,
    revision: sweep.revision,
    optimizer: optimizer.name,
    base_density,
    scale_residual_outputs,
    micro_batch_size,
    evaluation,
    divergence,
  });
  type Decided = ReturnType<typeof decide>;
  const byParameterization = new Map<Parameterization | undefined, Decided>();
  const decidedFor = ({ parameterization }: Values): Decided => {
    const values = byParameterization.get(parameterization) ?? decide(parameterization);
    byParameterization.set(parameterization, values);
    return values;
  };

  /** Density has become sparsity by now. */
  const given = <K extends Exclude<HyperparameterName, "density">>(values: Values, name: K): Values[K] =>
    values[name] === undefined ? (decidedFor(values) as Values)[name] : values[name];
  /** An axis over one of an exclusive pair silences the file's other one. */
  const unless = <K extends HyperparameterName>(
    values: Values,
    other: HyperparameterName,
    name: K,
  ): Values[K] => values[name] ?? (values[other] === undefined ? file[name] : undefined);
  const warmupFraction = (values: Values): number | null =>
    unless(values, "warmup_fraction", "warmup_steps") === undefined
      ? (unless(values, "warmup_steps", "warmup_fraction") ?? 0.1)
      : null;
  const steps = (values: Values): number | undefined => {
    const own = unless(values, "tokens", "steps");
    if (own !== undefined) return own;
    const tokens = unless(values, "steps", "tokens");
    const [batch_size, sequence_length] = [given(values, "batch_size"), given(values, "sequence_length")];
    if (tokens === undefined || batch_size === undefined || sequence_length === undefined) return undefined;
    return Math.ceil(tokens / (batch_size * sequence_length));
  };
  const derived = {
    ffn_width: (values: Values) => given(values, "ffn_width") ?? ffnWidth(sweep, given(values, "width")),
    base_width: (values: Values) => given(values, "base_width") ?? null,
    base_ffn_width: (values: Values) =>
      sweep.base.ffn_width ??
      (values.ffn_width === undefined ? (ffnWidth(sweep, given(values, "base_width")) ?? null) : null),
    base_layers: (values: Values) => given(values, "base_layers") ?? null,
    steps,
    warmup_steps: (values: Values) => {
      const own = unless(values, "warmup_fraction", "warmup_steps");
      const [fraction, of] = [warmupFraction(values), steps(values)];
      if (own !== undefined || fraction === null || of === undefined) return own;
      // The tolerance keeps 0.29 · 100 at 29.
      return Math.floor(fraction * of + 1e-9);
    },
    tokens: (values: Values) => unless(values, "steps", "tokens") ?? null,
    warmup_fraction: warmupFraction,
  };
  const followed = Object.entries(derived);

  const some = (names: readonly (keyof PartialSettings)[], values: Values): PartialSettings => {
    const shared: Record<string, unknown> = decidedFor(values);
    const settings: Record<string, unknown> = {};
    for (const name of names) {
      const own = (values as Record<string, unknown>)[name];
      settings[name] =
        name in derived
          ? derived[name as keyof typeof derived](values)
          : own === undefined
            ? shared[name]
            : own;
    }
    return settings as unknown as PartialSettings;
  };
  return {
    at: (values) => ({
      // Neither the file nor an axis has to set it: a phase can wait for it.
      learning_rate: undefined,
      ...decidedFor(values),
      ...values,
      ...(Object.fromEntries(followed.map(([name, of]) => [name, of(values)])) as {
        [K in keyof typeof derived]: ReturnType<(typeof derived)[K]>;
      }),
    }),
    some,
  };
}

/** The file's rule at a width; none when the file gives one fixed width. */
function ffnWidth(sweep: Phase, width: number | undefined): number | undefined {
  const rule = sweep.model.ffn;
  if (width === undefined || "width" in rule) return undefined;
  return Math.max(1, Math.round((rule.ratio * width) / rule.multiple_of)) * rule.multiple_of;
}
