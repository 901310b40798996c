/**
 * A sweep's answer with its curves, computed once for all who look: kept until a run of it ends, or its points or phases
 * change. Steps of runs that still train change nothing in it.
 */
import type { Database } from "../../../database/open.ts";
import type { SweepProgress } from "../../../database/progress.ts";
import { type FigureData, readFigureData } from "../../../report/figures/data.ts";

export type Answers = (progress: SweepProgress) => FigureData;

const KEPT = 8;

export function keepAnswers(db: Database): Answers {
  const kept = new Map<string, { key: string; data: FigureData }>();
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
    const data = known?.key === key ? known.data : readFigureData(db, sweep);
    // The last one asked for stands last.
    kept.delete(sweep);
    kept.set(sweep, { key, data });
    if (kept.size > KEPT) kept.delete(kept.keys().next().value!);
    return data;
  };
}
