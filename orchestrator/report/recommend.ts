/**
 * What a sweep says about a model that is about to be trained: the proxy's optimal base learning rate, carried through the
 * parameterization's rules to the effective init and learning rate of every tensor group at another width and sparsity.
 */

import { PARAMETERIZATIONS, type Parameterization, RULES } from "../../schema/sweep/rules.ts";
import type { Phase } from "../../schema/sweep/sweep.ts";
import { nonzeroParameterCount, parameterCount, trainingFlops } from "../../schema/wire/cost.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { isScriptPlan, type Plan, type RunPlan } from "../../schema/wire/plan.ts";
import { explainFlag } from "../analysis/flags.ts";
import type { Optimum } from "../analysis/types.ts";
import type { Database } from "../database/open.ts";
import { readPhases } from "../database/phases.ts";
import { describePlan, type ResolvedPlan } from "../parameterization/describe-plan.ts";
import { checkPhase } from "../sweep/check-sweep.ts";
import { expandPhase } from "../sweep/expand-sweep.ts";
import { gridAt } from "../sweep/taken-axes.ts";
import { type Answer, type AnswerRow, readAnswer, sayings } from "./answer.ts";

export interface Target {
  width: number;
  sparsity: number;
  layers?: number | undefined;
  d_head?: number | undefined;
  ffn_width?: number | undefined;
  vocab_size?: number | undefined;
  steps?: number | undefined;
  batch_size?: number | undefined;
  parameterization?: Parameterization | undefined;
}

/** Of the model that ships: what a target may have of its own, and the option that says it. */
const OWN = {
  layers: "--layers",
  d_head: "--d-head",
  ffn_width: "--ffn-width",
  vocab_size: "--vocab",
  steps: "--steps",
  batch_size: "--batch",
} as const;

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
  source: { phase: string; width: number; layers: number; sparsity: number };
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

export function recommend(db: Database, sweepName: string, target: Target): Recommendation {
  const answer = readAnswer(db, sweepName);
  const row = sourceRow(answer, target.parameterization);
  const { parameterization, optimum } = row;
  const stored = readPhases(db, answer.progress.id).find(({ name }) => name === row.phase)!;
  const learning_rate = 2 ** optimum.log2_tuned!;
  const layers = target.layers ?? row.layers;
  const { data, imported } = stored.definition;
  const phase = imported === undefined ? stored.definition.phase : ownProxy(stored.definition.phase, row);
  // Imported results need not say how many layers there were.
  const at = { width: target.width, sparsity: target.sparsity, layers: Math.max(layers, 1), learning_rate };
  const followed = (width: number): number | undefined => {
    const [cell] = expandPhase(pointPhase(phase, row.curve, { ...at, width }), data).cells();
    return isScriptPlan(cell!.plan) ? undefined : cell!.plan.shape.d_ffn;
  };
  const { base } = phase;
  const own: Phase =
    target.ffn_width === undefined || base.width === undefined || base.ffn_width !== undefined
      ? phase
      : // The proxy keeps the feed-forward width that follows from its width.
        { ...phase, base: { ...base, ffn_width: followed(base.width) } };
  const point = pointPhase(own, row.curve, {
    ...at,
    ...(target.d_head === undefined ? {} : { d_head: target.d_head }),
    ...(target.ffn_width === undefined ? {} : { ffn_width: target.ffn_width }),
    ...(target.steps === undefined ? {} : { steps: target.steps, tokens: null }),
    ...(target.batch_size === undefined ? {} : { batch_size: target.batch_size }),
  });
  const vocabulary =
    target.vocab_size === undefined || data === null ? data : { ...data, vocab_size: target.vocab_size };
  const [cell] = expandPhase(point, vocabulary).cells();
  const { plan } = cell!;
  if (isScriptPlan(plan)) refuseShapes(target);
  return {
    sweep: sweepName,
    parameterization,
    title: RULES[parameterization].title,
    source: { phase: row.phase, width: row.width, layers: row.layers, sparsity: row.sparsity },
    target: { width: target.width, sparsity: target.sparsity, layers },
    learning_rate,
    learning_rate_low: 2 ** optimum.log2_tuned_low!,
    learning_rate_high: 2 ** optimum.log2_tuned_high!,
    optimum,
    parameters: isScriptPlan(plan) ? null : parameterCount(plan),
    nonzero_parameters: isScriptPlan(plan) ? null : nonzeroParameterCount(plan),
    plan,
    relative: imported !== undefined,
    resolved: describePlan(plan, learning_rate),
    taken: isScriptPlan(plan) ? [] : takenBy(plan, target),
    validation: [0.5, 1, 2].map((multiple) => multiple * learning_rate),
    flops: isScriptPlan(plan) ? null : trainingFlops(plan),
    verdicts: sayings(
      answer.verdicts.filter((v) => v.parameterization === parameterization && v.phase === row.phase),
    ).map(({ title, place, sentence }) => `${title}${place} ${sentence}`),
    cautions: cautions(answer, row, { ...target, layers }),
  };
}

/** @throws MusweepError where a shape is said of a model that a script alone knows */
function refuseShapes(target: Target): void {
  const said = Object.entries(OWN).find(
    ([name]) => name !== "layers" && target[name as keyof typeof OWN] !== undefined,
  );
  if (said === undefined) return;
  throw new MusweepError("bad-option", `${said[1]}: the model is a script's own, and so is its shape`, {
    kind: "usage",
    remedy: "Leave it out: the numbers below are by role, and hold for any shape of that width.",
  });
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

const keptAxes = ({ parameterization }: AnswerRow): number => RULES[parameterization].keeps.length;

/**
 * The densest, narrowest curve with an estimate: of the parameterization asked for, else of the one whose rules carry a learning rate
 * along most axes, and of those the one of lowest loss.
 */
function sourceRow(answer: Answer, asked: Parameterization | undefined): AnswerRow {
  const ofRates = answer.rows.filter((r) => r.tuned === "learning_rate");
  const available = new Set(ofRates.map((r) => r.parameterization));
  if (asked !== undefined && !available.has(asked)) {
    throw new MusweepError("no-optimum", `${answer.progress.sweep} has no curve under ${asked}`, {
      kind: "usage",
      remedy: `It has: ${PARAMETERIZATIONS.filter((p) => available.has(p)).join(", ")}.`,
    });
  }
  const estimates = ofRates.filter((r) => r.optimum.flag === "bracketed");
  const [best] = estimates.toSorted((a, b) => keptAxes(b) - keptAxes(a) || a.optimum.loss! - b.optimum.loss!);
  const chosen = asked ?? best?.parameterization;
  const rows = (
    chosen === undefined ? ofRates : ofRates.filter((r) => r.parameterization === chosen)
  ).toSorted((a, b) => a.sparsity - b.sparsity || a.width - b.width || a.layers - b.layers);
  const proxy = rows[0];
  const estimate = rows.find((r) => r.optimum.flag === "bracketed" && r.sparsity === proxy?.sparsity);
  if (estimate) return estimate;
  const why = proxy === undefined ? "it has no curves" : explainFlag(proxy.optimum, proxy);
  throw new MusweepError(
    "no-optimum",
    `${answer.progress.sweep} has no estimated optimum to carry over: ${why}`,
    {
      kind: "usage",
      remedy: `Only a bracketed optimum is carried over: ${proxy?.searched ? "give the search a larger budget" : "extend the grid"}, then submit it again.`,
    },
  );
}

/** The phase with its axes at one point. */
function pointPhase(phase: Phase, curve: string, changed: Record<string, number | null>): Phase {
  const axes = gridAt({ ...(JSON.parse(curve) as Record<string, unknown>), ...changed });
  const point: Phase = { ...phase, axes: { ...axes, seed: [1] } };
  const [finding] = checkPhase(point, new Set());
  if (finding) {
    throw new MusweepError("bad-target", finding.message, {
      kind: "usage",
      remedy: "Choose another --width, --layers, --d-head, --ffn-width or --sparsity.",
    });
  }
  return point;
}

function cautions(
  answer: Answer,
  source: AnswerRow,
  target: { width: number; sparsity: number; layers: number },
): string[] {
  const tested = answer.rows.filter((r) => r.parameterization === source.parameterization);
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
  const { title, keeps } = RULES[source.parameterization];
  const broken = [
    ...(target.width !== source.width && !keeps.includes("width") ? ["across width"] : []),
    ...(target.sparsity !== source.sparsity && !keeps.includes("density") ? ["across sparsity"] : []),
    ...(target.layers !== source.layers && !keeps.includes("layers") ? ["across depth"] : []),
  ];
  if (broken.length > 0)
    notes.push(
      `${title} promises no transfer${broken.length > 1 ? `, neither ${broken.join(" nor ")}` : ` ${broken[0]}`}`,
    );
  return notes;
}
