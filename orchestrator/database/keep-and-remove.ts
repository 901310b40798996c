/** What operators do to sweeps: say something of one, put it away, remove it; and runs that no sweep wants any more. */
import { and, eq, isNotNull, isNull, lt, sql } from "drizzle-orm";
import {
  activationSizes,
  attempts,
  metrics,
  plans,
  runs,
  sweepRuns,
  sweeps,
} from "../../schema/database/tables.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { removePoints } from "./cells.ts";
import { amongGiven, type Database, given, prepared } from "./connection.ts";
import { readPhases, removePhase } from "./phases.ts";
import { type SweepProgress, unfinished } from "./progress.ts";
import { cancelUnwanted } from "./run-states.ts";
import { phasesBeside, placeAnew } from "./store-cells.ts";
import { findSweep } from "./sweeps.ts";

const named = eq(sweeps.name, given("sweep"));

const note = prepared(({ orm }) =>
  orm
    .update(sweeps)
    .set({ note: given("note") })
    .where(named)
    .prepare(),
);

const MAX_NOTE_CHARACTERS = 2000;

/** @returns null for none @throws MusweepError (usage) for one that is too long */
export function noteOf(text: string | undefined): string | null {
  const note = text?.trim() ?? "";
  if (note.length > MAX_NOTE_CHARACTERS)
    throw new MusweepError("note-too-long", `a note has at most ${MAX_NOTE_CHARACTERS} characters`, {
      kind: "usage",
    });
  return note === "" ? null : note;
}

/** @param text null: none */
export const noteSweep = (db: Database, sweep: string, text: string | null): void =>
  void note(db).run({ sweep, note: text });

const archive = prepared(({ orm }) =>
  orm
    .update(sweeps)
    .set({ archived_at: given("at") })
    .where(named)
    .prepare(),
);

/**
 * @param at Unix time in milliseconds; null: it is shown in lists again
 * @throws MusweepError (usage) for one that is still trained
 */
export function archiveSweep(db: Database, progress: SweepProgress, at: number | null): void {
  const { sweep } = progress;
  const left = unfinished(progress);
  if (at !== null && left > 0)
    throw new MusweepError("still-training", `${sweep} has ${left} runs still to be trained`, {
      kind: "usage",
      remedy: `Wait for them, or cancel them: musweep cancel ${sweep}.`,
    });
  archive(db).run({ sweep, at });
}

const ownRuns = prepared(({ sqlite }) =>
  sqlite
    .prepare<[number], string>(
      `SELECT run_id FROM sweep_runs w WHERE sweep_id = ?
       AND NOT EXISTS (SELECT 1 FROM sweep_runs o WHERE o.run_id = w.run_id AND o.sweep_id <> w.sweep_id)`,
    )
    .pluck(),
);

const remove = prepared(({ orm }) => orm.delete(sweeps).where(named).prepare());

export interface Removed {
  /** Their rows are gone: plans, results, attempts, curves. */
  runs: string[];
  /** Runs that another sweep wants. */
  kept: number;
  /** Runs that a worker may still hold: cancelled, and left to a later `prune`. */
  held: number;
}

/** A sweep with all that belongs to it alone. @param sweep one that there is */
export const removeSweep = (db: Database, sweep: string, now = Date.now()): Removed =>
  db.transaction(() => {
    const { id } = findSweep(db, sweep)!;
    const all = countRunsOf(db).get({ sweep: id })!.runs;
    const own = ownRuns(db).all(id);
    const others = phasesBeside(db, id);
    for (const phase of readPhases(db, id)) {
      removePoints(db, phase.id);
      removePhase(db, phase.id);
    }
    remove(db).run({ sweep });
    placeAnew(db, others);
    cancelUnwanted(db, now);
    const gone = removeRuns(db, own);
    return { runs: gone, kept: all - own.length, held: own.length - gone.length };
  });

const countRunsOf = prepared(({ orm }) =>
  orm
    .select({ runs: sql<number>`count(*)` })
    .from(sweepRuns)
    .where(eq(sweepRuns.sweep_id, given("sweep")))
    .prepare(),
);

const unheld = prepared(({ orm }) =>
  orm
    .select({ id: runs.id })
    .from(runs)
    .where(and(amongGiven(runs.id, "runs"), eq(runs.on_queue, false)))
    .prepare(),
);

const deletions = prepared(({ orm }) => [
  ...[metrics, activationSizes, attempts, plans].map((table) =>
    orm.delete(table).where(amongGiven(table.run_id, "runs")).prepare(),
  ),
  orm.delete(runs).where(amongGiven(runs.id, "runs")).prepare(),
]);

/** Runs of no sweep, with all that is known of them. @returns those that no job in Redis may still be for */
export const removeRuns = (db: Database, ids: readonly string[]): string[] =>
  db.transaction(() => {
    const gone = unheld(db)
      .all({ runs: JSON.stringify(ids) })
      .map(({ id }) => id);
    for (const statement of deletions(db)) statement.run({ runs: JSON.stringify(gone) });
    return gone;
  });

const orphans = prepared(({ orm }) =>
  orm
    .select({ id: runs.id })
    .from(runs)
    .leftJoin(sweepRuns, eq(sweepRuns.run_id, runs.id))
    .where(and(isNull(sweepRuns.run_id), eq(runs.on_queue, false), lt(runs.updated_at, given("before"))))
    .prepare(),
);

/** Runs that no sweep has, and that nothing has happened to since. */
export const orphanRuns = (db: Database, before: number): string[] =>
  orphans(db)
    .all({ before })
    .map(({ id }) => id);

const dataHashes = prepared(({ sqlite }) =>
  sqlite
    .prepare<[], string>(
      `SELECT data_hash FROM sweeps WHERE data_hash <> ''
       UNION SELECT json_extract(definition, '$.data.hash') FROM phases WHERE json_extract(definition, '$.data.hash') <> ''`,
    )
    .pluck(),
);

/** Of the data sets that sweeps are trained on. */
export const usedDataSets = (db: Database): Set<string> => new Set(dataHashes(db).all());

const weights = prepared(({ orm }) =>
  orm
    .select({ run: runs.id, path: sql<string>`${runs.weights_path}` })
    .from(runs)
    .where(and(eq(runs.state, "finished"), isNotNull(runs.weights_path), eq(runs.host, given("host"))))
    .prepare(),
);

/** Where trained weights lie that were written on a host. */
export const keptWeights = (db: Database, host: string): { run: string; path: string }[] =>
  weights(db).all({ host });
