/** Which runs would decide a sweep's open questions: values beyond an edge, in a gap, or more seeds; as data, CSV and YAML. */
import { stringify } from "yaml";
import type { TakenName } from "../../schema/sweep/hyperparameters.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { hasTooFew } from "../analysis/flags.ts";
import { coordinatesOf } from "../analysis/groups.ts";
import type { OptimumFlag } from "../analysis/types.ts";
import type { Database } from "../database/open.ts";
import { isCoordinateCheck, readPhases, type StoredPhase } from "../database/phases.ts";
import { progressOf, unfinished } from "../database/progress.ts";
import { optimaRows } from "../database/results.ts";
import { nextRuns } from "../phases/added-runs.ts";
import { searchFurther } from "../phases/searched-runs.ts";
import type { Coordinates } from "../sweep/expand-sweep.ts";
import { gridAt, isGiven, isRandomSearch } from "../sweep/taken-axes.ts";
import { plural } from "../terminal/format.ts";
import { csv } from "./figures/csv.ts";
import { questionText } from "./phase-states.ts";

export interface Suggestion {
  phase: string;
  tuned: TakenName;
  /** Of the curve. */
  coordinates: Partial<Coordinates>;
  /** Every one at every seed. */
  values: number[];
  seeds: number[];
  reason: string;
  /** False: they would sharpen an optimum, whose verdicts are all decided. */
  decides: boolean;
}

export interface Suggestions {
  sweep: string;
  /** What a search asks, where the runs are chosen as it does. */
  questions: { phase: string; state: string; says: string }[];
  /** Runs of the sweep that are still to be trained: what they say may make some of these needless. */
  open: number;
  suggestions: Suggestion[];
  /** Curves with fewer values than an optimum takes, for which nothing is suggested. */
  too_few: number;
}

/** What `extend` and `refine` would add. @throws MusweepError when there is no such sweep */
export const suggest = (db: Database, sweep: string): Suggestions =>
  db.snapshot(() => {
    const progress = progressOf(db, sweep);
    const phases = comparedPhases(db, progress.id);
    return {
      sweep,
      open: unfinished(progress),
      too_few: countTooFew(db, sweep, phases),
      questions: [],
      suggestions: phases.flatMap(({ id, name, tuned }) =>
        nextRuns(db, id).map(({ curve, points, reason, decides }) => ({
          phase: name,
          tuned,
          coordinates: known(coordinatesOf(curve)),
          values: rising(points.map((point) => point.tuned_value)),
          seeds: rising(points.map((point) => point.seed)),
          reason,
          decides,
        })),
      ),
    };
  });

/**
 * What a search would train next, had it trained what the sweep has.
 * @param batch runs at a time
 * @throws MusweepError when there is no such sweep, or runs of it are still to be trained
 */
export const suggestSearched = (db: Database, sweep: string, batch: number): Suggestions =>
  db.snapshot(() => {
    const progress = progressOf(db, sweep);
    const open = unfinished(progress);
    if (open > 0)
      throw new MusweepError("open-runs", `${sweep} has ${plural(open, "run")} still to be trained`, {
        kind: "usage",
        remedy: "What a search adds next depends on them: ask again when they have ended.",
      });
    const phases = comparedPhases(db, progress.id);
    const steps = phases.map((phase) => ({
      phase,
      ...searchFurther(db, phase, batch),
    }));
    return {
      sweep,
      open,
      too_few: countTooFew(db, sweep, phases),
      questions: steps.flatMap(({ phase, questions }) =>
        questions.map((question) => ({
          phase: phase.name,
          state: question.state,
          says: questionText(question),
        })),
      ),
      suggestions: steps.flatMap(({ phase: { name, tuned }, runs }) =>
        runs.map(({ curve, tuned_value, seed, reason }) => ({
          phase: name,
          tuned,
          coordinates: known(coordinatesOf(curve)),
          values: [tuned_value],
          seeds: [seed],
          reason,
          decides: true,
        })),
      ),
    };
  });

/** "3 runs would decide more" */
export function wouldText(suggestions: readonly Suggestion[]): string {
  const runs = suggestions.reduce((n, { values, seeds }) => n + values.length * seeds.length, 0);
  return suggestions.some(({ decides }) => decides)
    ? `${plural(runs, "run")} would decide more`
    : `all verdicts are decided; ${plural(runs, "run")} would sharpen an optimum`;
}

const comparedPhases = (db: Database, sweep: number): StoredPhase[] =>
  readPhases(db, sweep).filter(
    ({ id, definition }) => !isCoordinateCheck(db, id) && !isRandomSearch(definition.phase.axes),
  );

function countTooFew(db: Database, sweep: string, phases: readonly StoredPhase[]): number {
  const names = new Set(phases.map(({ name }) => name));
  return optimaRows(db, sweep).filter(
    ({ phase, flag, log2_tuned_high }) =>
      names.has(phase) && hasTooFew({ flag: flag as OptimumFlag, log2_tuned_high }),
  ).length;
}

/** Without what no grid can say: a size that imported results do not tell, a value that follows from another. */
const known = (coordinates: Record<string, unknown>): Partial<Coordinates> =>
  Object.fromEntries(
    Object.entries(coordinates).filter(
      ([name, value]) => isGiven(name, value) && !((name === "width" || name === "layers") && value === 0),
    ),
  ) as Partial<Coordinates>;

const rising = (values: readonly number[]): number[] => [...new Set(values)].sort((a, b) => a - b);

/** A row per run, as `musweep import` reads it back with a column for its loss. */
export function suggestionsCsv({ suggestions }: Suggestions): string {
  const names = [...new Set(suggestions.flatMap(({ coordinates }) => Object.keys(coordinates)))];
  const cell = (value: unknown): string | number | null =>
    typeof value === "number" || typeof value === "string"
      ? value
      : value === undefined
        ? null
        : String(value);
  const tuned = [...new Set(suggestions.map((suggestion) => suggestion.tuned))];
  const heading = [...names, ...tuned, "seed", "reason"];
  const rows = suggestions.flatMap((suggestion) =>
    suggestion.seeds.flatMap((seed) =>
      suggestion.values.map((value) => ({
        ...Object.fromEntries(
          names.map((name) => [name, cell((suggestion.coordinates as Record<string, unknown>)[name])]),
        ),
        ...Object.fromEntries(tuned.map((name) => [name, name === suggestion.tuned ? value : null])),
        seed,
        reason: suggestion.reason,
      })),
    ),
  );
  return csv(rows, heading);
}

/** Where nothing is suggested. */
export const nothingText = (too_few: number): string =>
  too_few === 0
    ? "no run would decide more"
    : `${plural(too_few, "curve")} ${too_few === 1 ? "has" : "have"} too few values to fit: an optimum takes at least three`;

/** The axes of a sweep file that trains them, a grid for each curve. */
export const suggestionsYaml = ({ sweep, suggestions, too_few }: Suggestions): string =>
  suggestions.length === 0
    ? `# ${sweep}: ${nothingText(too_few)}.\n`
    : stringify(
        {
          axes: suggestions.map(({ coordinates, tuned, values, seeds }) => ({
            ...gridAt(coordinates),
            [tuned]: values,
            seed: seeds,
          })),
        },
        { flowCollectionPadding: true },
      );
