/**
 * A sweep's answer with its curves, computed once for all who look: kept until a run of it ends, or its points or phases
 * change. Steps of runs that still train change nothing in it.
 */
import type { Database } from "../../../database/open.ts";
import { type SweepProgress, unfinished } from "../../../database/progress.ts";
import { type FigureData, readFigureData } from "../../../report/figures/data.ts";
import { type Suggestion, suggest } from "../../../report/suggest.ts";

/** With the runs that would decide more; none while there are some to be trained, for they come first. */
export interface SweepData extends FigureData {
  suggestions: Suggestion[];
}

export type Answers = (progress: SweepProgress) => SweepData;

const KEPT = 8;

export function keepAnswers(db: Database): Answers {
  const kept = new Map<string, { key: string; data: SweepData }>();
  return (progress) => {
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
    const known = kept.get(sweep);
    const data = known?.key === key ? known.data : readData(db, progress);
    // The last one asked for stands last.
    kept.delete(sweep);
    kept.set(sweep, { key, data });
    if (kept.size > KEPT) kept.delete(kept.keys().next().value!);
    return data;
  };
}

const readData = (db: Database, progress: SweepProgress): SweepData => ({
  ...readFigureData(db, progress.sweep),
  suggestions: unfinished(progress) > 0 ? [] : suggest(db, progress.sweep).suggestions,
});
