/** What was trained, in words: so that a report can be understood by who has not seen the sweep file. */
import { createHash } from "node:crypto";
import { parse } from "yaml";
import { titleOfValue } from "../../schema/sweep/hyperparameters.ts";
import { type Parameterization, RULES } from "../../schema/sweep/rules.ts";
import type { Phase } from "../../schema/sweep/sweep.ts";
import { packageVersion } from "../../schema/wire/package.ts";
import { isScriptPlan, type Plan, type RunPlan, type ScriptPlan } from "../../schema/wire/plan.ts";
import { parameterizationsOf } from "../database/cells.ts";
import type { Database } from "../database/open.ts";
import {
  firstPlan,
  hostsOf,
  lengthsOf,
  type Range,
  type VaryingAxis,
  varyingAxes,
} from "../database/phase-axes.ts";
import { readPhases, type StoredPhase } from "../database/phases.ts";
import { findSweep } from "../database/sweeps.ts";
import { NONE, plural, quantity, short } from "../terminal/format.ts";
import type { Answer } from "./answer.ts";

interface Fact {
  name: string;
  value: string;
}

/** A list for each phase that has begun, under its name; and what holds for all of them, first, under none. */
export interface Trained {
  phase: string | null;
  facts: Fact[];
}

export function readTrained(db: Database, { progress, engines }: Answer): Trained[] {
  const { id, sweep, submitted_at, last_result_at } = progress;
  const phases = readPhases(db, id);
  const hosts = hostsOf(db, id);
  const { file, file_name } = phases.some(({ definition }) => definition.imported !== undefined)
    ? { file: "", file_name: null }
    : findSweep(db, sweep)!;
  const common = facts({
    data: dataText(file),
    "sweep file": file === "" ? "" : fileText(file_name, file),
    "trained by": engines.map(({ engine, runs }) => `${engine} (${plural(runs, "run")})`).join(", "),
    hosts:
      hosts.length > 8 ? `${hosts.slice(0, 8).join(", ")} and ${hosts.length - 8} more` : hosts.join(", "),
    submitted: date(submitted_at),
    "last result": last_result_at === null ? "" : date(last_result_at),
    "report by": `musweep ${packageVersion()}`,
  });
  const each = phases.flatMap((phase) => phaseFacts(db, phase, phases.length > 1));
  return [{ phase: null, facts: common }, ...each];
}

/** Its name, and by what whoever has a file of that name can tell whether it is this one. */
function fileText(name: string | null, text: string): string {
  const sum = `SHA-256 ${createHash("sha256").update(text).digest("hex").slice(0, 16)}…`;
  return name === null ? sum : `${name}, ${sum}`;
}

const facts = (values: Record<string, string>): Fact[] =>
  Object.entries(values).flatMap(([name, value]) => (value === "" ? [] : [{ name, value }]));

const date = (at: number): string => `${new Date(at).toISOString().slice(0, 16).replace("T", " ")} UTC`;

/** As the file says it: "corpus state-of-the-union, tokenizer bytes". */
function dataText(file: string): string {
  try {
    const { data } = parse(file) as { data?: Record<string, unknown> };
    return said(data ?? {});
  } catch {
    // Imported results have no file of ours.
    return "";
  }
}

/** Of a list that somebody may have made long. */
const LISTED = 8;

/** "files a/*.txt and b, tokenizer bytes" */
const said = (values: Readonly<Record<string, unknown>>): string =>
  Object.entries(values)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${saidValue(value)}`)
    .join(", ");

function saidValue(value: unknown): string {
  if (Array.isArray(value)) {
    const more = value.length - LISTED;
    const shown = value.slice(0, LISTED).map(saidValue);
    return [...shown, ...(more > 0 ? [`${more} more`] : [])].join(" and ");
  }
  if (typeof value === "object" && value !== null) return `(${said(value as Record<string, unknown>)})`;
  return typeof value === "number" ? short(value) : String(value);
}

function phaseFacts(db: Database, { id, name, definition }: StoredPhase, isNamed: boolean): Trained[] {
  const plan = firstPlan(db, id);
  if (plan === undefined || definition.imported !== undefined) return [];
  const axes = varyingAxes(db, id);
  const varied = new Set(axes.map((axis) => axis.name));
  const own = isScriptPlan(plan)
    ? scriptFacts(plan, varied)
    : modelFacts(plan, varied, lengths(db, id, plan, varied));
  const base = baseText(definition.phase, parameterizationsOf(db, id), varied);
  return [
    { phase: isNamed ? name : null, facts: facts({ ...own, base, varied: axes.map(axisText).join("; ") }) },
  ];
}

/** "sparsity 0, 0.75, 0.9375", "learning rate 2^-12 to 2^-2 (21 values)" */
function axisText({ name, count, least, most, values }: VaryingAxis): string {
  const text = (value: number | string | null): string => {
    if (value === null) return NONE;
    if (name === "learning_rate") return titleOfValue(name, value).replace("lr ", "");
    if (name === "parameterization") return RULES[value as Parameterization].title;
    return typeof value === "number" ? short(value) : value;
  };
  const all =
    values === null
      ? `${text(least)} to ${text(most)} (${plural(count, "value")})`
      : values.map(text).join(", ");
  return `${name.replaceAll("_", " ")} ${all}`;
}

/** The proxy, and what was tuned on it: as the file says it, with the initial std that follows where it says none. */
function baseText(
  { base }: Phase,
  parameterizations: readonly Parameterization[],
  varied: ReadonlySet<string>,
): string {
  const { width, layers, ffn_width, density, scale_residual_outputs, overrides, init_std, ...tuned } = base;
  const fixed = (values: Readonly<Record<string, unknown>>): string =>
    said(Object.fromEntries(Object.entries(values).filter(([name]) => !varied.has(name))));
  const stds = new Map<number, string[]>();
  for (const name of parameterizations) {
    const std = overrides[name]?.init_std ?? init_std ?? RULES[name].default_init_std;
    stds.set(std, [...(stds.get(std) ?? []), RULES[name].title]);
  }
  const initial = [...stds].map(
    ([std, titles]) => `init std ${short(std)}${stds.size === 1 ? "" : ` (${titles.join(", ")})`}`,
  );
  return [
    said({ width, layers, ffn_width, ...(density === 1 ? {} : { density }) }),
    ...(varied.has("init_std") ? [] : initial),
    fixed(tuned),
    ...(scale_residual_outputs ? [] : ["residual outputs not scaled"]),
    ...parameterizations.flatMap((name) => {
      const { init_std: _, ...own } = overrides[name] ?? {};
      const text = fixed(own);
      return text === "" ? [] : [`${RULES[name].title}: ${text}`];
    }),
  ]
    .filter(Boolean)
    .join(", ");
}

const rangeText = ([least, most]: Range, text: (value: number) => string = String): string =>
  least === most ? text(least) : `${text(least)} to ${text(most)}`;

const warmupText = (
  { warmup_steps, decay, final_fraction }: NonNullable<RunPlan["schedule"]>,
  varied: ReadonlySet<string>,
  warmup: Range = [warmup_steps, warmup_steps],
): string[] => {
  const isVaried = (...names: string[]): boolean => names.some((name) => varied.has(name));
  return [
    ...(isVaried("warmup_steps", "warmup_fraction") ? [] : [`warm-up over ${rangeText(warmup)}`]),
    ...(isVaried("schedule", "final_fraction")
      ? []
      : [`${decay === "constant" ? "constant" : `${decay} to ${final_fraction} of the peak`} after it`]),
  ];
};

/** A script is told what the file says, and nothing else. */
function scriptFacts(plan: ScriptPlan, varied: ReadonlySet<string>): Record<string, string> {
  const { trainer, model, steps, schedule, data_version, settings } = plan;
  const own = Object.entries(settings).filter(
    ([name]) => !varied.has(name) && !varied.has(`settings.${name}`),
  );
  const fixed = (name: string, text: string): string[] => (varied.has(name) ? [] : [text]);
  return {
    data: data_version ?? "",
    trainer: `${trainer.name}, revision ${trainer.revision}`,
    model: [
      ...fixed("width", `width ${model.width}`),
      ...fixed("layers", plural(model.layers, "layer")),
      "the script's own",
    ].join(", "),
    training: [
      ...(steps === null || varied.has("steps") ? [] : [plural(steps, "step")]),
      ...(schedule === null ? [] : warmupText(schedule, varied)),
    ].join(", "),
    settings: said(Object.fromEntries(own)),
  };
}

/** Of these a run's length follows. */
const LENGTHS = ["steps", "tokens", "batch_size", "sequence_length", "warmup_steps", "warmup_fraction"];

function lengths(
  db: Database,
  phase: number,
  plan: Plan,
  varied: ReadonlySet<string>,
): ReturnType<typeof lengthsOf> {
  if (LENGTHS.some((name) => varied.has(name))) return lengthsOf(db, phase);
  const { steps, batch_size, shape, schedule } = plan;
  const tokens = steps * batch_size * shape.sequence_length;
  return {
    steps: [steps, steps],
    warmup: [schedule.warmup_steps, schedule.warmup_steps],
    tokens: [tokens, tokens],
  };
}

/** What varies by itself is not given here, but with its values; what follows from it is. */
function modelFacts(
  plan: Plan,
  varied: ReadonlySet<string>,
  { steps, warmup, tokens }: ReturnType<typeof lengthsOf>,
): Record<string, string> {
  const { shape, schedule, optimizer, batch_size, clip_norm, precision } = plan;
  const unless = (names: readonly string[], text: string): string[] =>
    names.some((name) => varied.has(name)) ? [] : [text];
  const model = [
    ...unless(["layers"], plural(shape.layers, "layer")),
    ...unless(["width"], `width ${shape.d_model}`),
    ...unless(["width", "ffn_width"], `feed-forward width ${shape.d_ffn}`),
    ...unless(["d_head"], `heads of ${shape.d_head}`),
    ...unless(["sequence_length"], `sequences of ${shape.sequence_length}`),
    ...unless(["norm"], shape.norm),
    ...unless(["positions"], shape.positions === "alibi" ? "ALiBi" : "no positions"),
    ...unless(["tied_embeddings"], `${shape.tied_embeddings ? "tied" : "untied"} embeddings`),
    `vocabulary ${plan.data.vocab_size}`,
  ];
  const training = [
    `${rangeText(steps)} steps${varied.has("batch_size") ? "" : ` of ${plural(batch_size, "sequence")}`}`,
    ...warmupText(schedule, varied, warmup),
    ...unless(["beta1", "beta2"], `AdamW β ${optimizer.beta1} and ${optimizer.beta2}`),
    ...unless(["clip_norm"], clip_norm === null ? "no clipping" : `gradients clipped to ${clip_norm}`),
    precision,
  ];
  return {
    "tokens per run": rangeText(tokens, quantity),
    model: model.join(", "),
    training: training.join(", "),
  };
}
