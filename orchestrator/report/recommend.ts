/**
 * What a sweep says about a model that is about to be trained: the proxy's optimal base learning rate, carried through the
 * parameterization's rules to the effective init and learning rate of every tensor group at another width and sparsity.
 */

import { nonzeroParameterCount, parameterCount } from "../../schema/cost.ts";
import { MusweepError } from "../../schema/errors.ts";
import { PARAMETERIZATIONS, type Parameterization } from "../../schema/hyperparameters.ts";
import type { Plan } from "../../schema/plan.ts";
import type { Phase } from "../../schema/sweep.ts";
import type { Optimum } from "../analysis/types.ts";
import type { Database } from "../database/open.ts";
import { describePlan, type ResolvedPlan } from "../parameterization/describe-plan.ts";
import { RULES } from "../parameterization/rules.ts";
import { checkPhase } from "../sweep/check-sweep.ts";
import { expandPhase } from "../sweep/expand-sweep.ts";
import { parseSweep } from "../sweep/parse-sweep.ts";
import { type Answer, type AnswerRow, explainFlag, readAnswer, sayings } from "./answer.ts";

export interface Target {
  width: number;
  sparsity: number;
  layers?: number;
  parameterization?: Parameterization;
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
  parameters: number;
  nonzero_parameters: number;
  plan: Plan;
  resolved: ResolvedPlan;
  /** The sweep's own verdicts about this parameterization. */
  verdicts: string[];
  /** Why to be careful. */
  cautions: string[];
}

export function recommend(db: Database, sweepName: string, target: Target): Recommendation {
  const answer = readAnswer(db, sweepName);
  const row = sourceRow(answer, target.parameterization);
  const { parameterization, optimum } = row;
  const { file, data_hash } = db.sqlite
    .prepare<[string], { file: string; data_hash: string }>(
      "SELECT file, data_hash FROM sweeps WHERE name = ?",
    )
    .get(sweepName)!;
  const { vocab_size } = db.sqlite
    .prepare<[string], { vocab_size: number }>(
      "SELECT json_extract(plan, '$.data.vocab_size') AS vocab_size FROM plans WHERE run_id IN (SELECT run FROM run_results WHERE sweep = ?) LIMIT 1",
    )
    .get(sweepName)!;
  const learning_rate = 2 ** optimum.log2_lr!;
  const layers = target.layers ?? row.layers;
  const { phases } = parseSweep(file, sweepName);
  const point = pointPhase(phases.find((phase) => phase.name === row.phase)!, row.curve, {
    width: target.width,
    sparsity: target.sparsity,
    layers,
    learning_rate,
  });
  const [cell] = expandPhase(point, { hash: data_hash, vocab_size }).cells();
  const { plan } = cell!;
  return {
    sweep: sweepName,
    parameterization,
    title: RULES[parameterization].title,
    source: { phase: row.phase, width: row.width, layers: row.layers, sparsity: row.sparsity },
    target: { width: target.width, sparsity: target.sparsity, layers },
    learning_rate,
    learning_rate_low: 2 ** optimum.log2_lr_low!,
    learning_rate_high: 2 ** optimum.log2_lr_high!,
    optimum,
    parameters: parameterCount(plan),
    nonzero_parameters: nonzeroParameterCount(plan),
    plan,
    resolved: describePlan(plan, learning_rate),
    verdicts: sayings(
      answer.verdicts.filter((v) => v.parameterization === parameterization && v.phase === row.phase),
    ).map(({ title, place, sentence }) => `${title}${place} ${sentence}`),
    cautions: cautions(answer, row, { ...target, layers }),
  };
}

/** The densest, narrowest curve with an estimate: of the parameterization asked for, else SμPar, else that of lowest loss. */
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
  const chosen =
    asked ??
    (estimates.some((r) => r.parameterization === "supar")
      ? "supar"
      : estimates.toSorted((a, b) => a.optimum.loss! - b.optimum.loss!)[0]?.parameterization);
  const rows = (
    chosen === undefined ? ofRates : ofRates.filter((r) => r.parameterization === chosen)
  ).toSorted((a, b) => a.sparsity - b.sparsity || a.width - b.width || a.layers - b.layers);
  const proxy = rows[0];
  const estimate = rows.find((r) => r.optimum.flag === "bracketed" && r.sparsity === proxy?.sparsity);
  if (estimate) return estimate;
  const why = proxy === undefined ? "it has no curves" : explainFlag(proxy.optimum);
  throw new MusweepError(
    "no-optimum",
    `${answer.progress.sweep} has no estimated optimum to carry over: ${why}`,
    {
      kind: "usage",
      remedy: "Only a bracketed optimum is carried over: extend the grid, then submit it again.",
    },
  );
}

/** The phase with its axes at one point. */
function pointPhase(
  phase: Phase,
  curve: string,
  changed: { width: number; sparsity: number; layers: number; learning_rate: number },
): Phase {
  const coordinates = Object.entries({ ...(JSON.parse(curve) as Record<string, unknown>), ...changed });
  const axes = Object.fromEntries(
    coordinates.filter(([, value]) => value !== null).map(([name, value]) => [name, [value]]),
  );
  const point: Phase = { ...phase, axes: { ...axes, seed: [1] } };
  const [finding] = checkPhase(point, new Set());
  if (finding) {
    throw new MusweepError("bad-target", finding.message, {
      kind: "usage",
      remedy: "Choose another --width, --layers or --sparsity.",
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
  if (target.layers !== source.layers) {
    notes.push(
      `${target.layers} layers instead of ${source.layers}: none of these rules carries a learning rate across depth`,
    );
  }
  const { title, keeps } = RULES[source.parameterization];
  const broken = [
    ...(target.width !== source.width && !keeps.includes("width") ? ["across width"] : []),
    ...(target.sparsity !== source.sparsity && !keeps.includes("density") ? ["across sparsity"] : []),
  ];
  if (broken.length > 0)
    notes.push(
      `${title} promises no transfer${broken.length > 1 ? `, neither ${broken.join(" nor ")}` : ` ${broken[0]}`}`,
    );
  return notes;
}
