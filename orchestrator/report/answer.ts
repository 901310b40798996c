/**
 * A sweep's answer as data: the optimum of every curve, its drift from the dense one, and a verdict per parameterization.
 * Optima come from the database, where they are kept current; only what compares several of them is computed here.
 */

import type { Parameterization } from "../../schema/hyperparameters.ts";
import { coordinatesOf, groupsAlong } from "../analysis/groups.ts";
import { pooledNoise } from "../analysis/noise.ts";
import { drift, regret } from "../analysis/transfer.ts";
import type { Drift, Optimum, OptimumFlag, Regret, Verdict } from "../analysis/types.ts";
import { verdict } from "../analysis/verdict.ts";
import type { Database } from "../database/open.ts";
import { readCurves, readOptima } from "../database/optima.ts";
import { readPhases } from "../database/phases.ts";
import { progressOf, type SweepProgress } from "../database/progress.ts";
import { RULES } from "../parameterization/rules.ts";
import { isSearch } from "../sweep/taken-axes.ts";
import {
  answerSearch,
  type Confirmation,
  confirmations,
  otherCoordinates,
  type Search,
} from "./phase-answers.ts";

export interface AnswerRow {
  phase: string;
  parameterization: Parameterization;
  /** As people write it: SP, μP, SμPar. */
  title: string;
  width: number;
  layers: number;
  sparsity: number;
  curve: string;
  /** Its coordinates beside parameterization, width, layers and sparsity. */
  other: Record<string, unknown>;
  optimum: Optimum;
  /** From the least sparse curve that is alike in everything else; null for that curve itself. */
  drift: Drift | null;
  regret: Regret | null;
}

export interface AnswerVerdict {
  phase: string;
  parameterization: Parameterization;
  title: string;
  /** The coordinates that its curves share, beside the parameterization. */
  at: Record<string, unknown>;
  verdict: Verdict;
}

export interface Answer {
  progress: SweepProgress;
  /** What failed runs said, most frequent first. */
  failures: { error: string; runs: number }[];
  rows: AnswerRow[];
  verdicts: AnswerVerdict[];
  /** Per parameterization of a phase that searches at random; such a phase has no rows. */
  searches: Search[];
  /** Per curve of a phase that takes its learning rate from another: how that rate did. */
  confirmations: Confirmation[];
}

/** @throws MusweepError when there is no such sweep */
export function readAnswer(db: Database, sweep: string): Answer {
  const progress = progressOf(db, sweep);
  const failures = db.sqlite
    .prepare<[string], { error: string; runs: number }>(
      `SELECT coalesce(error, 'no reason given') AS error, count(DISTINCT run) AS runs FROM missing
       WHERE sweep = ? AND state = 'failed' GROUP BY 1 ORDER BY runs DESC, error`,
    )
    .all(sweep);
  const answer: Answer = { progress, failures, rows: [], verdicts: [], searches: [], confirmations: [] };
  const { id } = db.sqlite
    .prepare<[string], { id: number }>("SELECT id FROM sweeps WHERE name = ?")
    .get(sweep)!;
  for (const phase of readPhases(db.sqlite, id)) {
    if (phase.definition !== null && isSearch(phase.definition.phase.axes)) {
      answer.searches.push(...answerSearch(db.sqlite, phase));
      continue;
    }
    const { rows, verdicts } = answerGrid(db.sqlite, phase);
    answer.rows.push(...rows);
    answer.verdicts.push(...verdicts);
    answer.confirmations.push(...confirmations(phase, rows, readCurves(db.sqlite, phase.id)));
  }
  return answer;
}

function answerGrid(
  sqlite: Database["sqlite"],
  phase: { id: number; name: string },
): { rows: AnswerRow[]; verdicts: AnswerVerdict[] } {
  const curves = readCurves(sqlite, phase.id);
  const noise = pooledNoise([...curves.values()].map((c) => c.input));
  const options = noise ? { noise } : {};
  const rows: AnswerRow[] = [];
  const verdicts: AnswerVerdict[] = [];
  for (const { shared, cells } of groupsAlong("density", curves, readOptima(sqlite, phase.id))) {
    const [base] = cells;
    const parameterization = base.first.parameterization as Parameterization;
    const named = { phase: phase.name, parameterization, title: RULES[parameterization].title };
    for (const cell of cells) {
      rows.push({
        ...named,
        width: cell.width,
        layers: cell.first.layers,
        sparsity: cell.first.sparsity,
        curve: cell.key,
        other: otherCoordinates(coordinatesOf(cell.key)),
        optimum: cell.optimum,
        drift: cell === base ? null : drift(cell.optimum, base.optimum),
        regret: cell === base ? null : regret(cell, base.optimum, options),
      });
    }
    if (cells.length > 1) {
      const { parameterization: _, ...at } = shared;
      verdicts.push({ ...named, at, verdict: verdict(cells, base, { axis: "density", ...options }) });
    }
  }
  return { rows, verdicts };
}

/** What tells verdicts apart beside their parameterization: of each, the coordinates in which they differ. */
export function placesOf(verdicts: readonly AnswerVerdict[]): Record<string, unknown>[] {
  const places = verdicts.map(({ phase, at }): Record<string, unknown> => ({ phase, ...at }));
  const differing = [...new Set(places.flatMap((place) => Object.keys(place)))].filter(
    (name) => new Set(places.map((place) => JSON.stringify(place[name]))).size > 1,
  );
  return places.map((place) => Object.fromEntries(differing.map((name) => [name, place[name]])));
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
