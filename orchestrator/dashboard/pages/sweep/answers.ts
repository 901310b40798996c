/**
 * A sweep's answer with its curves, computed once for all who look: kept until a run of it ends, or its points or phases
 * change. Steps of runs that still train change nothing in it. Of a large sweep a page gets the first curves of each phase, and of
 * the phase that it shows the first that fit its filters: all of them would hold up everybody else.
 */
import { countCurves } from "../../../database/curves.ts";
import type { Database } from "../../../database/open.ts";
import type { StoredPhase } from "../../../database/phases.ts";
import { type SweepProgress, unfinished } from "../../../database/progress.ts";
import type { Narrowed } from "../../../report/answer.ts";
import { type FigureData, readFigureData } from "../../../report/figures/data.ts";
import { type Suggestion, suggest } from "../../../report/suggest.ts";
import type { View } from "./view.ts";

/** With the runs that would decide more; none while there are some to be trained, for they come first; null of a large sweep. */
export interface SweepData extends FigureData {
  suggestions: Suggestion[] | null;
}

export type Answers = (view: Pick<View, "progress" | "phases" | "phase" | "chosen">) => SweepData;

const KEPT = 8;
/** Of a phase. */
export const CURVES_SHOWN = 300;

/** Whether a page shows all of it. */
export const isLarge = (db: Database, phases: readonly StoredPhase[]): boolean =>
  phases.some(({ id }) => countCurves(db, id) > CURVES_SHOWN);

export function keepAnswers(db: Database): Answers {
  const kept = new Map<string, { key: string; data: SweepData }>();
  return ({ progress, phases: stored, phase, chosen }) => {
    const choice = { phase: phase.id, ...chosen };
    const narrowed = isLarge(db, stored) ? { curves: CURVES_SHOWN, chosen: choice } : null;
    const { sweep, by_state: states, points, phases, submitted_at, last_result_at } = progress;
    const { finished, diverged, failed, cancelled } = states;
    const key = JSON.stringify([
      finished,
      diverged,
      failed,
      cancelled,
      points,
      phases,
      submitted_at,
      last_result_at,
    ]);
    const place = JSON.stringify([sweep, narrowed]);
    const known = kept.get(place);
    const data = known?.key === key ? known.data : readData(db, progress, narrowed);
    // The last one asked for stands last.
    kept.delete(place);
    kept.set(place, { key, data });
    if (kept.size > KEPT) kept.delete(kept.keys().next().value!);
    return data;
  };
}

const readData = (db: Database, progress: SweepProgress, narrowed: Narrowed | null): SweepData => ({
  ...readFigureData(db, progress.sweep, narrowed),
  suggestions:
    narrowed !== null ? null : unfinished(progress) > 0 ? [] : suggest(db, progress.sweep).suggestions,
});
