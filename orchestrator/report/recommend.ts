/**
 * What a sweep says about a model that is about to be trained: the proxy's optimal base learning rate, carried through the
 * parameterization's rules to the effective init and learning rate of every tensor group at another width and sparsity.
 */

import { isSettingName } from "../../schema/sweep/hyperparameters.ts";
import { type Parameterization, RULES } from "../../schema/sweep/rules.ts";
import type { Phase } from "../../schema/sweep/sweep.ts";
import { nonzeroParameterCount, parameterCount, trainingFlops } from "../../schema/wire/cost.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { isScriptPlan, type Plan, type RunPlan } from "../../schema/wire/plan.ts";
import type { Optimum } from "../analysis/types.ts";
import type { Database } from "../database/open.ts";
import { readPhases } from "../database/phases.ts";
import { describePlan, type ResolvedPlan } from "../parameterization/describe-plan.ts";
import { checkPhase } from "../sweep/check-sweep.ts";
import { expandPhase } from "../sweep/expand-sweep.ts";
import type { Values } from "../sweep/grids.ts";
import { settingsReader } from "../sweep/settings-of.ts";
import { gridAt, isGiven } from "../sweep/taken-axes.ts";
import { type Answer, type AnswerRow, readAnswer, sayings } from "./answer.ts";
import { brokenAxes, chooseSource, LENGTHS, rateRows, type Source, type Wanted } from "./choose-source.ts";
import { driftText, type MeasuredDrift, measuredDrifts, validationRates } from "./measured-drift.ts";

export interface Target extends Omit<Wanted, "width" | "sparsity"> {
  width?: number | undefined;
  /** Absent: the only one that the sweep has. */
  sparsity?: number | undefined;
  d_head?: number | undefined;
  ffn_width?: number | undefined;
  vocab_size?: number | undefined;
}

type Whole = Target & Wanted;

/** Of the model that ships: what a target may have of its own, and the option that says it. */
const OWN = {
  layers: "--layers",
  d_head: "--d-head",
  ffn_width: "--ffn-width",
  vocab_size: "--vocab",
  steps: "--steps",
  batch_size: "--batch",
} as const;

/** Layers stand in the target. */
const ASKED = ["d_head", "ffn_width", "vocab_size", "steps", "batch_size"] as const;

/** Something of the target that the sweep says, because nobody said otherwise. */
interface Taken {
  name: string;
  value: number | string | boolean | null;
  /** Which says otherwise; null: none does. */
  option: string | null;
}

export interface Recommendation {
  sweep: string;
  parameterization: Parameterization;
  title: string;
  /** The curve whose optimum is carried over. */
  source: {
    phase: string;
    width: number;
    layers: number;
    sparsity: number;
    /** Its coordinates beside these, such as batch_size, by name. */
    other: Record<string, unknown>;
  };
  target: { width: number; sparsity: number; layers: number };
  /** Base learning rate, before multipliers, and its 95% interval. */
  learning_rate: number;
  learning_rate_low: number;
  learning_rate_high: number;
  optimum: Optimum;
  /** Null: a script's own model, which it alone can count. */
  parameters: number | null;
  nonzero_parameters: number | null;
  plan: RunPlan;
  /** Initial weights and multipliers are of those of the source's model: imported results do not say them. */
  relative: boolean;
  resolved: ResolvedPlan;
  /** What was said of the target beside its width, sparsity and layers, by the names of a sweep file. */
  asked: Record<string, number>;
  /** The proxy's, which a sweep file has to say where it says the target's; null: it follows from the proxy's width. */
  base_ffn_width: number | null;
  /** What the target has of the sweep's; a script's own model has its own. */
  taken: Taken[];
  /** Runs at the target's size that show whether the rate has transferred: base learning rates. */
  validation: number[];
  /** Of one such run; null: a script's own. */
  flops: number | null;
  /** The sweep's own verdicts about this parameterization. */
  verdicts: string[];
  /** Why to be careful. */
  cautions: string[];
}

export function recommend(db: Database, sweepName: string, asked: Target): Recommendation {
  const answer = readAnswer(db, sweepName);
  const target = completed(answer, asked);
  const source = chooseSource(answer, readPhases(db, answer.progress.id), target);
  const { row } = source;
  const { parameterization, optimum } = row;
  const learning_rate = 2 ** optimum.log2_tuned!;
  const layers = target.layers ?? row.layers;
  const { data, imported } = source.phase.definition;
  const phase =
    imported === undefined ? source.phase.definition.phase : ownProxy(source.phase.definition.phase, row);
  if (phase.script !== undefined) refuseUnknown(target, source, imported !== undefined);
  const carried = carriedOver(row, imported !== undefined);
  const { base } = phase;
  const own: Phase =
    target.ffn_width === undefined || base.width === undefined || base.ffn_width !== undefined
      ? phase
      : // The proxy keeps the feed-forward width that follows from its width.
        { ...phase, base: { ...base, ffn_width: ffnWidthAt(phase, { ...carried, width: base.width }) } };
  const { d_head, ffn_width, steps, batch_size } = target;
  const point = pointPhase(own, {
    ...carried,
    width: target.width,
    sparsity: target.sparsity,
    // Imported results need not say how many layers there were.
    layers: Math.max(layers, 1),
    learning_rate,
    ...(d_head === undefined ? {} : { d_head }),
    ...(ffn_width === undefined ? {} : { ffn_width }),
    // Of imported results a length says which curve is meant, and nothing of the plan.
    ...(steps === undefined || imported !== undefined ? {} : { steps, tokens: null }),
    ...(batch_size === undefined || imported !== undefined ? {} : { batch_size }),
  });
  const vocabulary =
    target.vocab_size === undefined || data === null ? data : { ...data, vocab_size: target.vocab_size };
  const [cell] = expandPhase(point, vocabulary).cells();
  const { plan } = cell!;
  const drifts = measuredDrifts(answer.transfer, row, { ...target, layers });
  return {
    sweep: sweepName,
    parameterization,
    title: RULES[parameterization].title,
    source: {
      phase: row.phase,
      width: row.width,
      layers: row.layers,
      sparsity: row.sparsity,
      other: Object.fromEntries(Object.entries(row.other).filter(([name, value]) => isGiven(name, value))),
    },
    target: { width: target.width, sparsity: target.sparsity, layers },
    base_ffn_width: target.ffn_width === undefined ? null : (own.base.ffn_width ?? null),
    learning_rate,
    learning_rate_low: 2 ** optimum.log2_tuned_low!,
    learning_rate_high: 2 ** optimum.log2_tuned_high!,
    optimum,
    parameters: isScriptPlan(plan) ? null : parameterCount(plan),
    nonzero_parameters: isScriptPlan(plan) ? null : nonzeroParameterCount(plan),
    plan,
    relative: imported !== undefined,
    resolved: describePlan(plan, learning_rate),
    asked: Object.fromEntries(
      ASKED.flatMap((name) => (target[name] === undefined ? [] : [[name, target[name]]])),
    ),
    taken: isScriptPlan(plan) ? [] : takenBy(plan, target),
    validation: validationRates(optimum, drifts),
    flops: isScriptPlan(plan) ? null : trainingFlops(plan),
    verdicts: sayings(
      answer.verdicts.filter((v) => v.parameterization === parameterization && v.phase === row.phase),
    ).map(({ title, place, sentence }) => `${title}${place} ${sentence}`),
    cautions: cautions(answer, source, { ...target, layers }, drifts),
  };
}

/** @throws MusweepError bad-option, with all that is missing */
function completed(answer: Answer, asked: Target): Whole {
  const known = [...new Set(rateRows(answer).map((row) => row.sparsity))];
  const { width, sparsity = known.length === 1 ? known[0] : undefined } = asked;
  if (width !== undefined && sparsity !== undefined) return { ...asked, width, sparsity };
  const missing = [
    ...(width === undefined ? ["--width N (its d_model)"] : []),
    ...(sparsity === undefined ? ["--sparsity X (0 for dense)"] : []),
  ];
  throw new MusweepError("bad-option", `say which model you are about to train: ${missing.join(" and ")}`, {
    kind: "usage",
    ...(sparsity === undefined
      ? {
          remedy: `${answer.progress.sweep} has the sparsities ${known.toSorted((a, b) => a - b).join(", ")}.`,
        }
      : {}),
  });
}

/** @throws MusweepError where something is said of a model that a script alone knows, or whoever has trained it */
function refuseUnknown(target: Target, source: Source, isImported: boolean): void {
  const isKnown = (name: keyof typeof OWN): boolean =>
    name === "layers" || ((name === "steps" || name === "batch_size") && source[name] !== null);
  const said = Object.entries(OWN).find(
    ([name]) => target[name as keyof typeof OWN] !== undefined && !isKnown(name as keyof typeof OWN),
  );
  if (said === undefined) return;
  throw new MusweepError(
    "bad-option",
    `${said[1]}: ${isImported ? "imported results" : "the model is a script's own, and its runs"} say nothing of that`,
    {
      kind: "usage",
      remedy: "Leave it out: the numbers are by role, and hold for any shape of that width.",
    },
  );
}

function takenBy(plan: Plan, target: Target): Taken[] {
  const { shape, data, steps, batch_size, optimizer, clip_norm, schedule } = plan;
  const values = {
    layers: shape.layers,
    d_head: shape.d_head,
    ffn_width: shape.d_ffn,
    vocab_size: data.vocab_size,
    steps,
    batch_size,
  };
  const names = Object.keys(OWN) as (keyof typeof OWN)[];
  return [
    ...names
      .filter((name) => target[name] === undefined)
      .map((name) => ({ name, value: values[name], option: OWN[name] })),
    ...Object.entries({
      sequence_length: shape.sequence_length,
      norm: shape.norm,
      positions: shape.positions,
      tied_embeddings: shape.tied_embeddings,
      beta1: optimizer.beta1,
      beta2: optimizer.beta2,
      clip_norm,
      warmup_steps: schedule.warmup_steps,
      schedule: schedule.decay,
      final_fraction: schedule.final_fraction,
    }).map(([name, value]) => ({ name, value, option: null })),
  ];
}

/**
 * What imported results say of a model is where its optimum lies: the source is then the proxy, at which every number of a role is the
 * user's own, and the rules say by what to multiply it.
 */
function ownProxy(phase: Phase, { width, layers, sparsity }: AnswerRow): Phase {
  if (width === 0)
    throw new MusweepError("no-optimum", "the imported results do not say how wide the model was", {
      kind: "usage",
      remedy: "Import them again with --set width=N.",
    });
  return {
    ...phase,
    script: { settings: {}, data_version: null, said: [], patience_steps: null },
    base: {
      ...phase.base,
      width,
      layers: Math.max(layers, 1),
      density: 1 - sparsity,
      init_std: 1,
      alpha_input: 1,
      alpha_output: 1,
      scale_residual_outputs: false,
    },
  };
}

/** Every coordinate of the curve; of imported results those that say nothing of the numbers that are the user's own. */
const carriedOver = ({ curve }: AnswerRow, isImported: boolean): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(JSON.parse(curve) as Record<string, unknown>).filter(
      ([name]) => !isImported || name === "parameterization" || isSettingName(name),
    ),
  );

const ffnWidthAt = (phase: Phase, coordinates: Record<string, unknown>): number | undefined =>
  settingsReader(phase).some(["ffn_width"], coordinates as Values).ffn_width;

/** The phase with its axes at one point. */
function pointPhase(phase: Phase, coordinates: Readonly<Record<string, unknown>>): Phase {
  const point: Phase = { ...phase, axes: { ...gridAt(coordinates), seed: [1] } };
  const [finding] = checkPhase(point, new Set());
  if (finding) {
    throw new MusweepError("bad-target", finding.message, {
      kind: "usage",
      remedy: "Choose another --width, --sparsity, --layers, --d-head, --ffn-width, --steps or --batch.",
    });
  }
  return point;
}

function cautions(
  answer: Answer,
  source: Source,
  target: Whole & { layers: number },
  drifts: readonly MeasuredDrift[],
): string[] {
  const { row } = source;
  const tested = answer.rows.filter((r) => r.parameterization === row.parameterization);
  const widths = tested.map((r) => r.width);
  const [narrowest, widest] = [Math.min(...widths), Math.max(...widths)];
  const sparsities = tested.map((r) => r.sparsity);
  const [densest, sparsest] = [Math.min(...sparsities), Math.max(...sparsities)];
  const notes: string[] = [];
  if (target.width > widest)
    notes.push(
      `width ${target.width} is ${Number((target.width / widest).toPrecision(3))} times the widest model of the sweep`,
    );
  if (target.width < narrowest)
    notes.push(`width ${target.width} is below the sweep's narrowest, ${narrowest}`);
  if (target.sparsity > sparsest) notes.push(`sparsity ${target.sparsity} is beyond the sweep's ${sparsest}`);
  if (target.sparsity < densest)
    notes.push(`sparsity ${target.sparsity} is below the sweep's lowest, ${densest}`);
  const broken = brokenAxes(row, target).map((axis) => `across ${ACROSS[axis]}`);
  if (broken.length > 0)
    notes.push(
      `${row.title} promises no transfer${broken.length > 1 ? `, neither ${broken.join(" nor ")}` : ` ${broken[0]}`}`,
    );
  notes.push(...drifts.map(driftText));
  for (const name of LENGTHS) {
    const [wanted, measured] = [target[name], source[name]];
    if (wanted !== undefined && measured !== null && wanted !== measured)
      notes.push(`the optimum was measured at ${name} ${measured}, and no rule carries it to ${wanted}`);
  }
  return notes;
}
const ACROSS = { width: "width", density: "sparsity", layers: "depth" } as const;
