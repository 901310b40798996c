/**
 * A sweep's answer as data: the optimum of every curve, its drift from the dense one, and a verdict per parameterization.
 * Optima come from the database, where they are kept current; only what compares several of them is computed here.
 */

import type { Parameterization } from "../../schema/hyperparameters.ts";
import { pooledNoise } from "../analysis/noise.ts";
import { drift, regret } from "../analysis/transfer.ts";
import type { Drift, Optimum, OptimumFlag, Regret, Verdict } from "../analysis/types.ts";
import { verdict } from "../analysis/verdict.ts";
import type { Database } from "../database/open.ts";
import { readCurves, readOptima } from "../database/optima.ts";
import { progressOf, type SweepProgress } from "../database/progress.ts";
import { RULES } from "../parameterization/rules.ts";

export interface AnswerRow {
  phase: string;
  parameterization: Parameterization;
  /** As people write it: SP, μP, SμPar. */
  title: string;
  width: number;
  layers: number;
  sparsity: number;
  curve: string;
  /** Coordinates that tell this row's group apart beside parameterization, width and layers. */
  other: Record<string, unknown>;
  optimum: Optimum;
  /** From the least sparse curve that is alike in everything else; null for that curve itself. */
  drift: Drift | null;
  regret: Regret | null;
}

export interface AnswerVerdict {
  phase: string;
  title: string;
  width: number;
  layers: number;
  other: Record<string, unknown>;
  verdict: Verdict;
}

export interface Answer {
  progress: SweepProgress;
  /** What failed runs said, most frequent first. */
  failures: { error: string; runs: number }[];
  rows: AnswerRow[];
  verdicts: AnswerVerdict[];
}

/** @throws MusweepError when there is no such sweep */
export function readAnswer(db: Database, sweep: string): Answer {
  const progress = progressOf(db, sweep);
  const phases = db.sqlite
    .prepare<[string], { id: number; name: string }>(
      "SELECT p.id, p.name FROM phases p JOIN sweeps s ON s.id = p.sweep_id WHERE s.name = ? ORDER BY p.position",
    )
    .all(sweep);
  const failures = db.sqlite
    .prepare<[string], { error: string; runs: number }>(
      `SELECT coalesce(error, 'no reason given') AS error, count(DISTINCT run) AS runs FROM missing
       WHERE sweep = ? AND state = 'failed' GROUP BY 1 ORDER BY runs DESC, error`,
    )
    .all(sweep);
  const rows: AnswerRow[] = [];
  const verdicts: AnswerVerdict[] = [];
  for (const phase of phases) answerPhase(db, phase, rows, verdicts);
  return { progress, failures, rows, verdicts };
}

/** Coordinates that every row shows in columns of its own. */
const SHOWN = new Set(["parameterization", "width", "layers", "sparsity"]);

function answerPhase(
  db: Database,
  phase: { id: number; name: string },
  rows: AnswerRow[],
  verdicts: AnswerVerdict[],
): void {
  const curves = [...readCurves(db.sqlite, phase.id).entries()];
  const optima = readOptima(db.sqlite, phase.id);
  const noise = pooledNoise(curves.map(([, c]) => c.input));
  const options = noise ? { noise } : {};
  /** Curves that differ in sparsity alone. */
  const groups = new Map<string, typeof curves>();
  for (const entry of curves) {
    const { sparsity: _, ...rest } = JSON.parse(entry[0]) as Record<string, unknown>;
    const key = JSON.stringify(rest);
    const group = groups.get(key);
    if (group) group.push(entry);
    else groups.set(key, [entry]);
  }
  for (const [key, group] of groups) {
    const rest = JSON.parse(key) as Record<string, unknown>;
    const other = Object.fromEntries(Object.entries(rest).filter(([name]) => !SHOWN.has(name)));
    const cells = group
      .sort(([, a], [, b]) => a.first.sparsity - b.first.sparsity)
      .map(([curve, { first, input }]) => ({
        curve: input,
        key: curve,
        first,
        width: first.width,
        density: 1 - first.sparsity,
        optimum: optima.get(curve)!,
      }));
    const base = cells[0]!;
    const parameterization = base.first.parameterization as Parameterization;
    const shared = {
      phase: phase.name,
      title: RULES[parameterization].title,
      width: base.width,
      layers: base.first.layers,
      other,
    };
    for (const cell of cells) {
      rows.push({
        ...shared,
        parameterization,
        sparsity: cell.first.sparsity,
        curve: cell.key,
        optimum: cell.optimum,
        drift: cell === base ? null : drift(cell.optimum, base.optimum),
        regret: cell === base ? null : regret(cell, base.optimum, options),
      });
    }
    if (cells.length > 1) {
      verdicts.push({
        ...shared,
        verdict: verdict(cells, base, { axis: "density", ...options }),
      });
    }
  }
}

/** Why a row's optimum is no estimate, in words; empty when it is one. */
export function explainFlag(optimum: Optimum): string {
  const notes: Record<OptimumFlag, string> = {
    bracketed: "",
    "at low edge": "may lie below the grid: add lower LRs",
    "at high edge": "may lie above the grid: add higher LRs",
    "edge is divergence": "next to divergence: add LRs between",
    "too few points": "too few LRs to fit",
    "too noisy": "noise hides the minimum: add seeds",
    incomplete: "runs missing beside the best",
  };
  return notes[optimum.flag];
}
